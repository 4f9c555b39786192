"""Toy patients: two box kidneys in a small image, cohorts of them on disk, and predictions for these.

``RENAL`` is a study's stages, units, targets and metrics, as jobs have them.
"""

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

SHAPE = (60, 20, 24)
AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])
VOXEL_ML = 2 * 2 * 3 / 1000
LABELS = {1: "right_parenchyma", 2: "left_parenchyma", 5: "right_tumour", 6: "left_tumour"}

_KIDNEY = ["parenchyma", "sinus", "tumour", "cyst", "kidney"]
RENAL: dict[str, Any] = {
    "stages": {
        "kidney": {"classes": {"kidney": _KIDNEY}, "region": "image", "keep": {"one_a_side": 2}},
        "parenchyma": {"classes": {"parenchyma": ["parenchyma"]}, "region": "kidney", "keep": {"largest": 1}},
    },
    "units": {"kidney": {"structures": _KIDNEY, "apart": "side", "facts": ["tumour"]}},
    "targets": {
        "kidney": {"title": "Kidney", "stage": "kidney", "unit": "image"},
        "parenchyma_with_tumour": {"stage": "parenchyma", "unit": "kidney", "where": {"tumour": True}},
        "parenchyma_without_tumour": {"stage": "parenchyma", "unit": "kidney", "where": {"tumour": False}},
    },
    "metrics": ["dsc", "hd95_mm", "surface_dsc", "ellipsoid_ml"],
    "surface_tolerance_mm": 2.0,
}


def patient(tumour: bool) -> np.ndarray:
    """(X, Y, Z) labels of two box kidneys; the right one holds a tumour if asked to."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[40:50, 5:15, 4:20] = 1
    labels[8:18, 5:15, 4:20] = 2
    if tumour:
        labels[46:50, 5:9, 4:9] = 5
    return labels


def sides(labels: np.ndarray) -> np.ndarray:
    """Kidney mask of a patient: 1 right, 2 left."""
    return np.where(np.isin(labels, [1, 5]), 1, np.where(np.isin(labels, [2, 6]), 2, 0))


def parenchyma(labels: np.ndarray) -> np.ndarray:
    """Parenchyma mask of a patient: 1 right, 2 left."""
    return np.where(labels == 1, 1, np.where(labels == 2, 2, 0))


def turned(labels: np.ndarray, affine: np.ndarray, codes: str) -> tuple[np.ndarray, np.ndarray]:
    """A label map with its axes in another order or direction, and its affine: the same patient in another file."""
    turn = nib.orientations.ornt_transform(nib.io_orientation(affine), nib.orientations.axcodes2ornt(codes))
    array = nib.orientations.apply_orientation(labels, turn)
    return array, affine @ nib.orientations.inv_ornt_aff(turn, labels.shape)


def save(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    """Write an array as NIfTI, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)


def write_cohort(
    folder: Path, maps: dict[str, np.ndarray], labels: dict[int, str], simulated: bool, affine: np.ndarray
) -> Path:
    """Write a cohort folder from label maps, case → (X, Y, Z)."""
    rows = []
    for case, array in maps.items():
        image = np.where(array > 0, 200, 40).astype(np.int16)
        image[0, 0, 0] = -1000
        save(folder / "images" / f"{case}.nii.gz", image, affine)
        save(folder / "labels" / f"{case}.nii.gz", array, affine)
        rows.append(
            {
                "case": case,
                "patient": f"p-{case}",
                "modality": "CT",
                "sequence": "nephrographic",
                "site": "hospital",
                "image": f"images/{case}.nii.gz",
                "label": f"labels/{case}.nii.gz",
                "tumour_side": "unknown",
                "sex": "female",
                "age": 60,
            }
        )
    pd.DataFrame(rows).to_csv(folder / "cases.csv", index=False)
    about = {"name": folder.name, "source": "simulated", "simulated": simulated, "root": str(folder)}
    about["labels"] = {str(value): name for value, name in labels.items()}
    (folder / "cohort.json").write_text(json.dumps(about))
    return folder


def write_predictions(
    folder: Path, rows: list[dict[str, Any]], affine: np.ndarray = AFFINE, columns: tuple[str, ...] = ()
) -> Path:
    """Write a folder of the predict step: of each row ``case``, ``cohort``, and masks by the column of the index.

    ``columns`` are there even where no row has a mask for them.
    """
    masks = [key for row in rows for key in row if key not in ("case", "cohort")]
    columns = tuple(dict.fromkeys([*columns, *masks]))
    index = []
    for row in rows:
        entry = {"case": row["case"], "cohort": row["cohort"], "reference": f"labels/{row['case']}.nii.gz"}
        for column in columns:
            entry[column] = ""
            if column in row:
                entry[column] = f"{row['case']}.{column}.nii.gz"
                save(folder / entry[column], np.asarray(row[column]).astype(np.uint8), affine)
        index.append(entry)
    pd.DataFrame(index).to_csv(folder / "index.csv", index=False)
    return folder
