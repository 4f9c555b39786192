"""A case is taken apart without loss, without overlap, and alike however its file stores it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from crossmod.anatomy.kidneys import KIDNEY
from crossmod.anatomy.units import components, mask_of, pieces, through_plane, units_of
from tests.patients import turned

NAMES = {1: "liver", 2: "tumour", 3: "cyst"}
SHAPE = (9, 8, 7)
CODES = ["RAS", "LPS", "SAR", "PIL", "ILP"]
SAGITTAL = np.diag([4.0, 0.7, 0.7, 1.0])
label_maps = arrays(np.uint8, SHAPE, elements=st.integers(0, 3), fill=st.just(0))
HOW = {
    "image": None,
    "side": {"structures": ["tumour", "cyst"], "apart": "side", "facts": ["tumour"]},
    "component": {"structures": ["tumour", "cyst"], "apart": "component", "facts": ["tumour"]},
    "plane": {"structures": ["tumour", "cyst"], "apart": "plane", "facts": ["tumour"]},
    "tile": {"structures": ["tumour", "cyst"], "apart": "tile", "size_mm": 2.0, "facts": ["tumour"]},
}
how = pytest.mark.parametrize("how", HOW)


def wholes(units, shape=SHAPE) -> np.ndarray:
    """(N, X, Y, Z) masks of units in the whole image."""
    return np.array([unit.whole(shape) for unit in units]).reshape(len(units), *shape)


@how
@given(labels=label_maps)
@settings(max_examples=40)
def test_units_hold_all_of_their_structures_and_share_no_voxel(how, labels):
    units = units_of(labels, NAMES, SAGITTAL, HOW[how], ["tumour"])
    count = wholes(units).sum(axis=0)
    assert count.max(initial=0) <= 1
    structures = mask_of(labels, NAMES, ["tumour", "cyst"])
    assert (count[structures] == 1).all()
    if how in ("side", "component"):
        np.testing.assert_array_equal(count > 0, structures)
    assert sum(unit.facts["tumour"] for unit in units) == (labels == 2).sum()
    for unit in units:
        assert unit.facts["tumour"] == ((labels == 2) & unit.whole(SHAPE)).sum()
        assert (unit.whole(SHAPE) & structures).any() or how == "image"


@pytest.mark.parametrize("how", [name for name in HOW if name != "side"])  # of sides: tests/anatomy/test_kidneys.py
@given(labels=label_maps, codes=st.sampled_from(CODES))
@settings(max_examples=40)
def test_the_order_of_a_files_axes_changes_no_unit(how, labels, codes):
    other, affine = turned(labels, SAGITTAL, codes)
    there = units_of(other, NAMES, affine, HOW[how], ["tumour", "cyst"])
    here = units_of(labels, NAMES, SAGITTAL, HOW[how], ["tumour", "cyst"])
    assert [(u.side, u.part, u.facts) for u in there] == [(u.side, u.part, u.facts) for u in here]
    for one, same in zip(here, there, strict=True):
        np.testing.assert_array_equal(turned(one.whole(SHAPE), SAGITTAL, codes)[0], same.whole(other.shape))


@given(mask=arrays(bool, SHAPE))
def test_components_are_scipys_the_largest_first(mask):
    numbers = components(mask, SAGITTAL)
    parts, count = ndimage.label(mask, np.ones((3, 3, 3)))
    assert numbers.max(initial=0) == count
    assert len(set(zip(numbers[mask].tolist(), parts[mask].tolist(), strict=True))) == count
    sizes = np.bincount(numbers.ravel())[1:]
    assert (np.diff(sizes) <= 0).all()


@given(
    shape=st.tuples(*[st.integers(1, 9)] * 3),
    size_mm=st.one_of(st.none(), st.floats(0.2, 12)),
    codes=st.sampled_from(CODES),
)
def test_planes_and_tiles_cover_an_image_once(shape, size_mm, codes):
    array, affine = turned(np.zeros(shape), SAGITTAL, codes)
    count, through = np.zeros(array.shape, int), through_plane(affine)
    for box in pieces(array.shape, affine, size_mm):
        count[box] += 1
        assert box[through].stop - box[through].start == 1
        if size_mm is not None:
            spans = [part.stop - part.start for axis, part in enumerate(box) if axis != through]
            assert all(span <= max(1, round(size_mm / 0.7)) for span in spans)
    assert (count == 1).all()


def test_planes_are_numbered_as_they_lie_in_the_scan():
    labels = np.zeros(SHAPE, np.uint8)
    labels[[2, 5], 4, 4] = 2
    planes = units_of(labels, NAMES, SAGITTAL, HOW["plane"])
    assert [(unit.part, unit.box[0]) for unit in planes] == [(3, slice(2, 3)), (6, slice(5, 6))]
    assert planes[0].mask.shape == (1, 8, 7) and planes[0].mask.all()


@pytest.mark.parametrize(
    ("spacing_mm", "axis"),
    [
        ((4.0, 0.7, 0.7), 0),  # sagittal MR
        ((0.7, 0.7, 5.0), 2),  # axial CT
        ((0.8, 0.8, 0.5), 2),  # thin axial slices
        ((1.2, 6.0, 1.25), 1),  # coronal, pixels not quite square
        ((1.0, 1.0, 1.0), 2),  # all alike: axial
    ],
)
@pytest.mark.parametrize("codes", CODES)
def test_the_planes_of_a_scan_are_told_by_its_spacing(spacing_mm, axis, codes):
    _, affine = turned(np.zeros(SHAPE), np.diag([*spacing_mm, 1.0]), codes)
    letters = ["RL", "AP", "SI"][axis]
    assert codes[through_plane(affine)] in letters


def test_names_that_declare_none_of_the_structures_give_no_unit():
    labels = np.ones(SHAPE, np.uint8)
    for name, unit in HOW.items():
        assert name == "image" or units_of(labels, {1: "spleen"}, SAGITTAL, unit) == []
    (image,) = units_of(labels, {1: "spleen"}, SAGITTAL, None, ["tumour"])
    assert image.mask.all() and image.facts == {"tumour": 0} and (image.side, image.part) == ("both", None)


def test_the_kidneys_are_a_unit_apart_by_side():
    labels = np.zeros((60, 10, 10), np.uint8)
    labels[42:55, 2:8, 2:8] = 2
    labels[5:15, 2:8, 2:8] = 1
    right, left = units_of(labels, {1: "kidney", 2: "tumour"}, np.diag([2.0, 2.0, 2.0, 1.0]), KIDNEY)
    assert (right.side, left.side) == ("right", "left")
    assert right.facts["tumour"] == (labels == 2).sum() and left.facts["tumour"] == 0
