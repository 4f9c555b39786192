"""Label maps on their images."""

import nibabel as nib
import numpy as np
import pytest

from crossmod.job import UserError
from crossmod.scans.match import labels_on_image_grid, match_grids, whole_labels
from crossmod.scans.scan import Scan


@pytest.fixture
def image(ct, affine):
    return Scan(ct, affine)


def reorient(array, affine, codes):
    """The same label map with its axes stored in another order and direction."""
    start, end = nib.io_orientation(affine), nib.orientations.axcodes2ornt(codes)
    turn = nib.orientations.ornt_transform(start, end)
    return Scan(nib.apply_orientation(array, turn), affine @ nib.orientations.inv_ornt_aff(turn, array.shape))


def test_the_same_grid(image, kidneys, affine):
    assert match_grids(Scan(kidneys, affine), image).grade == "same"
    np.testing.assert_array_equal(labels_on_image_grid(Scan(kidneys, affine), image), kidneys)


def test_rounding_passes_through(image, kidneys, affine):
    near = affine.copy()
    near[0, 3] += 0.05 * 8
    match = match_grids(Scan(kidneys, near), image)
    assert match.grade == "rounding"
    assert "0.05 voxels" in match.value
    np.testing.assert_array_equal(labels_on_image_grid(Scan(kidneys, near), image), kidneys)


@pytest.mark.parametrize("codes", ["LPS", "LAS", "SRA", "PIR"])
def test_another_order_of_axes_is_undone_exactly(image, kidneys, affine, codes):
    label = reorient(kidneys, affine, tuple(codes))
    match = match_grids(label, image)
    assert match.grade == "fixable"
    assert codes in match.value and "RAS" in match.value
    np.testing.assert_array_equal(labels_on_image_grid(label, image), kidneys)


def test_a_finer_grid_is_resampled(image, kidneys, affine):
    fine = kidneys.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    finer = affine @ np.diag([0.5, 0.5, 0.5, 1])
    finer[:3, 3] = affine[:3, 3] - np.diag(affine)[:3] / 4
    label = Scan(fine, finer)
    assert match_grids(label, image).grade == "fixable"
    np.testing.assert_array_equal(labels_on_image_grid(label, image), kidneys)


def test_a_coarser_grid_reaches_to_its_edges(affine):
    image = Scan(np.zeros((24, 20, 12), dtype=np.int16), affine)
    coarser = affine @ np.diag([2.0, 2, 2, 1])
    coarser[:3, 3] = affine[:3, 3] + np.diag(affine)[:3] / 2
    label = Scan(np.ones((12, 10, 6), dtype=np.uint8), coarser)
    assert labels_on_image_grid(label, image).all()


def test_a_lost_header_is_fatal(image, kidneys):
    label = Scan(kidneys, np.eye(4))
    match = match_grids(label, image)
    assert match.grade == "fatal"
    assert "% of the image" in match.value
    with pytest.raises(UserError, match=r"another space than its image.*1×1×1 mm, RAS"):
        labels_on_image_grid(label, image)


def test_a_label_map_of_a_part_is_fatal(image, kidneys, affine):
    match = match_grids(Scan(kidneys[:, :, :6], affine), image)
    assert match.grade == "fatal"
    assert "covers 50 % of the image" in match.value


def test_labels_outside_the_image_are_fatal(image, affine):
    large = np.zeros((72, 60, 36), dtype=np.uint8)
    large[:10, :10, :10] = 1  # far below the image
    shifted = affine.copy()
    shifted[:3, 3] = affine[:3, :3] @ [-24, -20, -12] + affine[:3, 3]
    match = match_grids(Scan(large, shifted), image)
    assert match.grade == "fatal"
    assert "0 % of the labelled voxels lie inside" in match.value


def test_a_larger_field_of_view_is_cut(image, kidneys, affine):
    large = np.pad(kidneys, 3)
    shifted = affine.copy()
    shifted[:3, 3] = affine[:3, :3] @ [-3, -3, -3] + affine[:3, 3]
    np.testing.assert_array_equal(labels_on_image_grid(Scan(large, shifted), image), kidneys)


@pytest.mark.parametrize("degrees", [-30, 20])
def test_sheared_grids_correspond_voxel_by_voxel(ct, kidneys, affine, degrees):
    sheared = affine.copy()
    sheared[1, 2] = affine[2, 2] * np.tan(np.radians(degrees))
    image = Scan(ct, sheared)
    assert match_grids(Scan(kidneys, sheared), image).grade == "same"
    turned = reorient(kidneys, sheared, tuple(nib.aff2axcodes(sheared @ np.diag([-1, -1, 1, 1]))))
    assert match_grids(turned, image).grade == "fixable"
    np.testing.assert_array_equal(labels_on_image_grid(turned, image), kidneys)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mirrored_label_map_comes_back_by_its_header(image, kidneys, affine, axis):
    flip = np.eye(4)
    flip[axis, axis], flip[axis, 3] = -1, kidneys.shape[axis] - 1
    label = Scan(np.flip(kidneys, axis), affine @ flip)
    np.testing.assert_array_equal(labels_on_image_grid(label, image), kidneys)


@pytest.mark.parametrize("kind", [np.int64, np.uint64, np.float64, np.float32])
@pytest.mark.parametrize("value", [2**31, 2**32 + 1, 2**40])
def test_label_values_that_would_wrap_are_refused(kind, value):
    with pytest.raises(UserError, match=r"A label map holds numbers up to (2147483647|16777216), not \d+"):
        whole_labels(np.array([0, value], dtype=kind))


def test_the_largest_label_values_are_kept():
    assert whole_labels(np.array([2**31 - 1])).tolist() == [2**31 - 1]
    assert whole_labels(np.array([2.0**24], dtype=np.float32)).tolist() == [2**24]
    with pytest.raises(UserError, match="not 16777218"):
        whole_labels(np.array([2.0**24 + 2], dtype=np.float32))


def test_whole_numbers():
    assert whole_labels(np.array([0.0, 2.0], dtype=np.float32)).dtype == np.uint8
    assert whole_labels(np.array([0, 1000], dtype=np.int16)).tolist() == [0, 1000]
    for wrong, words in (([0.5], "not 0.5"), ([np.nan], "not nan"), ([-1.0], "no negative")):
        with pytest.raises(UserError, match=words):
            whole_labels(np.array(wrong))
