"""Grids: what is resampled lies where it lay, at every orientation."""

import tracemalloc

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmod.scans import grid as geometry
from crossmod.scans.grid import Grid, part_of, resample, standard_grid

CODES = st.sampled_from([("R", "A", "S"), ("L", "P", "S"), ("P", "S", "R"), ("S", "L", "A"), ("A", "I", "L")])


def oriented(codes, spacing_mm, shape, angle=0.0):
    """An affine with given axis codes, tilted about the z axis."""
    affine = nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(codes), shape)
    affine = np.diag([*(1.0,) * 3, 1.0]) @ affine @ np.diag([*spacing_mm, 1.0])
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    affine = turn @ affine
    affine[:3, 3] += [12.5, -40.0, 7.0]
    return affine


def ball(grid, centre_mm, radius_mm):
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1).reshape(-1, 3)
    inside = np.linalg.norm(grid.to_mm(index) - centre_mm, axis=1) <= radius_mm
    return inside.reshape(grid.shape)


@settings(max_examples=15, deadline=None)
@given(codes=CODES, angle=st.floats(-0.3, 0.3), spacing=st.tuples(*[st.floats(1.0, 4.0)] * 3))
def test_a_ball_keeps_its_place_and_volume(codes, angle, spacing):
    shape = tuple(int(np.ceil(90 / s)) for s in spacing)
    native = Grid(shape, oriented(codes, spacing, shape, angle))
    centre = native.to_mm((np.array([shape]) - 1) / 2)[0]
    mask = ball(native, centre, 25.0)
    grid = standard_grid(shape, native.affine, (2.0, 2.0, 2.0))
    assert nib.aff2axcodes(grid.affine) == ("R", "A", "S")
    moved = resample(mask, native.affine, grid) >= 0.5
    found = grid.to_mm(np.argwhere(moved)).mean(axis=0)
    np.testing.assert_allclose(found, native.to_mm(np.argwhere(mask)).mean(axis=0), atol=0.5)
    volumes = [m.sum() * np.prod(g.spacing_mm) for m, g in ((mask, native), (moved, grid))]
    assert abs(volumes[1] / volumes[0] - 1) < 0.08
    back = resample(moved, grid.affine, native) >= 0.5
    assert 2 * (back & mask).sum() / (back.sum() + mask.sum()) > 0.93


@pytest.mark.parametrize("codes", [("R", "A", "S"), ("L", "P", "I")])
def test_same_grid_changes_nothing(codes):
    shape = (7, 8, 9)
    affine = oriented(codes, (2.0, 3.0, 4.0), shape)
    array = np.random.default_rng(0).random(shape).astype(np.float32)
    np.testing.assert_allclose(resample(array, affine, Grid(shape, affine)), array, atol=1e-6)


def test_coarser_grids_average_instead_of_picking():
    array = np.indices((40, 40, 40)).sum(axis=0) % 2  # a checkerboard: its mean is one half everywhere
    coarse = resample(array, np.eye(4), standard_grid(array.shape, np.eye(4), (4.0, 4.0, 4.0)))
    assert np.abs(coarse[2:-2, 2:-2, 2:-2] - 0.5).max() < 0.02


def test_outside_is_what_was_asked_for():
    grid = Grid((4, 4, 4), np.diag([1.0, 1.0, 1.0, 1.0]) + np.array([[0, 0, 0, 100]] * 3 + [[0] * 4]))
    assert (resample(np.ones((3, 3, 3)), np.eye(4), grid, outside=-7.0) == -7.0).all()


def test_part_is_cut_at_the_edge():
    grid = Grid((10, 10, 10), np.diag([2.0, 2.0, 2.0, 1.0]))
    part = part_of(grid, np.array([1, 4, 8]), np.array([3, 6, 10]), margin_mm=3.0)
    assert part.shape == (5, 6, 4)
    np.testing.assert_allclose(part.affine[:3, 3], [0, 4, 12])


def test_a_tilt_next_to_nothing_is_none():
    affine = oriented("RAS", (1.0, 1.0, 1.0), (5, 5, 5), angle=1.6e-307)
    array = np.random.default_rng(0).normal(size=(5, 5, 5))
    np.testing.assert_allclose(resample(array, affine, Grid((5, 5, 5), affine)), array, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(codes=CODES, angle=st.floats(-0.4, 0.4), spacing=st.tuples(*[st.sampled_from([0.8, 2.0, 5.0])] * 3))
def test_slab_by_slab_is_the_same_as_at_once(codes, angle, spacing):
    shape = (20, 24, 30)
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    affine = oriented(codes, spacing, shape, angle)
    grid = standard_grid(shape, affine, (3.1, 3.1, 3.1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(geometry, "SLAB_VOXELS", 1)
        slabs = [list(geometry._slabs(grid, Grid(shape, affine), axis)) for axis in range(3)]
        thin = resample(array, affine, grid, outside=-3.0, change=np.square)
    assert [len(cut) for cut in slabs] == list(grid.shape)
    np.testing.assert_allclose(thin, resample(array**2, affine, grid, outside=-3.0), atol=1e-5)


def test_change_treats_intensities_and_not_the_outside():
    grid = Grid((6, 3, 3), np.eye(4))
    moved = resample(np.full((3, 3, 3), 2.0), np.eye(4), grid, outside=5.0, change=lambda x: x * 10)
    assert (moved[:3] == 20).all()
    assert (moved[3:] == 5).all()


def test_a_large_scan_costs_little_beside_itself(monkeypatch):
    monkeypatch.setattr(geometry, "SLAB_VOXELS", 400_000)
    array = np.zeros((128, 128, 600), dtype=np.int16)
    grid = standard_grid(array.shape, np.eye(4), (4.0, 4.0, 4.0))
    tracemalloc.start()
    resample(array, np.eye(4), grid, change=lambda x: x + 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6 < 4 * array.size  # bytes; one copy as float32 would be 39 MB
