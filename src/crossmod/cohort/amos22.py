"""AMOS22: abdominal CT and MR with fifteen organs outlined, the kidneys by side; no renal tumours named."""

import re
from pathlib import Path
from typing import Any

import pandas as pd

from crossmod.cohort.layout import choice, dataset_folder
from crossmod.cohort.table import reference, write_table
from crossmod.job import UserError
from crossmod.tables import read_user

LABELS = {
    1: "spleen",
    2: "right_kidney",
    3: "left_kidney",
    4: "gallbladder",
    5: "oesophagus",
    6: "liver",
    7: "stomach",
    8: "aorta",
    9: "inferior_vena_cava",
    10: "pancreas",
    11: "right_adrenal_gland",
    12: "left_adrenal_gland",
    13: "duodenum",
    14: "bladder",
    15: "prostate_or_uterus",
}
_META = "labeled_data_meta_0000_0599.csv"


def write_cohort(name: str, folder: Path, settings: dict[str, Any], threads: int = 1) -> None:
    """Make a cohort of the labelled part of AMOS22 (training and validation); scans stay where they are.

    Args:
        name: of the cohort.
        folder: existing folder to write into.
        settings: ``root``, the folder that holds ``imagesTr``, ``labelsTr`` and so on (or ``amos22`` with them);
            ``modality``: CT or MR, both if not given.
        threads: unused, nothing is converted.

    Raises:
        UserError: if the layout is another one, or it has no labelled case of the modality.
    """
    dataset = dataset_folder(name, settings, "imagesTr/amos_*.nii.gz", "amos22")
    wanted = choice(name, settings, "modality", ("CT", "MR"))
    people = _people(dataset)
    rows, left_out = [], {}
    for image in sorted([*dataset.glob("imagesTr/amos_*.nii.gz"), *dataset.glob("imagesVa/amos_*.nii.gz")]):
        case = image.name.removesuffix(".nii.gz")
        number = re.fullmatch(r"amos_(\d+)", case)
        if number is None or _modality(int(number[1])) not in wanted:
            continue
        label = image.parent.name.replace("images", "labels") + f"/{image.name}"
        if not (dataset / label).exists():
            left_out[case] = f"no {label}"
            continue
        rows.append(
            {
                "case": case,
                "patient": f"amos22-{number[1]}",
                "modality": _modality(int(number[1])),
                "image": f"{image.parent.name}/{image.name}",
                "label": label,
                "site": "amos22",
                **people.get(int(number[1]), {}),
            }
        )
    for outlines in sorted([*dataset.glob("labelsTr/amos_*.nii.gz"), *dataset.glob("labelsVa/amos_*.nii.gz")]):
        lacking = outlines.parent.name.replace("labels", "images") + f"/{outlines.name}"
        if not (dataset / lacking).exists():
            left_out[outlines.name.removesuffix(".nii.gz")] = f"no {lacking}"
    if not rows:
        raise UserError(f"Cohort '{name}': {dataset} has no labelled case of modality {' or '.join(wanted)}.")
    write_table(
        folder,
        name=name,
        source="amos22",
        root=reference(dataset, folder),
        labels=LABELS,
        cases=pd.DataFrame(rows).sort_values("case"),
        extra={"left_out": left_out},
    )


def _modality(number: int) -> str:
    # ASSUME: numbers up to 500 are CT, those above MR; the check of the cohort would notice Hounsfield units in an MR.
    return "CT" if number <= 500 else "MR"


def _people(dataset: Path) -> dict[int, dict[str, Any]]:
    """Number → sex and age, from the table published beside the archive; empty without it."""
    path = next((place / _META for place in (dataset, dataset.parent) if (place / _META).exists()), None)
    if path is None:
        return {}
    table = read_user(path)
    if "amos_id" not in table:
        raise UserError(f"{path}: no column 'amos_id'; found: {', '.join(table.columns)}. Download it again.")
    sexes = {"M": "male", "F": "female"}
    found = {}
    for row in table.to_dict("records"):
        # DICOM writes an age in years as 061Y.
        age = re.fullmatch(r"0*(\d+)Y?", row.get("Patient's Age", ""))
        sex = sexes.get(row.get("Patient's Sex", ""), "unknown")
        found[int(row["amos_id"])] = {"sex": sex, "age": age[1] if age else ""}
    return found
