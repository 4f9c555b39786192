"""Grids: what is resampled lies where it lay, at every orientation."""

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmod.prepare.geometry import Grid, part_of, resample, standard_grid

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
