"""A scan on the stages' grids.

It is whole where a stage looks everywhere and comes box by box where it does not; no more is ever in memory.
"""

import tracemalloc

import numpy as np
import pytest

from crossmod.predict.on_grid import on_grids
from crossmod.prepare.arrays import normalise
from crossmod.scans.box import window
from crossmod.scans.files import open_scan, write_scan
from crossmod.scans.scan import Scan
from tests.bright import KIDNEY, NORMALISATION, STAGES, patient


@pytest.mark.parametrize("codes", [("L", "P", "S"), ("P", "I", "R")])
def test_a_box_resampled_by_itself_is_that_of_the_whole(codes, tmp_path):
    scan, _ = patient(codes)
    write_scan(tmp_path / "scan.nii.gz", scan)
    ready = on_grids(open_scan(tmp_path / "scan.nii.gz"), "CT", STAGES, NORMALISATION)
    normal = normalise(scan, "CT", NORMALISATION)
    grid = normal.grid(STAGES["parenchyma"]["spacing_mm"])
    whole = normal.on_grid(grid)
    assert ready.images["parenchyma"].shape == whole.shape == grid.shape
    for low in ((-3, 5, 40), (10, 10, 10), (50, 40, 20), (500, 0, 0)):
        found = window(ready.images["parenchyma"], np.array(low), np.array([30, 25, 20]), ready.background)
        wanted = window(whole, np.array(low), np.array([30, 25, 20]), normal.background)
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_memory_does_not_grow_with_the_slices(tmp_path, monkeypatch):
    monkeypatch.setattr("crossmod.scans.grid.SLAB_VOXELS", 200_000)
    monkeypatch.setattr("crossmod.scans.scan.AT_ONCE_VOXELS", 200_000)
    peaks = {}
    for slices in (100, 400):
        array = np.full((96, 96, slices), -1000, dtype=np.int16)
        array[20:70, 30:60] = np.arange(slices) % 90
        write_scan(tmp_path / "ct.nii.gz", Scan(array, np.diag([3.0, 3.0, 1.0, 1.0])))
        tracemalloc.start()
        scan = open_scan(tmp_path / "ct.nii.gz")
        ready = on_grids(scan, "CT", STAGES, NORMALISATION)
        window(ready.images["parenchyma"], np.array([5, 5, 5]), np.array([16, 16, 16]), ready.background)
        peaks[slices] = tracemalloc.get_traced_memory()[1] - ready.images["kidney"].nbytes
        tracemalloc.stop()
    assert peaks[400] < 1.1 * peaks[100] < array.nbytes


def test_an_axis_without_a_spacing_keeps_the_scan_s_own():
    scan, _ = patient(("P", "I", "R"), spacing_mm=(2.5, 2.5, 4.0))  # x, the left-right axis, comes last
    stage = KIDNEY | {"spacing_mm": [None, 4.0, None]}
    ready = on_grids(scan, "CT", {"kidney": stage}, NORMALISATION)
    np.testing.assert_allclose(ready.grids["kidney"].spacing_mm, [2.5, 4.0, 4.0])
    assert ready.images["kidney"].shape == ready.grids["kidney"].shape
