"""The cascade in space: with a network that thresholds brightness, masks lie where the bright bodies are."""

import tracemalloc

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from crossmod.anatomy.kidneys import assign_sides
from crossmod.predict.cascade import _only, kidney_boxes, kidneys_of, on_grids, segment_kidneys, segment_parenchyma
from crossmod.predict.network import TrainedStage
from crossmod.prepare.arrays import normalise
from crossmod.scans.box import window
from crossmod.scans.files import open_scan, write_scan
from crossmod.scans.grid import Grid, resample
from crossmod.scans.scan import Scan

NORMALISATION = {"ct_window_hu": [-200.0, 300.0], "mr_percentiles": [0.5, 99.5]}
STAGES = {
    "kidney": {
        "spacing_mm": [4.0, 4.0, 4.0],
        "patch": [32, 32, 32],
        "components": 2,
        "overlap": 0.25,
        "margin_mm": 10.0,
    },
    "parenchyma": {
        "spacing_mm": [3.0, 3.0, 3.0],
        "patch": [16, 16, 16],
        "components": 1,
        "overlap": 0.25,
        "margin_mm": 10.0,
    },
}


class Bright(torch.nn.Module):
    """Logits that say foreground where the image is brighter than one SD."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 1, X, Y, Z) → (B, 2, X, Y, Z)."""
        return torch.cat([torch.zeros_like(x), 20 * (x - 1.0)], dim=1)


@pytest.fixture(scope="module")
def stages():
    return {name: TrainedStage.of(Bright(), stage, "32-true") for name, stage in STAGES.items()}


def patient(codes=("L", "P", "S"), spacing_mm=(2.5, 2.5, 4.0), kidneys=("right", "left")):
    """A CT of a box of soft tissue with two bright balls of 25 mm radius, 55 mm beside the midline; and a speck."""
    shape = tuple(round(extent / s) for extent, s in zip((240, 180, 160), spacing_mm, strict=True))
    lps = nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(("L", "P", "S")), shape) @ np.diag(
        [*spacing_mm, 1]
    )
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    mm = index @ lps[:3, :3].T + lps[:3, 3]
    middle = mm.reshape(-1, 3).mean(axis=0)
    rng = np.random.default_rng(0)
    array = rng.normal(40, 5, shape)
    truth = np.zeros(shape, dtype=np.uint8)
    for value, side in enumerate(("right", "left"), start=1):
        offset = np.array([55.0 if side == "right" else -55.0, -10.0, 5.0 * value])
        ball = np.linalg.norm(mm - middle - offset, axis=-1) <= 25
        if side in kidneys:
            array[ball], truth[ball] = 250, value
    array[np.linalg.norm(mm - middle - [0, 60, 0], axis=-1) <= 5] = 250
    edge = (np.abs(mm - middle) > [110, 80, 200]).any(axis=-1)
    array[edge] = -1000
    turn = nib.orientations.ornt_transform(nib.io_orientation(lps), nib.orientations.axcodes2ornt(codes))
    affine = lps @ nib.orientations.inv_ornt_aff(turn, shape)
    oriented = [nib.orientations.apply_orientation(a, turn) for a in (array.astype(np.float32), truth)]
    return Scan(oriented[0], affine), oriented[1]


