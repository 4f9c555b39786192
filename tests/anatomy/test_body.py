"""Which side a kidney is on, and whether a scan shows it."""

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmod.anatomy.body import Body, centre_x_mm, find_body, settle_sides
from crossmod.anatomy.kidneys import assign_sides
from crossmod.scans.scan import Scan

CODES = ["".join(code) for code in ("RAS", "LPS", "LAS", "SRA", "PIR", "ASL", "IPR")]


def cropped(torso, low, high):
    """The torso between two sagittal planes."""
    affine = torso.affine.copy()
    affine[0, 3] += 6.0 * low
    return torso.ct[low:high], torso.labels[low:high], affine


def settled(ct, labels, affine):
    """Side → its true label among those found there, and whether the sides are certain."""
    mask = assign_sides(np.isin(labels, (1, 2)), affine)
    box = tuple(slice(0, n) for n in ct.shape)
    certain = settle_sides(mask, affine, find_body(Scan(ct, affine), -300.0, box))
    return {side: set(np.unique(labels[mask == value])) for side, value in (("right", 1), ("left", 2))}, certain


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(8, 52), end=st.booleans())
def test_any_crop_from_one_side_is_right_or_said_to_be_a_guess(torso, cut, end):
    found, certain = settled(*cropped(torso, *((cut, 60) if end else (0, cut))))
    if certain:
        assert found["right"] <= {1} and found["left"] <= {2}


@settings(max_examples=60, deadline=None)
@given(low=st.integers(0, 29), high=st.integers(31, 60))
def test_any_crop_from_both_sides_is_right_or_said_to_be_a_guess(torso, low, high):
    found, certain = settled(*cropped(torso, low, high))
    if certain:
        assert found["right"] <= {1} and found["left"] <= {2}


@pytest.mark.parametrize(("low", "high", "value", "side"), [(0, 30, 2, "left"), (30, 60, 1, "right")])
def test_half_a_body_is_known_by_its_flank_and_said_to_be_a_guess(torso, low, high, value, side):
    found, certain = settled(*cropped(torso, low, high))
    assert found[side] == {value} and not certain


@settings(max_examples=20, deadline=None)
@given(code=st.sampled_from(CODES), lone=st.sampled_from([None, 1, 2]))
def test_any_orientation_code_gives_the_same_sides(torso, code, lone):
    labels = (
        torso.labels
        if lone is None
        else np.where(np.isin(torso.labels, (1, 2)) & (torso.labels != lone), 0, torso.labels)
    )
    turn = nib.orientations.ornt_transform(nib.io_orientation(torso.affine), nib.orientations.axcodes2ornt(code))
    ct, labels = (
        nib.Nifti1Image(array, torso.affine).as_reoriented(turn) for array in (torso.ct, labels.astype(np.uint8))
    )
    found, certain = settled(np.asarray(ct.dataobj), np.asarray(labels.dataobj), ct.affine)
    assert certain
    assert found == {"right": {1} if lone in (None, 1) else set(), "left": {2} if lone in (None, 2) else set()}


def test_a_lone_kidney_far_off_the_middle_of_the_field_is_told_by_the_body(torso):
    ct, labels = (
        np.pad(a, ((40, 0), (0, 0), (0, 0)), constant_values=v) for a, v in ((torso.ct, -1000), (torso.labels, 0))
    )
    affine = torso.affine.copy()
    affine[0, 3] -= 240.0
    found, certain = settled(ct, np.where(labels == 2, 2, 0), affine)
    assert found == {"right": set(), "left": {2}} and certain


def test_a_wide_body_cut_at_both_flanks_still_tells():
    body = Body(-160.0, 160.0, False, False)
    assert body.side_of(60.0) == ("right", True) and body.side_of(-60.0) == ("left", True)
    assert body.side_of(10.0)[1] is False
    assert body.tells_apart(60.0, -60.0) and not body.tells_apart(60.0, 5.0)


def test_the_centre_of_nothing_is_nowhere():
    assert centre_x_mm(np.zeros((3, 3, 3), bool), np.eye(4)) is None
    assert centre_x_mm(np.ones((3, 3, 3), bool), np.eye(4)) == 1.0
