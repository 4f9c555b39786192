"""Prepared arrays agree with the scans they come from."""

import numpy as np
import pandas as pd
import pytest

from crossmod import prepare
from crossmod.anatomy.kidneys import reference_kidneys
from crossmod.cohort.table import read_cohort
from crossmod.job import Job, UserError
from crossmod.prepare.arrays import foreground_values, read_prepared
from crossmod.scans.files import read_scan


@pytest.mark.parametrize("name", ["ct", "mr"])
def test_volumes_and_boxes_survive(tiny, name):
    cohort = read_cohort(tiny / "cohort" / name)
    case = cohort.cases.iloc[0]
    labels = read_scan(cohort.root / case["label"])
    (prepared,) = read_prepared(tiny / "prepare" / name, "kidney", [case["case"]])
    native_ml = (labels.array > 0).sum() * np.prod(labels.spacing_mm) / 1000
    prepared_ml = prepared.label.sum() * np.prod(prepared.grid.spacing_mm) / 1000
    assert abs(prepared_ml / native_ml - 1) < 0.1
    kidneys = reference_kidneys(labels.array, cohort.labels, labels.affine)
    assert sorted(prepared.boxes) == sorted(kidney.side for kidney in kidneys)
    centres = {side: (np.array(low) + np.array(high)) / 2 for side, (low, high) in prepared.boxes.items()}
    assert centres["right"][0] > centres["left"][0], "R-A-S: the first axis grows towards the patient's right"
    for low, high in prepared.boxes.values():
        assert prepared.label[tuple(slice(max(a, 0), b) for a, b in zip(low, high, strict=True))].any()


def test_arrays_are_memory_mapped_and_normalised(tiny):
    cases = pd.read_csv(tiny / "prepare/mr/index.csv")["case"].unique()
    for prepared in read_prepared(tiny / "prepare/mr", "parenchyma", cases):
        assert isinstance(prepared.image, np.memmap)
        assert prepared.image.dtype == np.float16
        assert np.isfinite(np.asarray(prepared.image, dtype=float)).all()
        assert set(np.unique(prepared.label)) == {0, 1}
        assert prepared.label[tuple(prepared.foreground.T)].all()


def test_the_same_bytes_on_any_number_of_processes(tiny, tmp_path):
    settings = {
        "stages": {"kidney": {"structures": ["parenchyma"], "spacing_mm": [8.0, 8.0, 8.0]}},
        "normalisation": {"ct_window_hu": [-200.0, 300.0], "mr_percentiles": [0.5, 99.5]},
    }
    for threads in (1, 2):
        job = Job(
            "prepare", {"cohort": str(tiny / "cohort/ct")}, {"folder": str(tmp_path / str(threads))}, settings, threads
        )
        prepare.run(job)
    files = sorted(path.name for path in (tmp_path / "1").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "2").iterdir())
    for file in files:
        assert (tmp_path / "1" / file).read_bytes() == (tmp_path / "2" / file).read_bytes()


def test_unknown_case_is_named(tiny):
    with pytest.raises(UserError, match="not prepared for stage 'kidney', the first 'ct-9999'"):
        read_prepared(tiny / "prepare/ct", "kidney", ["ct-9999"])


def test_labels_without_parenchyma_cannot_teach_it(tiny, tmp_path):
    index = pd.read_csv(tiny / "prepare/ct/index.csv").assign(teaches=False)
    index.to_csv(tmp_path / "index.csv", index=False)
    with pytest.raises(UserError, match="cannot teach stage 'parenchyma'"):
        read_prepared(tmp_path, "parenchyma", [index["case"][0]], teaching=True)


def test_structures_of_both_sides_count():
    names = {1: "right_parenchyma", 2: "left_parenchyma", 3: "tumour", 4: "liver"}
    assert foreground_values(names, ["parenchyma", "tumour"]) == [1, 2, 3]
