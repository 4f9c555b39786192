"""Components of a reference and of a prediction are matched as by trying every way."""

from itertools import permutations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crossmod.evaluate.lesions import match, overlaps

parts = arrays(np.int32, (4, 4, 3), elements=st.integers(0, 4))


def numbered(array: np.ndarray) -> np.ndarray:
    """The values of an array as 1, 2, … without gaps."""
    return np.unique(np.append(array, 0), return_inverse=True)[1][: array.size].reshape(array.shape).astype(np.int32)


@given(parts, parts)
def test_overlaps_are_intersections_over_unions(reference, predicted):
    reference, predicted = numbered(reference), numbered(predicted)
    found = overlaps(reference, predicted)
    assert found.shape == (reference.max(), predicted.max())
    for i, j in np.ndindex(found.shape):
        a, b = reference == i + 1, predicted == j + 1
        assert found[i, j] == (a & b).sum() / (a | b).sum()


@given(
    st.tuples(st.integers(0, 4), st.integers(0, 4)).flatmap(
        lambda shape: arrays(float, shape, elements=st.floats(0, 1))
    ),
    st.floats(0, 1),
)
@settings(max_examples=200)
def test_no_other_matching_overlaps_more(iou, overlap):
    partners = match(iou, overlap)
    assert len(set(partners.values())) == len(partners), "one to one"
    values = [iou[i - 1, j - 1] for i, j in partners.items()]
    assert all(value >= overlap and value > 0 for value in values)
    n, m = iou.shape
    enough = np.zeros((n, m + n))  # as many blanks as there are components
    enough[:, :m] = np.where(iou >= overlap, iou, 0)
    best = max(sum(enough[i, j] for i, j in enumerate(way)) for way in permutations(range(m + n), n))
    np.testing.assert_allclose(sum(values), best, rtol=1e-12, atol=1e-12)


def test_above_one_half_there_is_one_matching():
    """Two pairs of components that overlap by more than half cannot share one: panoptica's and COCO's matching."""
    iou = np.array([[0.6, 0.3, 0.0], [0.1, 0.0, 0.49]])
    assert match(iou, 0.5) == {1: 1}
    assert match(iou, 0.1) == {1: 1, 2: 3}
    assert match(np.zeros((0, 3))) == match(np.zeros((3, 0))) == {}
