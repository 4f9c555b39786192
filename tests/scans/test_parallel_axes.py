"""Many images at once come out as one by one, whichever way their axes run."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crossmod.scans.grid import Grid, resample
from crossmod.scans.parallel_axes import ParallelAxes

AXES = [(0, 1, 2), (2, 0, 1), (1, 0, 2)]


def grid_of(shape, spacing_mm, axes=(0, 1, 2), flipped=(False, False, False), start_mm=(0.0, 0.0, 0.0), turn_rad=0.0):
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, list(axes)] * np.where(flipped, -1.0, 1.0) * spacing_mm
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(turn_rad), -np.sin(turn_rad)], [np.sin(turn_rad), np.cos(turn_rad)]]
    affine[:3, 3] = start_mm
    return Grid(shape, turn @ affine)


@settings(max_examples=40, deadline=None)
@given(
    axes=st.sampled_from(AXES),
    flipped=st.tuples(*[st.booleans()] * 3),
    spacing_mm=st.tuples(*[st.floats(1.0, 7.0)] * 3),
    start_mm=st.tuples(*[st.floats(-6.0, 12.0)] * 3),
    turn_rad=st.sampled_from([0.0, 0.4]),
    seed=st.integers(0, 99),
)
def test_all_images_at_once_are_those_of_one_by_one(axes, flipped, spacing_mm, start_mm, turn_rad, seed):
    """Coarser and finer, turned round, oblique with its source, and partly or wholly outside of it."""
    source = grid_of((7, 9, 6), [3.0, 2.0, 4.0], turn_rad=turn_rad)
    grid = grid_of((5, 6, 4), spacing_mm, axes, flipped, start_mm, turn_rad)
    index = source.to_index(grid.to_mm(np.indices(grid.shape).reshape(3, -1).T))
    assume((np.abs(np.abs(index % 1) - 0.5) > 1e-3).all())  # on the very edge of the source rounding decides
    images = np.random.default_rng(seed).random((3, *source.shape), dtype=np.float32)
    between = ParallelAxes(source, grid)
    found = np.concatenate([between.of(images, planes) for planes in between.slabs(3)], axis=3)
    expected = np.stack([resample(image, source.affine, grid) for image in images])
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_slabs_give_every_plane_once(monkeypatch):
    monkeypatch.setattr("crossmod.scans.parallel_axes.SLAB_VOXELS", 100)
    source = grid_of((4, 4, 11), [1.0, 1.0, 1.0])
    between = ParallelAxes(source, source)
    assert [n for planes in between.slabs(2) for n in range(planes.start, planes.stop)] == list(range(11))
    images = np.random.default_rng(0).random((2, *source.shape), dtype=np.float32)
    for planes in between.slabs(2):
        np.testing.assert_allclose(between.of(images, planes), images[..., planes], atol=1e-6)


def test_axes_that_run_apart_are_refused():
    with pytest.raises(ValueError, match="not parallel"):
        ParallelAxes(grid_of((40, 40, 4), [1.0, 1.0, 1.0]), grid_of((40, 40, 4), [1.0, 1.0, 1.0], turn_rad=0.01))
