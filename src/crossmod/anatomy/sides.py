"""On which side of a patient the labelled tumour lies, and whether that can be known."""

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from crossmod.anatomy.body import Body, centre_x_mm
from crossmod.anatomy.kidneys import KIDNEY
from crossmod.anatomy.structures import RENAL, split_side
from crossmod.anatomy.units import units_of
from crossmod.scans.intensities import Finding

# ASSUME: sides are decided on every n-th voxel, about 3 mm apart; every kidney and nearly every mass is larger.
_COARSE_MM = 3.0


def tumour_side(labels: NDArray, names: dict[int, str], affine: NDArray) -> str:
    """Side of the labelled tumours.

    Where names carry sides, they decide. Otherwise each tumour belongs to the kidney it touches or is nearest to, and
    kidneys are told apart by where they lie (:mod:`crossmod.anatomy.kidneys`).

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
    named = [values[value] for value in present]
    sides = {side for side in named if side is not None}
    if None in named:
        sides = _by_place(labels, names, affine)
    return {0: "none", 1: next(iter(sides), ""), 2: "both"}[len(sides)]


def _by_place(labels: NDArray, names: dict[int, str], affine: NDArray) -> set[str]:
    sides = _with_tumour(*_coarse(labels, affine), names)
    return sides or _with_tumour(labels, affine, names)  # smaller than the coarse grid


def _with_tumour(labels: NDArray, affine: NDArray, names: dict[int, str]) -> set[str]:
    return {kidney.side for kidney in units_of(labels, names, affine, KIDNEY) if kidney.facts["tumour"]}


def unsure_sides(labels: NDArray, names: dict[int, str], affine: NDArray, body: Body | None) -> list[Finding]:
    """A warning where names carry no side, and the image does not show which side the kidneys are on."""
    renal = {name: side for side, name in map(split_side, names.values()) if name in RENAL}
    # A tumour or a cyst without a kidney beside it is another organ's.
    if body is None or not {"kidney", "parenchyma"} & renal.keys() or any(renal.values()):
        return []
    coarse, coarse_affine = _coarse(labels, affine)
    kidneys = units_of(coarse, names, coarse_affine, KIDNEY)
    centres = {kidney.side: centre_x_mm(kidney.whole(coarse.shape), coarse_affine) for kidney in kidneys}
    x_mm = {side: x for side, x in centres.items() if x is not None}  # all of them: a kidney has voxels
    if len(x_mm) == 2:
        sure = body.tells_apart(x_mm["right"], x_mm["left"])
    else:
        sure = all(body.side_of(x) == (side, True) for side, x in x_mm.items())
    if sure:
        return []
    cure = "Name right and left in the labels, e.g. right_kidney, or leave the case out where sides matter."
    value = f"called {' and '.join(x_mm)}; the image does not show both flanks of the body around them"
    return [Finding("warning", "the side of a kidney is a guess", value, cure)]


def _coarse(labels: NDArray, affine: NDArray) -> tuple[NDArray, NDArray]:
    """Every n-th voxel, and the affine of those."""
    step = np.maximum(1, np.floor(_COARSE_MM / nib.affines.voxel_sizes(affine))).astype(int)
    return labels[:: step[0], :: step[1], :: step[2]], affine @ np.diag([*step, 1.0])
