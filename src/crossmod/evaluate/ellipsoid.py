"""The ellipsoid formula: how kidney volume is estimated where nobody segments."""

import math
from collections.abc import Sequence

import numpy as np

from crossmod.evaluate.metrics import Mask, bounding_box
from crossmod.scans.voxels import in_mm


def ellipsoid_ml(mask: Mask, step_mm: Sequence[float] | np.ndarray) -> float:
    """Volume by the ellipsoid formula, π/6 · length · width · thickness, as read off with callipers.

    The axes are the principal axes of the mask's voxels in mm. The extent along an axis is the range of the
    voxel centres projected onto it, plus half a voxel. (The surface lies up to one voxel beyond the
    outermost centres where the axis follows the grid, hardly beyond them where it is oblique; with a half,
    digitised ellipsoids of a kidney's size come out within 3 % on a 2 mm grid when tilted, within 5 % when
    aligned.)

    Args:
        mask: (X, Y, Z) boolean mask.
        step_mm: (3,) voxel spacing along each array axis, or (3, 3) :func:`crossmod.scans.voxels.edges_mm` of a grid.

    Returns:
        Volume in ml; NaN for an empty mask.
    """
    if not mask.any():
        return float("nan")
    edges = np.asarray(step_mm, dtype=float)
    edges = np.diag(edges) if edges.shape == (3,) else edges
    points = in_mm(np.argwhere(mask[bounding_box(mask)]), edges)
    points -= points.mean(axis=0)
    axes = np.linalg.eigh(points.T @ points)[1]  # columns
    projected = points @ axes
    # ASSUME: along an oblique axis a voxel is as large as the axis' direction scaled by the spacing, that is by the
    # parts of the voxel's edges along it.
    voxel_mm = np.linalg.norm(edges.T @ axes, axis=0)
    extents_mm = projected.max(axis=0) - projected.min(axis=0) + voxel_mm / 2
    return float(math.pi / 6 * np.prod(extents_mm) / 1000)
