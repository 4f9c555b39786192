"""The user's tables of scans, as conf/study/inversion_real.yaml reads them: real CT and MR, where they are at hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from crossmod import cohort
from crossmod.cohort.table import read_cohort
from crossmod.job import Job
from crossmod.prepare.treatments import NAMED
from crossmod.scans.files import read_scan
from crossmod.treat import treat_scan

pytestmark = pytest.mark.real

# Name of a cohort → folder, and its cases: (image, label) without their ending.
SETS = {
    "btcv": ("btcv_3mm", [("ct_00", "label_00"), ("ct_05", "label_05")]),
    "afirm_t1": ("afirm_t1_t2", [(f"{subject}_T1W", f"{subject}_seg") for subject in ("S01V02", "S03V01")]),
    "afirm_mprage": ("afirm_t1_t2", [("S01V02_MPRAGE", "S01V02_seg")]),
    "chaos": ("chaos_t2spir", [("image_1", "label_1")]),
}


@pytest.fixture(scope="module")
def declared(root: Path) -> dict:
    return yaml.safe_load((root / "conf/study/inversion_real.yaml").read_text())["cohorts"]


def scans(data: Path, name: str) -> Path:
    folder = data / SETS[name][0]
    if not folder.is_dir():
        pytest.skip(f"no {folder.name} among the real scans")
    return folder


@pytest.mark.parametrize("name", SETS)
def test_a_table_of_a_real_set_becomes_a_cohort(real_data, declared, tmp_path, name):
    folder, config = scans(real_data, name), declared[name]
    pairs = [(f"{image}.nii.gz", f"{label}.nii.gz") for image, label in SETS[name][1]]
    table = pd.DataFrame(pairs, columns=["image", "label"])
    names = [f"{number:02d}" for number in range(len(table))]
    table = table.assign(case=names, patient=names, modality=config["modality"])
    table.to_csv(tmp_path / "cases.csv", index=False)
    settings = {
        "name": name,
        "source": "folder",
        "table": str(tmp_path / "cases.csv"),
        "root": str(folder),
        "labels": {str(value): structure for value, structure in config["labels"].items()},
        "modality": config["modality"],
    }
    cohort.run(Job("cohort", {}, {"folder": str(tmp_path / name)}, settings))
    made = read_cohort(tmp_path / name)
    assert len(made.cases) == len(pairs) and made.labels == config["labels"] and not made.simulated


@pytest.mark.parametrize("treatment", NAMED)
@pytest.mark.parametrize("name", ["afirm_t1", "afirm_mprage"])
def test_a_real_t1_is_treated_on_its_own_grid(real_data, tmp_path, name, treatment):
    scan = scans(real_data, name) / f"{SETS[name][1][0][0]}.nii.gz"
    record = treat_scan(scan, treatment, tmp_path, "auto", fit=True)  # values of ten thousands, or of millions
    assert record["warnings"] == []
    given, done = read_scan(scan), read_scan(tmp_path / next(iter(record["files"])))
    np.testing.assert_array_equal(done.affine, given.affine)
    assert done.array.shape == given.array.shape
    if treatment == "inverted":
        assert np.corrcoef(given.array.ravel(), done.array.ravel())[0, 1] == pytest.approx(-1, abs=1e-3)
