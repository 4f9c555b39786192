"""A kidney that ends with the image is cut."""

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmod.anatomy.edges import edges_reached, empty_planes, reaches_padding
from crossmod.anatomy.kidneys import boxes_of
from crossmod.scans.intensities import intensities
from crossmod.scans.scan import Scan

FACES = {"left": (0, 0), "right": (0, 1), "back": (1, 0), "front": (1, 1), "lower": (2, 0), "upper": (2, 1)}


def box(axis, end, gap, size=20):
    start = gap if end == 0 else size - gap - 4
    return tuple(slice(start, start + 4) if a == axis else slice(8, 12) for a in range(3))


@given(face=st.sampled_from(sorted(FACES)), gap=st.integers(0, 3), code=st.sampled_from(["RAS", "LPS", "SAL", "PIR"]))
def test_each_face_in_any_orientation(face, gap, code):
    mask = np.zeros((20, 20, 20), np.uint8)
    mask[box(*FACES[face], gap)] = 1
    turn = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(code))
    turned = nib.Nifti1Image(mask, np.eye(4)).as_reoriented(turn)
    (place,) = boxes_of(np.asarray(turned.dataobj))
    for allowed in (0, 1):
        expected = [face] if gap <= allowed else []
        assert edges_reached(place, turned.shape, turned.affine, allowed) == expected


def test_inside_no_edge_is_reached():
    assert edges_reached((slice(2, 18),) * 3, (20, 20, 20), np.eye(4), 1) == []


@pytest.mark.parametrize("padding", [-1000, -1024, -2000, -3024])
def test_a_kidney_at_the_rim_of_a_round_field_of_view(torso, padding):
    column = 40  # through the right kidney
    ct = np.where(np.arange(60)[:, None, None] < column, torso.ct, padding).astype(np.float32)
    ct[ct < padding] = padding
    mask = (torso.labels == 1) & (np.arange(60) < column)[:, None, None]
    (place,) = boxes_of(mask.view(np.uint8))
    assert reaches_padding(mask[place], place, Scan(ct, torso.affine), intensities(ct))
    other = torso.labels == 2
    (place,) = boxes_of(other.view(np.uint8))
    assert not reaches_padding(other[place], place, Scan(ct, torso.affine), intensities(ct))


@given(axis=st.integers(0, 2), first=st.integers(0, 19), count=st.integers(1, 4), value=st.sampled_from([-1024, 0, 37]))
def test_lost_slices_at_a_structure_are_counted(axis, first, count, value):
    array = np.random.default_rng(1).integers(-100, 200, (20, 20, 20)).astype(np.int16)
    scan = Scan(array, np.diag([2.0, 2.0, 5.0, 1.0]))
    place = (slice(6, 14),) * 3
    assert empty_planes(scan, place, 5.0) == 0
    array[tuple(slice(first, first + count) if a == axis else slice(None) for a in range(3))] = value
    beside = 3 if axis < 2 else 1
    for mm, near in ((0.0, range(6, 14)), (5.0, range(6 - beside, 14 + beside))):
        assert empty_planes(scan, place, mm) == len(set(near) & set(range(first, first + count)))
