"""The user's own scans: a CSV with one row per scan.

Patients' numbers become pseudonyms in the order of the table (``<cohort>-P0001``, …), so no identifier reaches a
result. A hash would not do: hospital numbers are few enough to be found by trying them all. To notice a patient who is
in two tables, the joint check reads both tables again and compares the numbers in memory.
"""

import difflib
import re
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from crossmod.cohort.layout import required
from crossmod.cohort.table import CHOICES, COLUMNS, LABEL_VALUE, reference, write_table
from crossmod.job import UserError
from crossmod.tables import MISSING, folded, read_user, refuse, refuse_shortened, refuse_unsafe

REQUIRED = ("case", "patient", "modality", "image", "label")


def write_cohort(name: str, folder: Path, settings: dict[str, Any], threads: int = 1) -> None:
    """Make a cohort of the user's table; scans stay where they are.

    Args:
        name: of the cohort.
        folder: existing folder to write into.
        settings: ``table`` (CSV; columns case, patient, modality, image, label must be there, label may be empty;
            sequence, site, tumour_side, sex, age are optional; further columns are left out, for they may name a
            patient), ``labels`` (value → structure) and optionally ``root`` (folder that paths are relative to; by
            default the table's own) and ``modality`` (CT or MR: what every scan must be).
        threads: unused, nothing is converted.

    Raises:
        UserError: listing everything that is wrong with the table.
    """
    required(name, settings, "table", "labels")
    _refuse_other_types(name, settings)
    table = Path(settings["table"])
    root = Path(settings.get("root") or table.parent)
    if not (_exists(root) and root.is_dir()):
        raise UserError(f"Cohort '{name}': root is '{root}', which is no folder.")
    cases, left_out = read_user_table(table)
    if left_out:
        print(
            f"cohort {name}: columns of its table that results do not need are left out: {', '.join(left_out)}",
            file=sys.stderr,
        )
    refuse(_other_modality(name, cases, settings.get("modality")), str(table))
    order = {patient: number for number, patient in enumerate(cases["patient"].map(folded).unique(), start=1)}
    cases["patient"] = [f"{name}-P{order[folded(patient)]:04d}" for patient in cases["patient"]]
    write_table(
        folder,
        name=name,
        source="folder",
        root=reference(root, folder),
        labels=_labels(name, settings["labels"]),
        cases=cases,
        table=reference(table, folder),
    )


# What DICOM and other programs call it; capitals play no part.
_WORDS = {
    "modality": {"mri": "MR", "mr": "MR", "ct": "CT"},
    "sex": {"m": "male", "f": "female", "o": "unknown"},
    "tumour_side": {"r": "right", "l": "left", "b": "both", "bilateral": "both"},
}
_YEARS = re.compile(r"(\d{3})Y", re.ASCII)  # DICOM's age