def dsc(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("codes", [("L", "P", "S"), ("R", "A", "S"), ("P", "I", "R"), ("S", "R", "A")])
def test_masks_lie_where_the_kidneys_are_whatever_the_orientation(stages, codes):
    scan, truth = patient(codes)
    native = Grid(scan.array.shape, scan.affine)
    ready = on_grids(scan, "CT", STAGES, NORMALISATION)
    kidney = segment_kidneys(ready, "kidney", stages["kidney"], native)
    assert kidney.shape == scan.array.shape
    for value in (1, 2):
        assert dsc(kidney == value, truth == value) > 0.93
    boxes = kidney_boxes(kidney, native, ready.grids["parenchyma"])
    parenchyma = segment_parenchyma(ready, "parenchyma", stages["parenchyma"], native, boxes)
    for value in (1, 2):
        assert dsc(parenchyma == value, truth == value) > 0.93


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_single_kidney_keeps_its_side(stages, side):
    scan, truth = patient(kidneys=(side,))
    native = Grid(scan.array.shape, scan.affine)
    ready = on_grids(scan, "CT", STAGES, NORMALISATION)
    kidney = segment_kidneys(ready, "kidney", stages["kidney"], native)
    assert set(np.unique(kidney)) == {0, truth.max()}


def test_specks_are_not_kidneys(stages):
    scan, _ = patient(kidneys=())
    ready = on_grids(scan, "CT", STAGES, NORMALISATION)
    native = Grid(scan.array.shape, scan.affine)
    kidney = segment_kidneys(ready, "kidney", stages["kidney"], native)
    assert not kidney.any()
    assert kidney_boxes(kidney, native, ready.grids["parenchyma"]) == {}
    assert not segment_parenchyma(ready, "parenchyma", stages["parenchyma"], native, {}).any()


def test_a_box_that_reaches_beyond_the_scan_is_no_harm(stages):
    scan, _ = patient()
    native = Grid(scan.array.shape, scan.affine)
    ready = on_grids(scan, "CT", STAGES, NORMALISATION)
    boxes = {"right": (np.array([-30, -30, -30]), np.array([10, 10, 10]))}
    found = segment_parenchyma(ready, "parenchyma", stages["parenchyma"], native, boxes)
    assert found.shape == scan.array.shape


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
    monkeypatch.setattr("crossmod.scans.files.AT_ONCE_VOXELS", 200_000)
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


def blobs(*found: tuple[int, float, float]) -> tuple[np.ndarray, Grid]:
    """Probabilities with cubes of a place along x, a side in mm and a probability, on a grid of 4 mm whose middle is at x = 0."""
    grid = Grid((60, 40, 60), np.array([[4.0, 0, 0, -118.0], [0, 4.0, 0, 0], [0, 0, 4.0, 0], [0, 0, 0, 1]]))
    probability = np.full(grid.shape, 0.01, np.float32)
    for number, (x_mm, side_mm, value) in enumerate(found):
        start = round((x_mm + 118.0 - side_mm / 2) / 4.0)
        size = round(side_mm / 4.0)
        z = 2 + 18 * (number % 3)
        probability[start : start + size, 10 : 10 + size, z : z + size] = value
    return probability, grid


@pytest.mark.parametrize(
    ("spleen", "kept"),
    [
        ((-80, 56.0, 0.93), "kidney"),  # larger, but less sure
        ((-80, 56.0, 0.99), "spleen"),
        ((-80, 32.0, 0.99), "kidney"),  # surer, but a small part of the side's largest
    ],
)
def test_of_two_parts_on_one_side_the_surer_of_like_size_is_kept(spleen, kept):
    probability, grid = blobs((80, 48.0, 0.96), (-60, 48.0, 0.97), spleen)
    kidney = kidneys_of(probability, grid, 2, grid)
    parts = {"right": kidney[:, :, 2:14] == 1, "kidney": kidney[:, :, 20:32] == 2, "spleen": kidney[:, :, 38:54] == 2}
    assert parts["right"].any()
    assert {name for name in ("kidney", "spleen") if parts[name].any()} == {kept}


def test_two_parts_across_the_middle_of_one_kidney_stay_one():
    probability, grid = blobs((14, 24.0, 0.9), (-14, 24.0, 0.9))
    assert len(set(np.unique(kidneys_of(probability, grid, 2, grid))) - {0}) == 1


@given(arrays(bool, (6, 5, 4)), st.sets(st.integers(1, 4)))
def test_a_kept_part_has_a_rim_but_nothing_of_another(mask, numbers):
    parts, _ = ndimage.label(mask)
    kept = np.isin(parts, list(numbers))
    expected = ndimage.binary_dilation(kept) & (kept | (parts == 0))
    np.testing.assert_array_equal(_only(parts, list(numbers)), expected)


def test_a_kidney_s_box_ends_at_the_edges_of_its_voxels():
    native = Grid((8, 9, 10), np.diag([2.0, 2.0, 3.0, 1.0]))
    mask = np.zeros(native.shape, np.uint8)
    mask[2:4, 3:7, 5:6] = 2
    boxes = kidney_boxes(mask, native, Grid((16, 18, 30), np.diag([1.0, 1.0, 1.0, 1.0])))
    assert list(boxes) == ["left"]
    low, high = boxes["left"]  # 3 to 7, 5 to 13 and 13.5 to 16.5 mm
    assert (low.tolist(), high.tolist()) == ([3, 5, 14], [8, 14, 17])


@pytest.mark.parametrize("slices_mm", [2.0, 9.0])
def test_only_the_kidneys_place_is_computed_and_nothing_changes(slices_mm):
    probability, grid = blobs((80, 48.0, 0.96), (-60, 48.0, 0.97))
    probability[probability < 0.5] = 0
    affine = np.diag([1.5, 1.5, slices_mm, 1.0])
    affine[:3, 3] = [-110.0, -5.0, -3.0]
    native = Grid((150, 90, int(230 / slices_mm)), affine)
    everywhere = assign_sides(resample(probability, grid.affine, native) >= 0.5, native.affine)
    assert everywhere.any()
    np.testing.assert_array_equal(kidneys_of(probability, grid, 2, native), everywhere)
