"""The table of cases: what every source writes and every later step reads.

A cohort is a folder with ``cohort.json`` (name, source, simulated, root, labels) and ``cases.csv`` (one row per case).
"""

import difflib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from crossmod.cohort.structures import structure_problem
from crossmod.job import UserError, write_json

COLUMNS = ("case", "patient", "modality", "sequence", "site", "image", "label", "tumour_side", "sex", "age")
CHOICES = {
    "modality": ("CT", "MR"),
    "tumour_side": ("right", "left", "both", "none", "unknown"),
    "sex": ("male", "female", "unknown"),
}
_NAME = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True, eq=False)
class Cohort:
    """A table of cases.

    Attributes:
        name: of the cohort, unique in a study.
        source: what it was made from (simulated, folder, kits23, …).
        simulated: whether its patients are invented.
        root: existing folder that the paths in ``cases`` are relative to, resolved.
        labels: label value → structure, ``[right_|left_]name``.
        cases: one row per case with ``COLUMNS`` and any further ones; text, but for ``age`` (years, NaN if unknown).
            ``image`` and ``label`` are relative to ``root``; an empty ``label`` means that there is no reference.
    """

    name: str
    source: str
    simulated: bool
    root: Path
    labels: dict[int, str]
    cases: pd.DataFrame


def write_table(
    folder: Path,
    *,
    name: str,
    source: str,
    root: str,
    labels: dict[int, str],
    cases: pd.DataFrame,
    simulated: bool = False,
    extra: dict[str, Any] | None = None,
) -> None:
    """Write ``cohort.json`` and ``cases.csv``.

    Args:
        folder: existing folder of the cohort.
        name: of the cohort.
        source: what it was made from.
        root: folder that the paths in ``cases`` are relative to, absolute or relative to ``folder``.
        labels: label value → structure.
        cases: missing optional columns become ``unknown`` (or empty), further columns are kept.
        simulated: whether the patients are invented.
        extra: further entries of ``cohort.json``.

    Raises:
        UserError: listing everything that is wrong with the table.
    """
    cases = _completed(cases)
    where = f"Cohort '{name}' ({source})"
    refuse([*label_problems(labels), *case_problems(cases, Path(folder, root).resolve())], where)
    record = {
        **(extra or {}),
        "name": name,
        "source": source,
        "simulated": simulated,
        "root": root,
        "labels": {str(value): labels[value] for value in sorted(labels)},
    }
    write_json(folder / "cohort.json", record)
    cases.to_csv(folder / "cases.csv", index=False, lineterminator="\n")


def read_cohort(folder: str | Path) -> Cohort:
    """Read a cohort folder.

    Raises:
        UserError: if a file is missing or broken, or listing everything that is wrong with the table.
    """
    folder = Path(folder)
    record = read_record(folder)
    try:
        cases = pd.read_csv(folder / "cases.csv", dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / 'cases.csv'}: cannot be read ({error}). Run the cohort step again.") from error
    where = str(folder / "cases.csv")
    missing = [column for column in COLUMNS if column not in cases.columns]
    refuse([f"column '{column}' is missing" for column in missing], where)
    cases = _completed(cases)
    root = (folder / record["root"]).resolve()
    labels = {int(value): structure for value, structure in record["labels"].items()}
    refuse([*label_problems(labels), *case_problems(cases, root)], where)
    cases["age"] = pd.to_numeric(cases["age"]).astype(float)
    return Cohort(record["name"], record["source"], record["simulated"], root, labels, cases)


def read_record(folder: Path) -> dict[str, Any]:
    """The entries of ``cohort.json``.

    Raises:
        UserError: if the file is missing, broken or incomplete.
    """
    path = Path(folder) / "cohort.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        missing = {"name", "source", "simulated", "root", "labels"} - set(record)
        if missing:
            raise ValueError(f"no entry {', '.join(sorted(missing))}")
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a cohort ({error}). Run the cohort step again.") from error
    return record


