"""A cohort of two tiny patients on disk, and predictions for it."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

SHAPE = (60, 20, 24)
AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])
LABELS = {"1": "right_parenchyma", "2": "left_parenchyma", "5": "right_tumour", "6": "left_tumour"}


def patient(tumour: bool) -> np.ndarray:
    """(X, Y, Z) labels of two box kidneys; the right one holds a tumour if asked to."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[40:50, 5:15, 4:20] = 1
    labels[8:18, 5:15, 4:20] = 2
    if tumour:
        labels[46:50, 5:9, 4:9] = 5
    return labels


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, AFFINE), path)


@pytest.fixture
def write_cohort(tmp_path):
    """Write a cohort folder from label maps; returns its path."""

    def write(name: str, maps: dict[str, np.ndarray], labels=LABELS, simulated: bool = True) -> Path:
        folder = tmp_path / "cohort" / name
        rows = []
        for case, array in maps.items():
            image = np.where(array > 0, 200, 40).astype(np.int16)
            image[0, 0, 0] = -1000
            save(folder / "images" / f"{case}.nii.gz", image)
            save(folder / "labels" / f"{case}.nii.gz", array)
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
        about = {
            "name": name,
            "source": "simulated",
            "simulated": simulated,
            "root": str(folder),
            "labels": labels,
        }
        (folder / "cohort.json").write_text(json.dumps(about))
        return folder

    return write


@pytest.fixture
def write_predictions(tmp_path):
    """Write a folder of predict from rows of masks; returns its path."""

    def write(rows: list[dict]) -> Path:
        folder = tmp_path / "predict"
        index = []
        for row in rows:
            entry = {
                "case": row["case"],
                "cohort": row["cohort"],
                "reference": f"labels/{row['case']}.nii.gz",
            }
            for column in ("kidney", "parenchyma", "parenchyma_reference_box"):
                entry[column] = ""
                if column in row:
                    entry[column] = f"{row['case']}.{column}.nii.gz"
                    save(folder / entry[column], row[column].astype(np.uint8))
            index.append(entry)
        pd.DataFrame(index).to_csv(folder / "index.csv", index=False)
        return folder

    return write


@pytest.fixture
def maps() -> dict[str, np.ndarray]:
    """One patient with a tumour in the right kidney, one without any."""
    return {"c1": patient(tumour=True), "c2": patient(tumour=False)}
