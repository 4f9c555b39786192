"""A box of an array that may reach beyond it."""

import numpy as np


def window(array: np.ndarray, low: np.ndarray, size: np.ndarray, outside: float) -> np.ndarray:
    """A box of an array that may reach beyond it: (X, Y, Z) of ``size`` from voxel ``low``, padded with ``outside``."""
    low, size = np.asarray(low), np.asarray(size)
    start, stop = np.maximum(low, 0), np.minimum(low + size, array.shape)
    result = np.full(size, outside, dtype=array.dtype)
    if (stop > start).all():
        target = tuple(slice(a - b, c - b) for a, b, c in zip(start, low, stop, strict=True))
        result[target] = array[tuple(slice(a, c) for a, c in zip(start, stop, strict=True))]
    return result
