"""What is kept of a prediction: its largest connected components, or one on each side of the body."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from crossmod.anatomy.kidneys import SEPARATION_MM, part_centres
from crossmod.job import Plain
from crossmod.scans.grid import Grid
from crossmod.scans.voxels import edges_mm, voxel_mm3

Mask = NDArray[np.bool_]
# ASSUME: what is kept as an organ on one side is at least this large; the smallest adult kidneys (atrophy) have about
# 20 ml.
SMALLEST_ORGAN_ML = 5.0
NEIGHBOURS = np.ones((3, 3, 3))  # 26 of them


def kept_part(probability: NDArray, keep: Plain | None, grid: Grid) -> Mask:
    """Where the probability of a stage's only class counts.

    Args:
        probability: (X, Y, Z) of the class.
        keep: ``{"largest": n}``, ``{"one_a_side": n}``, or None for everything.
        grid: of ``probability``.

    Returns:
        (X, Y, Z) the kept components with a rim of one voxel, so that a probability of exactly one half at their edge
        survives interpolation; everywhere True where everything is kept.
    """
    if keep is None:
        return np.ones(probability.shape, bool)
    ((how, count),) = keep.items()
    return one_a_side(probability, count, grid) if how == "one_a_side" else largest(probability >= 0.5, count)


def largest(mask: Mask, count: int) -> Mask:
    """The largest connected components (26 neighbours) with their rim, at most ``count``."""
    parts, found = ndimage.label(mask, NEIGHBOURS)
    return with_rim(parts, _largest_numbers(parts, count)) if found else mask


def without_small_parts(values: NDArray[np.uint8], classes: int, count: int) -> Mask:
    """Where a class has a component that is not among its largest.

    Args:
        values: (X, Y, Z) class values from 0 to ``classes``.
        classes: how many there are beside the background.
        count: components that each class keeps.

    Returns:
        (X, Y, Z) the voxels of all other components.
    """
    dropped = np.zeros(values.shape, bool)
    for value in range(1, classes + 1):
        parts, found = ndimage.label(values == value, NEIGHBOURS)
        if found > count:
            dropped |= (parts > 0) & ~np.isin(parts, _largest_numbers(parts, count))
    return dropped


def one_a_side(probability: NDArray, count: int, grid: Grid) -> Mask:
    """One connected component on each side of the grid's middle, which is the body's; at most ``count``.

    A second component on one side is another organ. It can be as large as the one that is looked for, but the network
    is less sure of it: of those that have half the size of the side's largest or more, the one with the highest mean
    probability is kept.
    """
    mask = probability >= 0.5
    parts, found = ndimage.label(mask, NEIGHBOURS)
    if not found:
        return mask
    of = parts[mask] - 1
    voxels = np.bincount(of)
    volume_ml = voxels * voxel_mm3(edges_mm(grid.affine)) / 1000
    sure = np.bincount(of, probability[mask]) / voxels
    x_mm = grid.to_mm(part_centres(parts))[:, 0]
    right = x_mm >= grid.to_mm([(np.array(grid.shape) - 1) / 2])[0, 0]
    chosen = [part for side in (right, ~right) if (part := _surest(side, volume_ml, sure)) is not None]
    chosen.sort(key=lambda part: -volume_ml[part])
    # Two parts of one organ may lie on two sides of the middle.
    if len(chosen) == 2 and abs(x_mm[chosen[0]] - x_mm[chosen[1]]) < SEPARATION_MM:
        chosen = chosen[:1]
    return with_rim(parts, np.arange(1, found + 1)[chosen[:count]])


def with_rim(parts: NDArray, numbers: NDArray) -> Mask:
    """The components of some numbers and their neighbours by a face, but nothing of another component."""
    kept = np.isin(parts, numbers)
    return ndimage.binary_dilation(kept) & (kept | (parts == 0))


def _surest(side: Mask, volume_ml: NDArray, sure: NDArray) -> int | None:
    """The component of one side that is kept; None where none is large enough."""
    usual_ml = np.max(volume_ml, where=side, initial=0.0) / 2
    candidates = np.flatnonzero(side & (volume_ml >= max(usual_ml, SMALLEST_ORGAN_ML)))
    return int(candidates[np.argmax(sure[candidates])]) if len(candidates) else None


def _largest_numbers(parts: NDArray, count: int) -> NDArray:
    sizes = np.bincount(parts.ravel())[1:]
    return np.argsort(-sizes, kind="stable")[:count] + 1
