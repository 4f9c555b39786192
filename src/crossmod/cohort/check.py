"""The one check that every cohort passes before anything trains; all faults are listed at once."""

import sys
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from crossmod.cohort.inspection import FACTS, FAULTS, Fault, faults_table, inspect_case
from crossmod.cohort.table import Cohort, read_cohort, read_record
from crossmod.job import UserError
from crossmod.parallel import each
from crossmod.tables import read_own, records

TOLD = 20  # warnings that are printed


def check_cohort(cohort: Cohort, threads: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Look at every file of a cohort, case by case: memory holds one case per thread.

    Args:
        cohort: the table.
        threads: processes that work at the same time; the result does not depend on it.

    Returns:
        Facts (one row per case: ``case, image_sha256, shape_*, spacing_*_mm, min, max, mean, label_values``) and faults
        (``cohort, case, severity, file, problem, value, cure``).
    """
    rows = cohort.cases.to_dict("records")
    facts, faults = [], []
    work = partial(inspect_case, cohort)
    for case_facts, case_faults in each(f"cohort {cohort.name}: check", work, rows, threads):
        facts.append(case_facts)
        faults += case_faults
    return pd.DataFrame(facts, columns=list(FACTS)), faults_table(faults)


def write_check(folder: Path, cohort: Cohort, threads: int = 1) -> None:
    """Write ``facts.csv`` and ``faults.csv`` into a cohort's folder."""
    facts, faults = check_cohort(cohort, threads)
    facts.to_csv(folder / "facts.csv", index=False, lineterminator="\n")
    faults.to_csv(folder / "faults.csv", index=False, lineterminator="\n")


_LEAKS = (
    "A patient must stay in one cohort, or training and validation may share them: remove them from one. If they are "
    "two people with one number, prefix the numbers with the hospital."
)
_VALIDATES_TWICE = (
    "Nothing has to be done: neither cohort trains. Scores of the two are of the same people; do not compare them as "
    "if they were of different ones."
)


def check_cohorts(folders: list[Path], training: Collection[str] | None = None) -> pd.DataFrame:
    """The faults of several checked cohorts, and those that only show when they are seen together.

    Added are: a case name used in two cohorts (warning), one image under two names, and one patient in two cohorts,
    which is a warning where neither cohort trains.

    Args:
        folders: of the cohorts.
        training: names of those that networks learn from; None: any may be.

    Returns:
        Rows ``cohort, case, severity, file, problem, value, cure``; errors first.
    """
    cohorts = [read_cohort(folder) for folder in folders]
    tables = [read_own(Path(folder) / "faults.csv") for folder in folders]
    facts = [read_own(Path(folder) / "facts.csv") for folder in folders]
    joint = [*_same_names(cohorts), *_same_images(cohorts, facts), *_same_patients(cohorts, folders, training)]
    table = pd.concat([*tables, faults_table(joint)], ignore_index=True)[list(FAULTS)]
    return table.sort_values("severity", kind="stable", ignore_index=True)


def refuse_errors(faults: pd.DataFrame) -> None:
    """Stop if any fault is an error.

    Raises:
        UserError: with one readable line per error: case, file, problem, value, cure.
    """
    errors = _lines(faults, "error")
    if errors:
        raise UserError(f"{len(errors)} faults in the cohorts; nothing was trained:\n" + "\n".join(errors))


def tell_warnings(faults: pd.DataFrame, table: Path) -> None:
    """Print the first warnings, which stop nothing, and where all of them stand."""
    warnings = _lines(faults, "warning")
    if warnings:
        print(f"{len(warnings)} warnings in the cohorts; all of them are in {table}:", file=sys.stderr)
        print("\n".join(warnings[:TOLD]), file=sys.stderr)


def _lines(faults: pd.DataFrame, severity: str) -> list[str]:
    """One readable line per fault of a severity: case, file, problem, value, cure."""
    return [
        f"  {row['cohort']}/{row['case']}: {row['file']}: {row['problem']} ({row['value']}). {row['cure']}"
        if row["value"]
        else f"  {row['cohort']}/{row['case']}: {row['file']}: {row['problem']}. {row['cure']}"
        for row in records(faults[faults["severity"] == severity])
    ]


def _same_names(cohorts: list[Cohort]) -> Iterable[Fault]:
    everyone = [(row.case, cohort.name, row.image) for cohort in cohorts for row in cohort.cases.itertuples()]
    for case, cohort, image, others in _repeats(everyone):
        where = ", ".join(name for name, _ in others)
        cure = "Nothing has to be done: results name the cohort too. Rename one if people will mix them up."
        yield Fault(cohort, case, "warning", image, "the case name is used in another cohort", where, cure)


def _same_images(cohorts: list[Cohort], facts: list[pd.DataFrame]) -> Iterable[Fault]:
    everyone = []
    for cohort, table in zip(cohorts, facts, strict=True):
        digests = dict(zip(table["case"], table["image_sha256"], strict=True))
        everyone += [
            (digests[row.case], (cohort.name, row.case), row.image)
            for row in cohort.cases.itertuples()
            if digests.get(row.case)
        ]
    for digest, (cohort, case), image, others in _repeats(everyone):
        where = ", ".join(f"{name}/{other}" for (name, other), _ in others)
        cure = "Keep one of them; if they are to be different scans, one file was copied over the other."
        value = f"the same voxels as {where}, SHA-256 {digest[:12]}…"
        yield Fault(cohort, case, "error", image, "duplicate image", value, cure)


def _same_patients(cohorts: list[Cohort], folders: list[Path], training: Collection[str] | None) -> Iterable[Fault]:
    from crossmod.cohort.folder import identities

    stated = [read_record(Path(folder)) for folder in folders]
    # One table has nothing to be compared with; pseudonyms of two tables say nothing about each other.
    several = sum("table" in record for record in stated) > 1
    everyone = []
    for cohort, folder, record in zip(cohorts, folders, stated, strict=True):
        real = identities(Path(folder), record) if several and "table" in record else {}
        for row in records(cohort.cases.drop_duplicates("patient")):
            case = row["case"]
            key = ("table", real[case]) if case in real else ("name", row["patient"])
            everyone.append((key, (cohort.name, case), row["image"]))
    for _, (cohort, case), image, others in _repeats(everyone):
        where = ", ".join(f"{name}/{other}" for (name, other), _ in others)
        learned = training is None or not {cohort, *(name for (name, _), _ in others)}.isdisjoint(training)
        severity, cure = ("error", _LEAKS) if learned else ("warning", _VALIDATES_TWICE)
        yield Fault(cohort, case, severity, image, "the patient is in two cohorts", f"the patient of {where}", cure)


def _repeats(everyone: list[tuple]) -> Iterator[tuple]:
    """(key, who, file, others) for every entry but the first of a key.

    ``others`` are the earlier (who, file) of that key.
    """
    seen: dict[Any, list[tuple]] = {}
    for key, who, file in everyone:
        earlier = seen.setdefault(key, [])
        if earlier:
            yield key, who, file, list(earlier)
        earlier.append((who, file))