def label_problems(labels: dict[int, str]) -> list[str]:
    """What is wrong with a mapping of label values to structures."""
    problems = [f"labels.{value}: 0 is the background, values start at 1" for value in labels if value < 1]
    for value, structure in labels.items():
        problem = structure_problem(structure)
        if problem:
            problems.append(f"labels.{value}: {problem}")
    return problems


def case_problems(cases: pd.DataFrame, root: Path) -> list[str]:
    """What is wrong with a table that has all of ``COLUMNS``, one sentence per fault."""
    problems = [] if len(cases) else ["the table has no case"]
    for case in cases.loc[cases["case"].duplicated(), "case"].unique():
        problems.append(f"case '{case}': the name occurs {(cases['case'] == case).sum()} times; give each scan its own")
    for number, row in enumerate(cases.to_dict("records"), start=1):
        who = f"case '{row['case']}'" if row["case"] else f"row {number}"
        problems += [f"{who}: {problem}" for problem in _row_problems(row, root)]
    return problems


def inside(root: Path, path: str) -> bool:
    """Whether a path of a table stays inside the root, symbolic links followed."""
    return not Path(path).is_absolute() and (root / path).resolve().is_relative_to(root.resolve())


def reference(path: Path, folder: Path) -> str:
    """How a cohort's files name a path outside: absolute if the user did so, else relative to the cohort's folder."""
    return str(path) if path.is_absolute() else os.path.relpath(path.resolve(), folder.resolve())


def nearest(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)``, or the valid words."""
    known = list(known)
    folded = {item.casefold(): item for item in known}
    matches = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.5)
    return f"; did you mean '{folded[matches[0]]}'?" if matches else f"; valid: {', '.join(known)}"


def refuse(problems: list[str], where: str) -> None:
    """Raise a UserError that lists all problems at once; do nothing if there is none."""
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise UserError(f"{where}: {len(problems)} problem{'s' * (len(problems) > 1)}:\n{lines}")


def _row_problems(row: dict[str, Any], root: Path) -> list[str]:
    problems = []
    if not _NAME.fullmatch(row["case"]):
        problems.append(f"case is '{row['case']}'; use letters, digits, '_', '.' and '-'")
    problems += [f"{column} is empty" for column in ("patient", "image") if not row[column]]
    for column, choices in CHOICES.items():
        if row[column] not in choices:
            problems.append(f"{column} is '{row[column]}'{nearest(row[column], choices)}")
    for column in ("image", "label"):
        if row[column] and not inside(root, row[column]):
            problems.append(
                f"{column} is '{row[column]}', which leads out of {root}; move the file inside, or choose a root that "
                "holds all scans, and write the path relative to it"
            )
    if row["age"] and not _is_age(row["age"]):
        problems.append(f"age is '{row['age']}'; write years from 0 to 120, or leave it empty")
    return problems


def _is_age(text: str) -> bool:
    try:
        # ASSUME: nobody is older than 120 years; a larger number is a birth year or a slip.
        return 0 <= float(text) <= 120
    except ValueError:
        return False


def _completed(cases: pd.DataFrame) -> pd.DataFrame:
    """All as text, optional columns filled in, in the order of ``COLUMNS``."""
    cases = cases.copy()
    for column in COLUMNS:
        if column not in cases.columns:
            cases[column] = "" if column in ("label", "age") else "unknown"
    cases = cases.apply(lambda column: column.map(_text))
    for column in ("sequence", "site", *CHOICES):
        cases[column] = cases[column].replace("", "unknown")
    further = [column for column in cases.columns if column not in COLUMNS]
    return cases[[*COLUMNS, *further]].reset_index(drop=True)


def _text(value: Any) -> str:
    """A cell as text: empty for missing values, 61 rather than 61.0."""
    if pd.isna(value):
        return ""
    return f"{value:.15g}" if isinstance(value, float) else str(value).strip()
