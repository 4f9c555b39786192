"""Prepared arrays agree with the scans they come from."""

import numpy as np
import pandas as pd
import pytest

from crossmod import prepare
from crossmod.cohort.table import read_cohort
from crossmod.job import Job, UserError
from crossmod.prepare.arrays import FOREGROUND_VOXELS, _some_foreground
from crossmod.prepare.stored import read_prepared
from crossmod.scans.files import read_scan


@pytest.mark.parametrize("name", ["ct", "mr"])
def test_volumes_survive(tiny, name):
    cohort = read_cohort(tiny / "cohort" / name)
    case = cohort.cases.iloc[0]
    labels = read_scan(cohort.root / case["label"])
    (prepared,) = read_prepared(tiny / "prepare" / name, "kidney", [case["case"]])
    native_ml = (labels.array > 0).sum() * np.prod(labels.spacing_mm) / 1000
    prepared_ml = prepared.label.sum() * np.prod(prepared.grid.spacing_mm) / 1000
    assert abs(prepared_ml / native_ml - 1) < 0.1


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
        "stages": {"kidney": {"classes": {"kidney": ["parenchyma"]}, "region": "image", "spacing_mm": [8.0, 8.0, 8.0]}},
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


def test_every_class_is_remembered_however_small():
    label = np.ones((40, 40, 40), dtype=np.uint8)
    label[20, 20, 20:24] = 2
    points = _some_foreground(label, 3)
    values = label[tuple(points.T)]
    assert (values == 2).sum() == 4
    assert 0.4 * FOREGROUND_VOXELS / 3 < (values == 1).sum() <= FOREGROUND_VOXELS / 3
    assert points.dtype == np.int16
    assert _some_foreground(np.zeros((4, 4, 4), dtype=np.uint8), 0).shape == (0, 3)
