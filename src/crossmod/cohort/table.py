"""The table of cases: what every source writes and every later step reads.

A cohort is a folder with ``cohort.json`` (name, source, simulated, root, labels) and ``cases.csv`` (one row per case).
"""

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from crossmod.anatomy.structures import structure_problem
from crossmod.job import UserError, write_json
from crossmod.schema import nearest
from crossmod.tables import read_own, records, refuse

COLUMNS = ("case", "patient", "modality", "sequence", "site", "image", "label", "tumour_side", "sex", "age")
CHOICES = {
    "modality": ("CT", "MR"),
    "tumour_side": ("right", "left", "both", "none", "unknown"),
    "sex": ("male", "female", "unknown"),
}
LABEL_VALUE = re.compile(r"0|[1-9]\d{0,9}", re.ASCII)
PRIVATE = "private.json"  # where the scans and the table lie on this machine; not for publication
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}")
_AGE = re.compile(r"\d{1,3}(\.\d*)?", re.ASCII)
_MOST_LABEL = 2**31 - 1


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
            ``image`` is relative to ``root`` and ``label`` to ``label_root``; an empty ``label`` means that there is no
            reference.
        label_root: existing folder that the paths of labels are relative to, resolved; ``root``, unless the cohort is
            derived.
    """

    name: str
    source: str
    simulated: bool
    root: Path
    labels: dict[int, str]
    cases: pd.DataFrame
    label_root: Path = field(default=None)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.label_root is None:
            object.__setattr__(self, "label_root", self.root)


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
    table: str | None = None,
    label_root: str | None = None,
) -> None:
    """Write ``cohort.json`` and ``cases.csv``, and ``private.json`` where paths lead out of the cohort's folder.

    Args:
        folder: existing folder of the cohort.
        name: of the cohort.
        source: what it was made from.
        root: folder that the paths in ``cases`` are relative to, absolute or relative to ``folder``.
        labels: label value → structure.
        cases: missing optional columns become ``unknown`` (or empty), further columns are kept.
        simulated: whether the patients are invented.
        extra: further entries of ``cohort.json``.
        table: the user's own table, absolute or relative to ``folder``.
        label_root: folder that the labels' paths are relative to, relative to ``folder``; None: ``root``.

    Raises:
        UserError: listing everything that is wrong with the table.
    """
    cases = _completed(cases)
    where = f"Cohort '{name}' ({source})"
    roots = [Path(folder, place).resolve() for place in (root, root if label_root is None else label_root)]
    refuse([*label_problems(labels), *case_problems(cases, *roots)], where)
    record = {
        **(extra or {}),
        "name": name,
        "source": source,
        "simulated": simulated,
        "labels": {str(value): labels[value] for value in sorted(labels)},
        **({} if label_root is None else {"label_root": label_root}),
    }
    outside = {} if root == "." else {"root": root}
    outside |= {} if table is None else {"table": table}
    if outside:
        write_json(folder / PRIVATE, outside)
    write_json(folder / "cohort.json", record if outside else record | {"root": root})
    cases.to_csv(folder / "cases.csv", index=False, lineterminator="\n")


def read_cohort(folder: str | Path) -> Cohort:
    """Read a cohort folder.

    Raises:
        UserError: if a file is missing or broken, or listing everything that is wrong with the table.
    """
    folder = Path(folder)
    record = read_record(folder)
    cases = read_own(folder / "cases.csv")
    where = str(folder / "cases.csv")
    missing = [column for column in COLUMNS if column not in cases.columns]
    refuse([f"column '{column}' is missing" for column in missing], where)
    cases = _completed(cases)
    root = (folder / record["root"]).resolve()
    refuse([f"labels.{value}: no label value" for value in record["labels"] if not LABEL_VALUE.fullmatch(value)], where)
    labels = {int(value): structure for value, structure in record["labels"].items()}
    label_root = (folder / record["label_root"]).resolve() if "label_root" in record else root
    refuse([*label_problems(labels), *case_problems(cases, root, label_root)], where)
    cases["age"] = pd.to_numeric(cases["age"]).astype(float)
    return Cohort(record["name"], record["source"], record["simulated"], root, labels, cases, label_root)


def read_record(folder: Path) -> dict[str, Any]:
    """The entries of ``cohort.json``, with those of ``private.json``.

    Raises:
        UserError: if the file is missing, broken or incomplete.
    """
    path = Path(folder) / "cohort.json"
    try:
        record = dict(json.loads(path.read_text(encoding="utf-8")))
        if (Path(folder) / PRIVATE).exists():
            record |= dict(json.loads((Path(folder) / PRIVATE).read_text(encoding="utf-8")))
        missing = {"name", "source", "simulated", "root", "labels"} - set(record)
        if missing:
            raise ValueError(f"no entry {', '.join(sorted(missing))}")
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path}: not a cohort ({error}). Run the cohort step again.") from error
    return record


def label_problems(labels: dict[int, str]) -> list[str]:
    """What is wrong with a mapping of label values to structures."""
    problems = [f"labels.{value}: 0 is the background, values start at 1" for value in labels if value < 1]
    problems += [f"labels.{value}: values go up to {_MOST_LABEL}" for value in labels if value > _MOST_LABEL]
    for value, structure in labels.items():
        problem = structure_problem(structure) if isinstance(structure, str) else f"{structure!r} is no name"
        if problem:
            problems.append(f"labels.{value}: {problem}")
    return problems


def case_problems(cases: pd.DataFrame, root: Path, label_root: Path | None = None) -> list[str]:
    """What is wrong with a table that has all of ``COLUMNS``, one sentence per fault."""
    problems = [] if len(cases) else ["the table has no case"]
    for case in cases.loc[cases["case"].duplicated(), "case"].unique():
        problems.append(f"case '{case}': the name occurs {(cases['case'] == case).sum()} times; give each scan its own")
    folded = cases.loc[~cases["case"].duplicated(), "case"].map(str.casefold)
    for name in folded[folded.duplicated()].unique():
        alike = ", ".join(cases.loc[folded.index[folded == name], "case"])
        problems.append(
            f"cases {alike}: the names differ by capitals only, and some disks would keep one file for both"
        )
    for number, row in enumerate(records(cases), start=1):
        who = f"case '{row['case'][:120]}'" if row["case"] else f"row {number}"
        problems += [f"{who}: {problem}" for problem in _row_problems(row, root, label_root or root)]
    return problems


def inside(root: Path, path: str) -> bool:
    """Whether a path of a table stays inside the root, symbolic links followed."""
    return not Path(path).is_absolute() and (root / path).resolve().is_relative_to(root.resolve())


def reference(path: Path, folder: Path) -> str:
    """How a cohort's files name a path outside: absolute if the user did so, else relative to the cohort's folder."""
    return str(path) if path.is_absolute() else os.path.relpath(path.resolve(), folder.resolve())


def _row_problems(row: dict[str, Any], root: Path, label_root: Path) -> list[str]:
    problems = []
    if not _NAME.fullmatch(row["case"]):
        problems.append(
            f"case is '{row['case'][:120]}'; use up to 100 letters from a to z, digits, '_', '.' and '-', no '.' in "
            "front"
        )
    problems += [f"{column} is empty" for column in ("patient", "image") if not row[column]]
    for column, choices in CHOICES.items():
        if row[column] not in choices:
            problems.append(f"{column} is '{row[column]}'{nearest(row[column], choices)}")
    for column, start in (("image", root), ("label", label_root)):
        problem = _path_problem(start, row[column]) if row[column] else ""
        if problem:
            problems.append(f"{column} is '{row[column][:120]}', {problem}")
    # ASSUME: nobody is older than 120 years; a larger number is a birth year or a slip.
    if row["age"] and not (_AGE.fullmatch(row["age"]) and float(row["age"]) <= 120):
        problems.append(f"age is '{row['age']}'; write years from 0 to 120, or leave it empty")
    return problems


def _path_problem(root: Path, path: str) -> str:
    """Why a path cannot be used; empty if it can."""
    if "\\" in path or path.startswith("~"):
        return "which has a '\\' or '~'; write the path from the root on, with '/' between folders"
    too_long = any(len(part.encode()) > 255 for part in path.split("/")) or len(str(root / path).encode()) > 4000
    if "\0" in path or too_long:
        return "which no file can be called"
    try:
        if inside(root, path):
            return ""
    except (OSError, RuntimeError) as error:
        return f"which cannot be followed ({error})"
    return (
        f"which leads out of {root}; move the file inside, or choose a root that holds all scans, and write the path "
        "relative to it"
    )


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
