"""Does a kidney end where the scan ends? Then it is cut, and its volume too small."""

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from crossmod.scans.box import Box, box_between, three
from crossmod.scans.intensities import AIR_HU, Intensities
from crossmod.scans.scan import AnyScan

_EDGES = {"R": "right", "L": "left", "A": "front", "P": "back", "S": "upper", "I": "lower"}
# ASSUME: padding outside of a round field of view, or of a resampled scan, is at least 1 % of it; where a twentieth of
# what surrounds a kidney is padding, the field of view ends there. (Gas in the bowel touches less of it, and seldom has
# the lowest value.)
_PADDING_SHARE, _SHELL_SHARE = 0.01, 0.05
_SHELL_VOXELS = 2


def edges_reached(box: Box, shape: tuple[int, ...], affine: NDArray, gap_voxels: int = 0) -> list[str]:
    """The edges of a scan (right, left, front, back, upper, lower of the patient) that a box reaches.

    Args:
        box: of a structure.
        shape: (X, Y, Z) of the scan.
        affine: (4, 4) voxel index → RAS+ millimetres.
        gap_voxels: how far from the edge still counts; 0: only what holds the outermost voxels.
    """
    codes = nib.aff2axcodes(affine)
    opposite = {"R": "L", "L": "R", "A": "P", "P": "A", "S": "I", "I": "S"}
    reached = []
    for part, size, code in zip(box, shape, codes, strict=True):
        if part.start <= gap_voxels:
            reached.append(_EDGES[opposite[code]])
        if part.stop >= size - gap_voxels:
            reached.append(_EDGES[code])
    return reached


def empty_planes(scan: AnyScan, box: Box, beside_mm: float = 0.0) -> int:
    """How many planes through a box hold one value only, as lost slices do; what lies there is not measured.

    Args:
        scan: read or opened.
        box: of a structure.
        beside_mm: how far from the box to look, too.
    """
    beside = np.ceil(beside_mm / scan.spacing_mm).astype(int)
    voxels = np.asarray(scan.array[_around(box, scan.array.shape, beside)])
    others = [tuple(b for b in range(3) if b != a) for a in range(3)]
    return max(int(np.count_nonzero(voxels.min(axis=two) == voxels.max(axis=two))) for two in others)


def _around(box: Box, shape: tuple[int, ...], voxels: NDArray[np.integer]) -> Box:
    """A box with some voxels more at both ends, as far as there are any."""
    return three(
        slice(max(0, part.start - more), min(n, part.stop + more))
        for part, n, more in zip(box, shape, voxels.tolist(), strict=True)
    )


def reaches_padding(mask: NDArray[np.bool_], box: Box, scan: AnyScan, found: Intensities) -> bool:
    """Whether a structure in a CT borders on voxels that hold no image.

    These have the lowest value of the scan, that of air or less. In MR the lowest value, zero, occurs within the body
    as well, and nothing can be said.

    Args:
        mask: (X, Y, Z) of the structure, inside ``box``.
        box: where in the scan it lies.
        scan: read or opened.
        found: its voxels.
    """
    if np.mean(found.sample == np.float32(found.low)) < _PADDING_SHARE or found.low > AIR_HU:
        return False
    around = _around(box, scan.array.shape, np.full(3, _SHELL_VOXELS))
    inside = np.zeros([part.stop - part.start for part in around], dtype=bool)
    corner = np.array([part.start for part in around])
    inside[box_between([p.start for p in box] - corner, [p.stop for p in box] - corner)] = mask
    shell = ndimage.binary_dilation(inside, iterations=_SHELL_VOXELS) & ~inside
    padding = np.asarray(scan.array[around]) == found.low
    return bool(np.count_nonzero(shell & padding) >= _SHELL_SHARE * max(1, int(np.count_nonzero(shell))))
