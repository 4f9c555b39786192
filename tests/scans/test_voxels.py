"""Steps of voxels in millimetres, on upright and on sheared grids."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from crossmod.scans.voxels import edges_mm, in_mm, voxel_mm3

spacings = st.tuples(*[st.floats(0.3, 9)] * 3)
turns = st.tuples(*[st.floats(-180, 180)] * 3)


def grid(spacing, turn, shear=(0.0, 0.0, 0.0)):
    upright = np.eye(3)
    upright[0, 1], upright[0, 2], upright[1, 2] = shear
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", turn, degrees=True).as_matrix() @ upright * spacing
    return affine


@given(spacing=spacings, turn=turns)
def test_an_upright_grid_has_its_spacing_exactly(spacing, turn):
    affine = grid(spacing, turn)
    norms = np.linalg.norm(affine[:3, :3], axis=0)
    np.testing.assert_array_equal(edges_mm(affine), np.diag(norms))
    assert voxel_mm3(edges_mm(affine)) == float(np.prod(norms))


@given(spacing=spacings, turn=turns, shear=st.tuples(*[st.floats(-0.8, 0.8)] * 3))
def test_a_sheared_grid_keeps_volumes_and_distances(spacing, turn, shear):
    affine = grid(spacing, turn, shear)
    edges = edges_mm(affine)
    assert np.isclose(voxel_mm3(edges), abs(np.linalg.det(affine[:3, :3])), rtol=1e-5)
    steps = np.random.default_rng(1).integers(-9, 10, (50, 3))
    expected = np.linalg.norm(steps @ affine[:3, :3].T, axis=1)
    np.testing.assert_allclose(
        np.linalg.norm(in_mm(steps, edges), axis=1), expected, rtol=1e-2 if abs(np.array(shear)).max() < 1e-3 else 1e-6
    )
