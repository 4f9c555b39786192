import nibabel as nib
import numpy as np
import pytest

from crossmod.anatomy.kidneys import KIDNEY, assign_sides
from crossmod.anatomy.units import units_of
from tests.patients import turned

RAS = np.diag([2.0, 2.0, 2.0, 1.0])
SIDED = {
    1: "right_parenchyma",
    2: "left_parenchyma",
    3: "right_sinus",
    5: "right_tumour",
    8: "left_cyst",
    9: "liver",
}
KITS = {1: "kidney", 2: "tumour", 3: "cyst"}


def sided_map() -> np.ndarray:
    labels = np.zeros((60, 20, 20), np.uint8)
    labels[45:55, 5:15, 5:15] = 1
    labels[48:50, 8:10, 8:10] = 3
    labels[45:47, 5:8, 5:8] = 5
    labels[5:15, 5:15, 5:15] = 2
    labels[8:10, 8:10, 8:10] = 8
    labels[30:40, :, :4] = 9
    return labels


def unsided_map() -> np.ndarray:
    """Patient's right (large RAS x) with a tumour and a loose tumour island; the left has a cyst."""
    labels = np.zeros((60, 20, 20), np.uint8)
    labels[42:55, 5:15, 5:15] = 1
    labels[42:45, 5:9, 5:9] = 2
    labels[38:40, 5:7, 5:7] = 2
    labels[5:15, 5:15, 5:15] = 1
    labels[8:10, 8:10, 8:10] = 3
    return labels


def kidneys_of(labels, names, affine=RAS) -> dict[str, tuple[np.ndarray, int]]:
    """Side → mask and tumour voxels of each kidney, in order."""
    found = units_of(labels, names, affine, KIDNEY)
    return {unit.side: (unit.whole(labels.shape), unit.facts["tumour"]) for unit in found}


def test_sided_names():
    labels = sided_map()
    kidneys = kidneys_of(labels, SIDED)
    assert list(kidneys) == ["right", "left"]
    np.testing.assert_array_equal(kidneys["right"][0], np.isin(labels, [1, 3, 5]))
    np.testing.assert_array_equal(kidneys["left"][0], np.isin(labels, [2, 8]))
    assert kidneys["right"][1] and not kidneys["left"][1]


def test_names_beat_geometry():
    swapped = {1: "left_kidney", 2: "right_kidney"}
    right, _ = kidneys_of(sided_map(), swapped)["right"]
    np.testing.assert_array_equal(right, sided_map() == 2)


def test_unsided_names_take_their_side_from_geometry():
    labels = unsided_map()
    (right, tumour), (left, none) = kidneys_of(labels, KITS).values()
    assert np.argwhere(right)[:, 0].min() == 38
    assert tumour and not none
    assert right.sum() + left.sum() == (labels > 0).sum()


@pytest.mark.parametrize("code", ["LAS", "SAR", "PIL"])
def test_sides_follow_the_patient_not_the_array(code):
    expected = kidneys_of(unsided_map(), KITS)
    found = kidneys_of(turned(unsided_map(), RAS, code)[0], KITS, turned(unsided_map(), RAS, code)[1])
    assert list(found) == ["right", "left"]
    assert [(k.sum(), t) for k, t in found.values()] == [(k.sum(), t) for k, t in expected.values()]


def test_one_kidney_and_its_fragment_are_one():
    labels = unsided_map()
    labels[:30] = 0
    labels[36:38, 16:18, 5:9] = 1  # 30 mm medial of the kidney's centre
    ((side, (right, _)),) = kidneys_of(labels, KITS).items()
    assert side == "right"
    assert right.sum() == (labels > 0).sum()


def test_a_loose_unsided_tumour_joins_the_nearest_named_kidney():
    labels = sided_map()
    labels[17:19, 5:8, 5:8] = 7
    (right, _), (left, tumour) = kidneys_of(labels, {**SIDED, 7: "tumour"}).values()
    assert tumour and left[18, 6, 6] and not right[18, 6, 6]


def test_absent_kidneys():
    labels = sided_map()
    assert kidneys_of(np.zeros_like(labels), SIDED) == {}
    labels[30:] = 0
    assert list(kidneys_of(labels, SIDED)) == ["left"]
    assert kidneys_of(sided_map(), {1: "liver", 2: "spleen"}) == {}


def test_sides_of_a_predicted_mask():
    mask = unsided_map() > 0
    sides = assign_sides(mask, RAS)
    assert sides.dtype == np.uint8 and set(np.unique(sides)) == {0, 1, 2}
    np.testing.assert_array_equal(sides > 0, mask)
    np.testing.assert_array_equal(sides == 1, mask & (np.arange(60) >= 38)[:, None, None])
    assert not assign_sides(np.zeros_like(mask), RAS).any()


@pytest.mark.real
def test_sides_of_real_kidneys(real_data):
    """The drawn sides of CHAOS are found again from unsided labels."""
    for path in sorted((real_data / "chaos_t2spir").glob("label_*.nii.gz")):
        image = nib.load(path)
        drawn = np.asanyarray(image.dataobj)
        unsided = np.isin(drawn, [2, 3]).astype(np.uint8)
        (right, _), (left, _) = kidneys_of(unsided, {1: "kidney"}, image.affine).values()
        assert np.mean(drawn[right] == 2) > 0.99, path.name
        assert np.mean(drawn[left] == 3) > 0.99, path.name
