import nibabel as nib
import numpy as np
import pytest

from crossmod.anatomy import kidneys

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


def test_sided_names():
    labels = sided_map()
    right, left = kidneys.reference_kidneys(labels, SIDED, RAS)
    assert (right.side, left.side) == ("right", "left")
    np.testing.assert_array_equal(right.mask, np.isin(labels, [1, 3, 5]))
    np.testing.assert_array_equal(left.mask, np.isin(labels, [2, 8]))
    np.testing.assert_array_equal(right.parenchyma, labels == 1)
    assert right.tumour and not left.tumour


def test_names_beat_geometry():
    swapped = {1: "left_kidney", 2: "right_kidney"}
    right, left = kidneys.reference_kidneys(sided_map(), swapped, RAS)
    np.testing.assert_array_equal(right.mask, sided_map() == 2)
    assert right.parenchyma is None and left.parenchyma is None


def test_unsided_names_take_their_side_from_geometry():
    labels = unsided_map()
    right, left = kidneys.reference_kidneys(labels, KITS, RAS)
    np.testing.assert_array_equal(np.argwhere(right.mask)[:, 0].min(), 38)
    assert right.tumour and not left.tumour
    assert right.mask.sum() + left.mask.sum() == (labels > 0).sum()
    assert right.parenchyma is None


@pytest.mark.parametrize("code", ["LAS", "SAR", "PIL"])
def test_sides_follow_the_patient_not_the_array(code):
    expected = kidneys.reference_kidneys(unsided_map(), KITS, RAS)
    turn = nib.orientations.ornt_transform(nib.io_orientation(RAS), nib.orientations.axcodes2ornt(code))
    turned = nib.Nifti1Image(unsided_map(), RAS).as_reoriented(turn)
    found = kidneys.reference_kidneys(np.asanyarray(turned.dataobj), KITS, turned.affine)
    assert [k.side for k in found] == ["right", "left"]
    assert [k.mask.sum() for k in found] == [k.mask.sum() for k in expected]
    assert [k.tumour for k in found] == [True, False]


def test_one_kidney_and_its_fragment_are_one():
    labels = unsided_map()
    labels[:30] = 0
    labels[36:38, 16:18, 5:9] = 1  # 30 mm medial of the kidney's centre
    (right,) = kidneys.reference_kidneys(labels, KITS, RAS)
    assert right.side == "right"
    assert right.mask.sum() == (labels > 0).sum()


def test_a_loose_unsided_tumour_joins_the_nearest_named_kidney():
    labels = sided_map()
    labels[17:19, 5:8, 5:8] = 7
    right, left = kidneys.reference_kidneys(labels, {**SIDED, 7: "tumour"}, RAS)
    assert left.tumour and left.mask[18, 6, 6] and not right.mask[18, 6, 6]
    assert not left.parenchyma[18, 6, 6]


def test_absent_kidneys():
    labels = sided_map()
    assert kidneys.reference_kidneys(np.zeros_like(labels), SIDED, RAS) == []
    labels[30:] = 0
    assert [k.side for k in kidneys.reference_kidneys(labels, SIDED, RAS)] == ["left"]


def test_no_renal_structure_is_refused():
    with pytest.raises(ValueError, match=r"liver.*spleen"):
        kidneys.reference_kidneys(sided_map(), {1: "liver", 2: "spleen"}, RAS)


def test_has_parenchyma():
    assert kidneys.has_parenchyma(SIDED)
    assert not kidneys.has_parenchyma(KITS)


def test_sides_of_a_predicted_mask():
    mask = unsided_map() > 0
    sides = kidneys.assign_sides(mask, RAS)
    assert sides.dtype == np.uint8 and set(np.unique(sides)) == {0, 1, 2}
    np.testing.assert_array_equal(sides > 0, mask)
    np.testing.assert_array_equal(sides == 1, mask & (np.arange(60) >= 38)[:, None, None])
    assert not kidneys.assign_sides(np.zeros_like(mask), RAS).any()


@pytest.mark.real
def test_sides_of_real_kidneys(real_data):
    """The drawn sides of CHAOS are found again from unsided labels."""
    for path in sorted((real_data / "chaos_t2spir").glob("label_*.nii.gz")):
        image = nib.load(path)
        drawn = np.asanyarray(image.dataobj)
        unsided = np.isin(drawn, [2, 3]).astype(np.uint8)
        right, left = kidneys.reference_kidneys(unsided, {1: "kidney"}, image.affine)
        assert np.mean(drawn[right.mask] == 2) > 0.99, path.name
        assert np.mean(drawn[left.mask] == 3) > 0.99, path.name
