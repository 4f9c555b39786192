"""What a study is given from outside, looked at before anything runs: tables of scans with the files they list, and
public sets.
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from crossmod.design.patients import pool_faults
from crossmod.job import Plain, UserError

MOST = 10  # missing files that are named one by one


@dataclass(frozen=True)
class Table:
    """A user's table without fault.

    Attributes:
        files: the table itself, and every image and label it lists.
        patients: how many have a label.
    """

    files: list[str]
    patients: int


def look(study: Plain) -> dict[str, Table]:
    """Read every table of a study as the cohort step will, and look whether its files are there.

    Returns:
        Cohort → its table, for cohorts that are made from one.

    Raises:
        UserError: listing every fault of every cohort, with the key, the file and the cure.
    """
    tables, faults = {}, []
    for name, cohort in study["cohorts"].items():
        try:
            if cohort["source"] == "folder":
                tables[name] = _read(name, cohort)
            elif cohort["source"] not in ("simulated", "derived") and not Path(cohort["root"]).is_dir():
                raise UserError(f"cohorts.{name}.root: '{cohort['root']}' is no folder; give the set as downloaded")
        except UserError as error:
            faults.append(str(error))
    faults += [] if faults else pool_faults(study, {name: table.patients for name, table in tables.items()})
    if faults:
        raise UserError("\n".join(["Nothing was run, for the study's scans are not as its config says:", *faults]))
    return tables


def _read(name: str, settings: Plain) -> Table:
    """One table, made into a cohort that is thrown away."""
    from crossmod.cohort.folder import listed_files, write_cohort
    from crossmod.cohort.table import read_cohort

    key = f"cohorts.{name}.table={settings['table']}"
    try:
        with tempfile.TemporaryDirectory() as place:
            write_cohort(name, Path(place), settings)
            cohort = read_cohort(Path(place))
        missing = [
            f"  case '{row['case']}': {column} '{cohort.root / row[column]}' {problem}"
            for row in cohort.cases.to_dict("records")
            for column in ("image", "label")
            if row[column] and (problem := _problem(cohort.root / row[column]))
        ]
        if missing:
            rest = [f"  … and {len(missing) - MOST} more"] if len(missing) > MOST else []
            cure = f"Paths start from {cohort.root}; another folder is given by cohorts.{name}.root"
            raise UserError("\n".join([f"{len(missing)} files are missing:", *missing[:MOST], *rest, f"  {cure}"]))
        labelled = cohort.cases.loc[cohort.cases["label"] != "", "patient"].nunique()
        return Table([str(path) for path in listed_files(settings["table"], settings["root"])], labelled)
    except UserError as error:
        raise UserError(f"{key}: {error}") from error


def _problem(path: Path) -> str:
    if not path.exists():
        return "does not exist"
    return "" if os.access(path, os.R_OK) else "may not be read by you"
