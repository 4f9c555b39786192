"""Which component that a model found is which component of the reference."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

# ASSUME: a lesion counts as found where the intersection of both outlines is a tenth of their union or more; detection
# papers of small lesions ask for 0.1, panoptic ones for 0.5.
OVERLAP = 0.1


def overlaps(reference: NDArray[np.integer], predicted: NDArray[np.integer]) -> NDArray[np.float64]:
    """(n, m) intersection over union of every component of one map with every component of another.

    Args:
        reference: (X, Y, Z) components, numbered from 1 to n, 0 elsewhere.
        predicted: (X, Y, Z) components, numbered from 1 to m, 0 elsewhere.
    """
    n, m = int(reference.max(initial=0)), int(predicted.max(initial=0))
    held = (reference > 0) | (predicted > 0)
    pairs = reference[held].astype(np.int64) * (m + 1) + predicted[held]
    shared = np.bincount(pairs, minlength=(n + 1) * (m + 1)).reshape(n + 1, m + 1)
    union = shared.sum(axis=1, keepdims=True) + shared.sum(axis=0, keepdims=True) - shared
    return shared[1:, 1:] / union[1:, 1:]


def match(iou: NDArray[np.float64], overlap: float = OVERLAP) -> dict[int, int]:
    """Match components one to one, so that the sum of their overlaps is the largest there is.

    Args:
        iou: (n, m) of :func:`overlaps`.
        overlap: the least intersection over union of a pair.

    Returns:
        Component of the reference → component of the prediction, both numbered from 1; those without a partner are
        left out.
    """
    enough = np.where((iou >= overlap) & (iou > 0), iou, 0.0)
    pairs = zip(*linear_sum_assignment(enough, maximize=True), strict=True)
    return {int(i) + 1: int(j) + 1 for i, j in pairs if enough[i, j] > 0}
