"""What is kept of a prediction."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from crossmod.predict.keep import kept_part, largest, with_rim, without_small_parts
from crossmod.predict.native import native_mask
from tests.bright import KIDNEY, blobs


@pytest.mark.parametrize(
    ("spleen", "kept"),
    [
        ((-80, 56.0, 0.93), "kidney"),  # larger, but less sure
        ((-80, 56.0, 0.99), "spleen"),
        ((-80, 32.0, 0.99), "kidney"),  # surer, but a small part of the side's largest
    ],
)
def test_of_two_parts_on_one_side_the_surer_of_like_size_is_kept(spleen, kept):
    probability, grid = blobs((80, 48.0, 0.96), (-60, 48.0, 0.97), spleen)
    kidney = native_mask(probability, grid, KIDNEY, grid)
    parts = {"right": kidney[:, :, 2:14] == 1, "kidney": kidney[:, :, 20:32] == 2, "spleen": kidney[:, :, 38:54] == 2}
    assert parts["right"].any()
    assert {name for name in ("kidney", "spleen") if parts[name].any()} == {kept}


def test_two_parts_across_the_middle_of_one_kidney_stay_one():
    probability, grid = blobs((14, 24.0, 0.9), (-14, 24.0, 0.9))
    assert len(set(np.unique(native_mask(probability, grid, KIDNEY, grid))) - {0}) == 1


@given(arrays(bool, (6, 5, 4)), st.sets(st.integers(1, 4)))
def test_a_kept_part_has_a_rim_but_nothing_of_another(mask, numbers):
    parts, _ = ndimage.label(mask)
    kept = np.isin(parts, list(numbers))
    found = with_rim(parts, list(numbers))
    for index in np.ndindex(mask.shape):
        beside = [np.add(index, step) for axis in np.eye(3, dtype=int) for step in (axis, -axis)]
        inside = [tuple(at) for at in beside if (at >= 0).all() and (at < mask.shape).all()]
        assert found[index] == (kept[index] or (parts[index] == 0 and any(kept[at] for at in inside)))


@given(arrays(bool, (7, 6, 5)), st.integers(1, 4))
def test_the_largest_parts_are_kept_and_no_larger_one_is_dropped(mask, count):
    parts, found = ndimage.label(mask, np.ones((3, 3, 3)))
    kept = largest(mask, count) & mask
    sizes = {number: int((parts == number).sum()) for number in range(1, found + 1)}
    whole = {number for number in sizes if kept[parts == number].all()}
    assert {number for number in sizes if kept[parts == number].any()} == whole
    assert len(whole) == min(count, found)
    dropped = [size for number, size in sizes.items() if number not in whole]
    assert all(sizes[number] >= max(dropped, default=0) for number in whole)


def test_of_several_classes_each_keeps_its_own_largest():
    values = np.zeros((12, 4, 4), np.uint8)
    values[0:3], values[4:5], values[6:8], values[11:] = 1, 1, 2, 2
    dropped = without_small_parts(values, 2, 1)
    assert np.flatnonzero(dropped.any(axis=(1, 2))).tolist() == [4, 11]
    assert not without_small_parts(values, 2, 2).any()


def test_everything_is_kept_where_nothing_is_asked_for():
    probability, grid = blobs((80, 48.0, 0.96), (-60, 8.0, 0.97))
    assert kept_part(probability, None, grid).all()
