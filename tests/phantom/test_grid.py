"""Orientation, affine and slices of the sampling grid."""

import nibabel as nib
import numpy as np
import pytest

from crossmod.phantom import Recipe
from crossmod.phantom.grid import make_grid


@pytest.mark.parametrize("code", ["RAS", "LPS", "LAI", "LSP", "PIR"])
def test_native_affine_tells_where_each_voxel_is(code):
    recipe = Recipe(spacing_mm=(3, 4, 7), field_of_view_mm=(180, 160, 140), orientation=code)
    grid = make_grid(recipe, np.random.default_rng(0))
    assert nib.aff2axcodes(grid.affine) == tuple(code)
    np.testing.assert_allclose(nib.affines.voxel_sizes(grid.affine), recipe.spacing_mm)
    place = np.stack(np.meshgrid(*grid.axes, indexing="ij"), axis=-1) + grid.origin_mm
    native = np.stack([grid.native(place[..., k]) for k in range(3)], axis=-1)
    assert native.shape[:3] == recipe.shape
    index = (5, 11, 3)
    np.testing.assert_allclose(native[index], (grid.affine @ [*index, 1])[:3], atol=1e-9)


def test_thick_slices_are_means_of_thin_ones():
    recipe = Recipe(spacing_mm=(8, 8, 6), field_of_view_mm=(160, 160, 120), slice_thickness_mm=4.5)
    grid = make_grid(recipe, np.random.default_rng(0))
    assert grid.samples == 3
    fine = grid.fine_axes[2]
    np.testing.assert_allclose(fine[:3] - grid.axes[2][0], [-1.5, 0, 1.5])
    ramp = np.broadcast_to(fine.astype(np.float32), (20, 20, 60))
    np.testing.assert_allclose(grid.mean_slices(ramp)[3, 3], grid.axes[2], atol=1e-3)
    np.testing.assert_allclose(grid.centre_slices(ramp)[3, 3], grid.axes[2], atol=1e-3)


def test_slices_lie_across_the_third_native_axis():
    grid = make_grid(
        Recipe(spacing_mm=(4, 4, 6), field_of_view_mm=(160, 160, 120), orientation="LSP"), np.random.default_rng(0)
    )
    assert grid.slice_axis == 1
    assert grid.shape == (40, 20, 40)
