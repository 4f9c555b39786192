"""Agreement of two masks: counts and surface distances once, each metric a small function of them.

Definitions (those of MONAI 1.6, so that numbers compare across papers):

* The *surface* of a mask is the mask minus its erosion by the 6-neighbourhood; outside the image counts as
  background.
* A *directed surface distance* is the Euclidean distance in mm from the centre of a surface voxel of one
  mask to the nearest centre of a surface voxel of the other.
* Every surface voxel weighs the same (MONAI's default); DeepMind's weighting by surface area is not applied.

Empty masks, the same for every metric:

===================  ====  ======  ===========
masks                DSC   HD95    surface DSC
===================  ====  ======  ===========
both empty           NaN   NaN     NaN
one of them empty    0     inf     0
===================  ====  ======  ===========

NaN says "no question was asked": such a unit takes part in no statistic. Zero and infinity say "wholly
wrong": they do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from crossmod.scans.voxels import in_mm, voxel_mm3

Mask = NDArray[np.bool_]

# How far a surface is looked for voxel by voxel, in voxels of the finest axis.
REACH_VOXELS = 3

# A distance equal to the tolerance up to rounding is within it, whatever the unit of the spacing.
TIE = 1e-9


@dataclass(frozen=True)
class Comparison:
    """All that any metric needs to know of a reference and a prediction.

    Attributes:
        reference_voxels: size of the reference mask.
        predicted_voxels: size of the predicted mask.
        shared_voxels: size of their intersection.
        to_prediction_mm: (n,) distance of each surface voxel of the reference to the prediction's surface.
        to_reference_mm: (m,) distance of each surface voxel of the prediction to the reference's surface.
        voxel_volume_ml: volume of one voxel.
    """

    reference_voxels: int
    predicted_voxels: int
    shared_voxels: int
    to_prediction_mm: NDArray[np.float64]
    to_reference_mm: NDArray[np.float64]
    voxel_volume_ml: float

    @property
    def both_empty(self) -> bool:
        return self.reference_voxels + self.predicted_voxels == 0

    @property
    def one_empty(self) -> bool:
        return (self.reference_voxels == 0) != (self.predicted_voxels == 0)


def compare(reference: Mask, prediction: Mask, step_mm: Sequence[float] | NDArray[np.float64]) -> Comparison:
    """Count voxels and measure surface distances of a pair of masks on one grid.

    Args:
        reference: (X, Y, Z) boolean mask.
        prediction: (X, Y, Z) boolean mask on the same grid.
        step_mm: (3,) distance of neighbouring voxel centres along each axis, or (3, 3) :func:`crossmod.scans.voxels.edges_mm` of a grid.

    Raises:
        ValueError: if the shapes differ, a mask is not boolean and three-dimensional, or a spacing is not
            positive.
    """
    if reference.shape != prediction.shape or reference.ndim != 3:
        raise ValueError(
            f"reference {reference.shape}, prediction {prediction.shape} are not (X, Y, Z) masks of one shape"
        )
    if reference.dtype != bool or prediction.dtype != bool:
        raise ValueError(f"masks must be boolean, not {reference.dtype} and {prediction.dtype}")
    edges = np.asarray(step_mm, dtype=float)
    edges = np.diag(edges) if edges.shape == (3,) else edges
    if edges.shape != (3, 3) or not (np.isfinite(edges).all() and np.all(np.diag(edges) > 0)):
        raise ValueError(f"step_mm must be three positive numbers or the edges of a voxel, not {step_mm}")

    box = bounding_box(reference | prediction)
    reference, prediction = reference[box], prediction[box]
    to_prediction, to_reference = _surface_distances_mm(reference, prediction, edges)
    return Comparison(
        reference_voxels=int(np.count_nonzero(reference)),
        predicted_voxels=int(np.count_nonzero(prediction)),
        shared_voxels=int(np.count_nonzero(reference & prediction)),
        to_prediction_mm=to_prediction,
        to_reference_mm=to_reference,
        voxel_volume_ml=voxel_mm3(edges) / 1000,
    )


def dsc(pair: Comparison) -> float:
    """Dice similarity coefficient, 0 to 1 (Dice 1945)."""
    if pair.both_empty:
        return float("nan")
    return 2 * pair.shared_voxels / (pair.reference_voxels + pair.predicted_voxels)


def hd95_mm(pair: Comparison) -> float:
    """95 % Hausdorff distance: the larger of the two directed 95th percentiles, in mm."""
    if pair.both_empty:
        return float("nan")
    if pair.one_empty:
        return float("inf")
    return float(max(np.percentile(pair.to_prediction_mm, 95), np.percentile(pair.to_reference_mm, 95)))


def surface_dsc(pair: Comparison, tolerance_mm: float) -> float:
    """Share of the surface voxels of both masks that lie within the tolerance of the other surface, 0 to 1.

    Nikolov et al. 2021 (doi:10.2196/26151), each surface voxel counted once as in Seidlitz et al. 2022 and
    MONAI.

    Raises:
        ValueError: if the tolerance is negative or not finite.
    """
    if not (np.isfinite(tolerance_mm) and tolerance_mm >= 0):
        raise ValueError(f"tolerance_mm must be a number of at least 0, not {tolerance_mm}")
    if pair.both_empty:
        return float("nan")
    if pair.one_empty:
        return 0.0
    distances_mm = np.concatenate([pair.to_prediction_mm, pair.to_reference_mm])
    return float(np.mean(distances_mm <= tolerance_mm * (1 + TIE)))


def volume_reference_ml(pair: Comparison) -> float:
    """Volume of the reference: voxels × voxel volume."""
    return pair.reference_voxels * pair.voxel_volume_ml


def volume_predicted_ml(pair: Comparison) -> float:
    """Volume of the prediction: voxels × voxel volume."""
    return pair.predicted_voxels * pair.voxel_volume_ml


def volume_difference_ml(pair: Comparison) -> float:
    """Predicted minus reference volume: positive where the prediction is too large."""
    return (pair.predicted_voxels - pair.reference_voxels) * pair.voxel_volume_ml


def relative_difference_pct(pair: Comparison) -> float:
    """Volume difference in per cent of the reference; NaN where the reference is empty."""
    if pair.reference_voxels == 0:
        return float("nan")
    return 100 * (pair.predicted_voxels - pair.reference_voxels) / pair.reference_voxels


def bounding_box(mask: Mask) -> tuple[slice, ...]:
    """Smallest box that holds every True voxel; an empty mask gives an empty box."""
    box: list[slice] = []
    for axis in range(mask.ndim):
        inside = mask[tuple(box)]  # what the axes before have left
        hit = np.flatnonzero(inside.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        box.append(slice(int(hit[0]), int(hit[-1]) + 1) if hit.size else slice(0, 0))
    return tuple(box)


def surface(mask: Mask) -> Mask:
    """(X, Y, Z) mask of the voxels with at least one face towards the background or the edge of the image."""
    around = np.pad(mask, 1)
    inside = mask.copy()
    for axis in range(mask.ndim):
        for start in (0, 2):
            neighbour = [slice(1, -1)] * mask.ndim
            neighbour[axis] = slice(start, start + mask.shape[axis])
            inside &= around[tuple(neighbour)]
    return mask & ~inside


def _surface_distances_mm(
    reference: Mask, prediction: Mask, edges: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Exact nearest distances both ways."""
    if not (reference.any() and prediction.any()):
        nothing = np.empty(0)
        return nothing, nothing
    around, distances = _neighbours(tuple(edges.ravel()))
    surfaces = [np.pad(surface(mask), [(n, n) for n in around.max(axis=0)]) for mask in (reference, prediction)]
    return tuple(_nearest_mm(mine, other, around, distances, edges) for mine, other in (surfaces, reversed(surfaces)))


