"""From a stage's grid to the scan's own: only where something is, with the same result as everywhere."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.special import softmax

from crossmod.anatomy.kidneys import assign_sides
from crossmod.predict.native import native_mask, values_on
from crossmod.scans.grid import Grid, resample
from tests.bright import KIDNEY, blobs

ORGANS = KIDNEY | {"classes": {"liver": ["liver"], "spleen": ["spleen"]}, "keep": None}


@pytest.mark.parametrize("slices_mm", [2.0, 9.0])
def test_only_the_kidneys_place_is_computed_and_nothing_changes(slices_mm):
    probability, grid = blobs((80, 48.0, 0.96), (-60, 48.0, 0.97))
    probability[probability < 0.5] = 0
    affine = np.diag([1.5, 1.5, slices_mm, 1.0])
    affine[:3, 3] = [-110.0, -5.0, -3.0]
    native = Grid((150, 90, int(230 / slices_mm)), affine)
    everywhere = assign_sides(resample(probability, grid.affine, native) >= 0.5, native.affine)
    assert everywhere.any()
    np.testing.assert_array_equal(native_mask(probability, grid, KIDNEY, native), everywhere)


def native_grid(slices_mm: float = 9.0) -> Grid:
    affine = np.diag([1.5, 1.5, slices_mm, 1.0])
    affine[:3, 3] = [-110.0, -5.0, -3.0]
    return Grid((150, 90, int(230 / slices_mm)), affine)


@pytest.mark.parametrize("slices_mm", [2.0, 9.0])
@pytest.mark.parametrize("keep", [None, {"largest": 3}])
def test_a_class_without_sides_is_1_wherever_it_is_likelier_than_not(slices_mm, keep):
    probability, grid = blobs((80, 48.0, 0.96), (-60, 48.0, 0.97), (-90, 12.0, 0.9))
    native = native_grid(slices_mm)
    everywhere = resample(probability, grid.affine, native) >= 0.5
    found = native_mask(probability, grid, KIDNEY | {"keep": keep}, native)
    assert found.dtype == np.uint8 and set(np.unique(found)) == {0, 1}
    if keep is None:
        np.testing.assert_array_equal(found, everywhere)
    else:  # between two parts of one organ the probability may be half without any of them
        assert (found != everywhere).mean() < 1e-3
    smaller = native_mask(probability, grid, KIDNEY | {"keep": {"largest": 2}}, native)
    assert smaller.sum() < found.sum()


def organs() -> tuple[np.ndarray, Grid]:
    """Probabilities of background, liver and spleen, which touch each other."""
    one, grid = blobs((80, 60.0, 0.9))
    two = np.roll(one, -15, axis=0)
    return np.stack([np.clip(1 - one - two, 0.01, 1), one, two]) / (1 + np.maximum(one + two - 0.99, 0)), grid


@pytest.mark.parametrize("slices_mm", [2.0, 9.0])
def test_of_several_classes_the_likeliest_after_resampling_counts(slices_mm):
    probability, grid = organs()
    native = native_grid(slices_mm)
    outside = (1.0, 0.0, 0.0)
    everywhere = np.argmax(
        [resample(p, grid.affine, native, outside=o) for p, o in zip(probability, outside, strict=True)], axis=0
    )
    assert set(np.unique(everywhere)) == {0, 1, 2}
    np.testing.assert_array_equal(native_mask(probability, grid, ORGANS, native), everywhere)


def test_a_part_of_a_class_that_is_not_kept_is_background_and_no_other_class():
    probability, grid = organs()
    probability[:, 5:9, 12:16, 5:9] = np.array([0.05, 0.5, 0.45])[:, None, None, None]
    found = native_mask(probability, grid, ORGANS | {"keep": {"largest": 1}}, grid)
    without = native_mask(probability, grid, ORGANS, grid)
    speck = np.zeros(grid.shape, bool)
    speck[5:9, 12:16, 5:9] = True
    assert (without[speck] == 1).all() and not found[speck].any()
    np.testing.assert_array_equal(found[~speck], without[~speck])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), classes=st.integers(2, 4))
def test_on_its_own_grid_resampling_changes_no_class(seed, classes):
    drawn = np.random.default_rng(seed).dirichlet(np.ones(classes + 1), (6, 5, 4)).transpose(3, 0, 1, 2)
    grid = Grid((6, 5, 4), np.diag([2.0, 1.0, 3.0, 1.0]))
    stage = {"classes": {name: ["x"] for name in "abcd"[:classes]}, "keep": None}
    np.testing.assert_array_equal(values_on(drawn.astype(np.float32), grid, stage, grid), drawn.argmax(axis=0))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), slices_mm=st.sampled_from([1.5, 4.0, 12.0]))
def test_of_many_classes_only_places_where_they_may_win_are_computed_and_nothing_changes(seed, slices_mm):
    rng, classes = np.random.default_rng(seed), 12
    logits = ndimage.gaussian_filter(rng.normal(size=(classes + 1, 24, 20, 18)), (0, 2, 2, 2)) * 40
    drawn = softmax(logits, axis=0).astype(np.float32)
    grid = Grid((24, 20, 18), np.diag([4.0, 4.0, 4.0, 1.0]))
    native = Grid((60, 52, int(80 / slices_mm)), np.diag([1.6, 1.6, slices_mm, 1.0]))
    stage = {"classes": {f"organ{number}": ["x"] for number in range(classes)}, "keep": None}
    everywhere = [resample(one, grid.affine, native, outside=float(not k)) for k, one in enumerate(drawn)]
    np.testing.assert_array_equal(native_mask(drawn, grid, stage, native), np.argmax(everywhere, axis=0))
