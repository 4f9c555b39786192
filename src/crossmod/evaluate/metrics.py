"""Agreement of two masks: counts and surface distances once, each metric a small function of them.

Definitions (those of MONAI 1.6, so that numbers compare across papers):

* The *surface* of a mask is the mask minus its erosion by the 6-neighbourhood (in a plane: by the 4-neighbourhood);
  outside the image, the plane or the tile counts as background.
* A *directed surface distance* is the Euclidean distance in mm from the centre of a surface voxel of one
  mask to the nearest centre of a surface voxel of the other.
* Every surface voxel weighs the same (MONAI's default); DeepMind's weighting by surface area is not applied.

Empty masks:

===================  =====================================  ====  ===========  ===================================
masks                DSC, F1, IoU, precision, recall        HD95  surface DSC  accuracy
===================  =====================================  ====  ===========  ===================================
both empty           NaN                                    NaN   NaN          1
one of them empty    0                                      inf   0            share of voxels that are in neither
===================  =====================================  ====  ===========  ===================================

A model that finds nothing has no precision by its formula, 0 / 0. It is 0 here, so that to miss what is there never
improves a mean. Accuracy needs a unit with a background (the image, a plane or a tile); of others it is NaN.

NaN says "no question was asked": such a unit takes part in no statistic. Zero and infinity say "wholly
wrong": they do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from crossmod.anatomy.kidneys import boxes_of
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
        unit_voxels: size of what both masks lie in, their background with them; None where nothing bounds it.
    """

    reference_voxels: int
    predicted_voxels: int
    shared_voxels: int
    to_prediction_mm: NDArray[np.float64]
    to_reference_mm: NDArray[np.float64]
    voxel_volume_ml: float
    unit_voxels: int | None = None

    @property
    def both_empty(self) -> bool:
        return self.reference_voxels + self.predicted_voxels == 0

    @property
    def one_empty(self) -> bool:
        return (self.reference_voxels == 0) != (self.predicted_voxels == 0)


def compare(
    reference: Mask,
    prediction: Mask,
    step_mm: Sequence[float] | NDArray[np.float64],
    unit_voxels: int | None = None,
    flat: int | None = None,
) -> Comparison:
    """Count voxels and measure surface distances of a pair of masks on one grid.

    Args:
        reference: (X, Y, Z) boolean mask.
        prediction: (X, Y, Z) boolean mask on the same grid.
        step_mm: (3,) distance of neighbouring voxel centres along each axis, or (3, 3)
            :func:`crossmod.scans.voxels.edges_mm` of a grid.
        unit_voxels: size of the unit that both lie in; see :class:`Comparison`.
        flat: axis across a single plane that both lie in: their surfaces are their outlines in that plane. None: they
            are bodies.

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
    to_prediction, to_reference = _surface_distances_mm(reference, prediction, edges, flat)
    return Comparison(
        reference_voxels=int(np.count_nonzero(reference)),
        predicted_voxels=int(np.count_nonzero(prediction)),
        shared_voxels=int(np.count_nonzero(reference & prediction)),
        to_prediction_mm=to_prediction,
        to_reference_mm=to_reference,
        voxel_volume_ml=voxel_mm3(edges) / 1000,
        unit_voxels=unit_voxels,
    )


def dsc(pair: Comparison) -> float:
    """Dice similarity coefficient, 0 to 1 (Dice 1945)."""
    if pair.both_empty:
        return float("nan")
    return 2 * pair.shared_voxels / (pair.reference_voxels + pair.predicted_voxels)


def located(pair: Comparison, above_dsc: float = 0.0) -> str:
    """Whether what the reference shows was found in its place; empty where it shows nothing.

    ``not_detected``: nothing was predicted; ``correct``: the DSC lies above a level, at 0 one voxel is shared;
    ``incorrect``: something was predicted elsewhere, or too little of it in its place.

    # ASSUME: the source study counts the three outcomes and does not say by which criterion.
    """
    if not pair.reference_voxels:
        return ""
    if not pair.predicted_voxels:
        return "not_detected"
    return "correct" if dsc(pair) > above_dsc else "incorrect"


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


def precision(pair: Comparison) -> float:
    """Share of the prediction that is right, 0 to 1."""
    return _share(pair, pair.predicted_voxels)


def recall(pair: Comparison) -> float:
    """Share of the reference that was found, 0 to 1."""
    return _share(pair, pair.reference_voxels)


def iou(pair: Comparison) -> float:
    """Intersection over union, 0 to 1 (Jaccard 1912)."""
    return _share(pair, pair.reference_voxels + pair.predicted_voxels - pair.shared_voxels)


def f1(pair: Comparison) -> float:
    """Harmonic mean of precision and recall: of voxels it is the Dice coefficient under another name."""
    return dsc(pair)


def accuracy(pair: Comparison) -> float:
    """Share of the unit's voxels that are right, background or not, 0 to 1; NaN of a unit without a background."""
    if pair.unit_voxels is None:
        return float("nan")
    wrong = pair.reference_voxels + pair.predicted_voxels - 2 * pair.shared_voxels
    return 1 - wrong / pair.unit_voxels


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