def _nearest_mm(
    mine: Mask, other: Mask, around: NDArray, distances: NDArray[np.float64], edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Distance of each voxel of one surface to the other surface; both padded so far that no neighbour leaves the array.

    Most surfaces of two similar masks lie a few voxels apart: the other one is looked for among the nearest voxels first, nearest first, and by a tree
    for the rest. Cheaper than distance maps, and than a tree for all.
    """
    stride = np.array([mine.shape[1] * mine.shape[2], mine.shape[2], 1])
    flat, there = other.ravel(), np.flatnonzero(mine)
    result = np.empty(len(there))
    open_ = np.arange(len(there))  # not found yet
    for offset, distance in zip(around @ stride, distances, strict=True):
        hit = flat[there[open_] + offset]
        result[open_[hit]] = distance
        open_ = open_[~hit]
        if not len(open_):
            return result
    tree = cKDTree(in_mm(np.argwhere(other), edges), balanced_tree=False, compact_nodes=False)
    left = in_mm(np.column_stack(np.unravel_index(there[open_], mine.shape)), edges)
    result[open_] = tree.query(left)[0]
    return result


@cache
def _neighbours(edges_mm: tuple[float, ...]) -> tuple[NDArray, NDArray[np.float64]]:
    """Offsets (n, 3) of the voxels within a radius and their distances in mm, nearest first: whatever lies outside is further away."""
    edges = np.reshape(edges_mm, (3, 3))
    radius = REACH_VOXELS * min(np.diag(edges))
    # How far a ball of that radius reaches along each array axis; 1 / spacing where the axes stand upright.
    per_mm = np.linalg.norm(np.linalg.inv(edges), axis=1)
    most = np.floor(radius * per_mm * (1 + TIE)).astype(int)
    offsets = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in most], indexing="ij"), axis=-1).reshape(-1, 3)
    distances = np.linalg.norm(in_mm(offsets, edges), axis=1)
    order = np.argsort(distances, kind="stable")
    order = order[distances[order] <= radius * (1 + TIE)]
    return offsets[order], distances[order]