def read_user_table(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Read the user's CSV: the declared columns as text, and the names of the others, whose cells go nowhere.

    Raises:
        UserError: if it cannot be read (see :func:`crossmod.tables.read_user`), or listing all faults of its columns
            and empty patients.
    """
    cases = read_user(path)
    refuse(_column_problems(list(cases.columns)), str(path))
    kept = [column for column in cases.columns if column in COLUMNS]
    left_out = [column for column in cases.columns if column not in COLUMNS]
    refuse_unsafe(path, cases, [column for column in kept if column != "patient"])
    refuse_shortened(path, cases, ("case", "patient"))
    refuse([f"line {line}: patient is empty" for line, who in cases["patient"].items() if not who], str(path))
    return _in_own_words(cases[kept]).reset_index(drop=True), left_out


def _in_own_words(cases: pd.DataFrame) -> pd.DataFrame:
    """A table in which columns of fixed words hold the words that the later steps know.

    Other programs write them in other ways. All other columns stay as they are.
    """
    cases = cases.copy()
    for column, words in _WORDS.items():
        if column in cases:
            known = {word: word for word in CHOICES[column]} | words
            cases[column] = [known.get(text.casefold(), text) for text in cases[column]]
    for column in {"sex", "tumour_side", "age", "label"} & set(cases):
        cases[column] = cases[column].mask(cases[column].isin(MISSING), "")
    if "age" in cases:
        cases["age"] = [str(int(found[1])) if (found := _YEARS.fullmatch(text)) else text for text in cases["age"]]
        cases["age"] = cases["age"].str.replace(",", ".")
    return cases


def listed_files(table: str | Path, root: str | Path | None = None) -> list[Path]:
    """The table itself and every image and label that it lists and that exists; missing ones are the check's to name.

    Raises:
        UserError: if the table cannot be read.
    """
    table = Path(table)
    cases, _ = read_user_table(table)
    base = Path(root or table.parent)
    paths = [base / name for column in ("image", "label") for name in cases[column] if name]
    return [table, *sorted({path for path in paths if _exists(path)})]


def identities(folder: Path, record: dict[str, Any]) -> dict[str, str]:
    """Case → the patient's own number, read again from the user's table; never to be written or shown.

    Args:
        folder: of the cohort.
        record: its ``cohort.json``, with the entry ``table``.

    Raises:
        UserError: if the table is gone or altered beyond reading.
    """
    try:
        cases, _ = read_user_table((folder / record["table"]).resolve())
    except UserError as error:
        raise UserError(
            f"Cohort '{record['name']}': its patients cannot be compared with those of other tables, for its own table "
            f"cannot be read any more. Put it back, or run the cohort step again.\n{error}"
        ) from error
    return {case: folded(patient) for case, patient in zip(cases["case"], cases["patient"], strict=True)}


def _refuse_other_types(name: str, settings: dict[str, Any]) -> None:
    problems = [
        f"{key} is {settings[key]!r}; it must be {what}"
        for key, kind, what in (("table", str, "a path"), ("root", str, "a path"), ("labels", dict, "value: structure"))
        if settings.get(key) and not isinstance(settings[key], kind)
    ]
    refuse(problems, f"Cohort '{name}' (folder)")


def _labels(name: str, labels: dict[Any, str]) -> dict[int, str]:
    """Label values as numbers: JSON has them as text."""
    wrong = [
        f"labels.{value}: a label value is a whole number" for value in labels if not LABEL_VALUE.fullmatch(str(value))
    ]
    refuse(wrong, f"Cohort '{name}' (folder)")
    return {int(value): structure for value, structure in labels.items()}


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False  # Its name is too long; the check says so.


def _other_modality(name: str, cases: pd.DataFrame, wanted: str | None) -> list[str]:
    """Scans of the other modality than the cohort's, where it has one."""
    cure = f"if it is meant, set cohorts.{name}.modality to it, or to null for both"
    other = cases[cases["modality"].isin({"CT", "MR"} - {wanted})] if wanted else cases[:0]
    return [
        f"case '{row.case}': modality is {row.modality}, the cohort's is {wanted}; {cure}" for row in other.itertuples()
    ]


def _column_problems(columns: list[str]) -> list[str]:
    missing = [column for column in COLUMNS if column not in columns]
    if not {column.casefold() for column in columns} & set(COLUMNS):
        # The line may hold a patient's number, so it is not shown.
        return [f"its first line names none of the columns {', '.join(REQUIRED)}; write them as the first line"]
    problems = []
    for column in [c for c in columns if c not in COLUMNS]:
        meant = difflib.get_close_matches(column.casefold(), missing, n=1, cutoff=0.75)
        if meant:
            problems.append(f"column '{column}' is unknown; did you mean '{meant[0]}'?")
            missing.remove(meant[0])
    found = ", ".join(columns)
    problems += [f"column '{column}' is missing; found: {found}" for column in REQUIRED if column in missing]
    return problems
