"""On which side of a patient the labelled tumour lies."""

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from crossmod.cohort.kidneys import reference_kidneys
from crossmod.cohort.structures import split_side

# ASSUME: sides are decided on every n-th voxel, about 3 mm apart; every kidney and nearly every mass is larger.
_COARSE_MM = 3.0


def tumour_side(labels: NDArray, names: dict[int, str], affine: NDArray) -> str:
    """Side of the labelled tumours.

    Where names carry sides, they decide. Otherwise each tumour belongs to the kidney it touches or is nearest to, and
    kidneys are told apart by where they lie (:mod:`crossmod.cohort.kidneys`).

    Args:
        labels: (X, Y, Z) label map, whole numbers.
        names: structure of each value.
        affine: (4, 4) voxel index → RAS+ millimetres.

    Returns:
        ``right``, ``left``, ``both``, ``none``; ``unknown`` if tumours are not among the structures.
    """
    split = {value: split_side(name) for value, name in names.items()}
    values = {value: side for value, (side, name) in split.items() if name == "tumour"}
    if not values:
        return "unknown"
    present = [value for value in values if (labels == value).any()]
    sides = {values[value] for value in present}
    if None in sides:
        sides = _by_place(labels, names, affine)
    return {0: "none", 1: next(iter(sides), ""), 2: "both"}[len(sides)]


def _by_place(labels: NDArray, names: dict[int, str], affine: NDArray) -> set[str]:
    spacing_mm = nib.affines.voxel_sizes(affine)
    step = np.maximum(1, np.floor(_COARSE_MM / spacing_mm)).astype(int)
    coarse, coarse_affine = labels[:: step[0], :: step[1], :: step[2]], affine @ np.diag([*step, 1.0])
    sides = {kidney.side for kidney in reference_kidneys(coarse, names, coarse_affine) if kidney.tumour}
    if not sides:  # smaller than the coarse grid
        sides = {kidney.side for kidney in reference_kidneys(labels, names, affine) if kidney.tumour}
    return sides
