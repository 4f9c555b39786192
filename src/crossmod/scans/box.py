"""Boxes of three-dimensional arrays, some of which reach beyond the array."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

import numpy as np

Box = tuple[slice, slice, slice]
T = TypeVar("T")


class Boxed(Protocol):
    """What gives its voxels box by box: an array, or something that computes them when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(X, Y, Z)."""

    @property
    def dtype(self) -> np.dtype:
        """Of the voxels."""

    def __getitem__(self, box: Box, /) -> np.ndarray:
        """The voxels of a box."""


def three(values: Iterable[T]) -> tuple[T, T, T]:
    """What belongs to the three axes of an array, as a tuple of three.

    Raises:
        ValueError: if there are fewer or more.
    """
    x, y, z = values
    return x, y, z


def box_between(low: Iterable[int], high: Iterable[int]) -> Box:
    """The box from voxel ``low`` to voxel ``high`` (exclusive), (3,) each."""
    return three(slice(a, b) for a, b in zip(low, high, strict=True))


def box_of_all(shape: Iterable[int]) -> Box:
    """The box that holds a whole array of a shape (X, Y, Z)."""
    return three(slice(0, n) for n in shape)


def window(array: Boxed, low: np.ndarray, size: np.ndarray, outside: float) -> np.ndarray:
    """A box of an array that may reach beyond it: (X, Y, Z) of ``size`` from voxel ``low``, padded with ``outside``."""
    low, size = np.asarray(low), np.asarray(size)
    start, stop = np.maximum(low, 0), np.minimum(low + size, array.shape)
    result = np.full(size, outside, dtype=array.dtype)
    if (stop > start).all():
        result[box_between(start - low, stop - low)] = array[box_between(start, stop)]
    return result