def shared_ml(pair: Comparison) -> float:
    """Volume that reference and prediction share: the true positives."""
    return pair.shared_voxels * pair.voxel_volume_ml


def extent_ml(pair: Comparison) -> float:
    """Volume of the unit with its background: all that was compared; NaN of a unit without a background."""
    return float("nan") if pair.unit_voxels is None else pair.unit_voxels * pair.voxel_volume_ml


def bounding_box(mask: Mask) -> tuple[slice, ...]:
    """Smallest box that holds every True voxel; an empty mask gives an empty box."""
    return next(filter(None, boxes_of(mask.view(np.uint8))), (slice(0, 0),) * mask.ndim)


def _share(pair: Comparison, of_voxels: int) -> float:
    """The shared voxels as a share of some; NaN where both masks are empty, 0 where one is."""
    if pair.both_empty:
        return float("nan")
    return pair.shared_voxels / of_voxels if of_voxels else 0.0


def surface(mask: Mask, flat: int | None = None) -> Mask:
    """(X, Y, Z) mask of the voxels with at least one face towards the background or the edge of the image.

    Faces across the axis ``flat`` do not count.
    """
    around = np.pad(mask, 1)
    inside = mask.copy()
    for axis in {*range(mask.ndim)} - {flat}:
        for start in (0, 2):
            neighbour = [slice(1, -1)] * mask.ndim
            neighbour[axis] = slice(start, start + mask.shape[axis])
            inside &= around[tuple(neighbour)]
    return mask & ~inside


def _surface_distances_mm(
    reference: Mask, prediction: Mask, edges: NDArray[np.float64], flat: int | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Exact nearest distances both ways."""
    if not (reference.any() and prediction.any()):
        nothing = np.empty(0)
        return nothing, nothing
    around, distances = _neighbours(tuple(edges.ravel()))
    margin = [(n, n) for n in around.max(axis=0)]
    true, found = (np.pad(surface(mask, flat), margin) for mask in (reference, prediction))
    return _nearest_mm(true, found, around, distances, edges), _nearest_mm(found, true, around, distances, edges)


def _nearest_mm(
    mine: Mask, other: Mask, around: NDArray, distances: NDArray[np.float64], edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Distance of each voxel of one surface to the other surface.

    Both are padded so far that no neighbour leaves the array. Most surfaces of two similar masks lie a few voxels
    apart: the other one is looked for among the nearest voxels first, and by a tree for the rest. That is cheaper than
    distance maps, and than a tree for all.
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
    """Offsets (n, 3) of the voxels within a radius and their distances in mm, nearest first.

    Whatever lies outside of them is further away.
    """
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
