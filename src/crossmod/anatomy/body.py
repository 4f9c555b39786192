"""Where a body lies between the right and the left edge of a scan, and which side of it something is on."""

from dataclasses import dataclass

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from crossmod.anatomy.kidneys import MASK_VALUES, boxes_of
from crossmod.scans.box import Box, three
from crossmod.scans.scan import AnyScan

# ASSUME: a body's flank is seen where at least this much of the scan lies beyond it.
_BEYOND_MM = 5.0
# ASSUME: where 5 % of a sagittal plane is brighter than the body's level, the body is in it; noise and a table are
# less.
_LEAST_OF_PLANE = 0.05
# ASSUME: at the kidneys no adult is narrower (28 real scans: 261 mm or more); what seems narrower was cut.
TRUNK_MM = 200.0
# ASSUME: a kidney's centre lies at least this far from the middle of the body, else its side cannot be told.
_FROM_MIDDLE_MM = 20.0
# ASSUME: centres of two kidneys lie further apart; in every third patient of KiTS23 93 to 194 mm. What is nearer may be
# one of them and something else.
_APART_MM = 90.0
# ASSUME: a kidney's centre lies within this distance of the flank of its own side (69 to 150 mm in real scans), and
# seldom so near to the other one (186 mm or more). What a scan does not show of the body only makes a distance larger.
_FROM_FLANK_MM = 190.0
_COARSE_MM = 3.0


@dataclass(frozen=True)
class Body:
    """What a scan shows of a body from right to left; RAS millimetres, which grow to the patient's right.

    Attributes:
        left_mm, right_mm: its ends within the scan.
        left_seen, right_seen: whether the scan goes on beyond it, so that the end is a flank and not a cut.
    """

    left_mm: float
    right_mm: float
    left_seen: bool
    right_seen: bool

    @property
    def whole(self) -> bool:
        """Whether both flanks are seen."""
        return self.left_seen and self.right_seen and self.width_mm >= TRUNK_MM

    @property
    def width_mm(self) -> float:
        """From end to end."""
        return self.right_mm - self.left_mm

    @property
    def middle_mm(self) -> float:
        """Halfway between the ends; of a whole body about its midline."""
        return (self.left_mm + self.right_mm) / 2

    def side_of(self, x_mm: float) -> tuple[str, bool]:
        """The likelier side of a kidney's centre, and whether that is certain."""
        near_left, near_right = x_mm - self.left_mm <= _FROM_FLANK_MM, self.right_mm - x_mm <= _FROM_FLANK_MM
        by_middle = "right" if x_mm > self.middle_mm else "left"
        if self.whole:
            return by_middle, abs(x_mm - self.middle_mm) >= _FROM_MIDDLE_MM
        if near_left != near_right:
            return ("left" if near_left else "right"), True
        if self.left_seen != self.right_seen and near_left:
            return ("left" if self.left_seen else "right"), False
        return by_middle, False

    def tells_apart(self, right_mm: float, left_mm: float) -> bool:
        """Whether two centres are surely those of a right and a left kidney."""
        if self.left_seen and self.right_seen and left_mm < self.middle_mm < right_mm:
            return True
        return right_mm - left_mm >= _APART_MM and self.width_mm >= TRUNK_MM


def find_body(scan: AnyScan, level: float, box: Box) -> Body:
    """The body at the height of a box, e.g. of the kidneys.

    Args:
        scan: read or opened.
        level: the intensity above which a voxel belongs to the body.
        box: whose rows from head to feet are looked at; the whole width and depth are.
    """
    axes = nib.io_orientation(scan.affine)[:, 0].astype(int)
    across, along = int(np.flatnonzero(axes == 0)[0]), int(np.flatnonzero(axes == 2)[0])
    # Steps of some millimetres: a few rows say where the flanks are.
    steps = np.maximum(1, np.floor(_COARSE_MM / scan.spacing_mm)).astype(int)
    steps[across] = 1
    rows = [slice(None, None, int(step)) for step in steps]
    rows[along] = slice(box[along].start, box[along].stop, int(steps[along]))
    read = scan.array[three(rows)]
    share = np.mean(read > level, axis=tuple(a for a in range(3) if a != across))
    inside = np.flatnonzero(share >= _LEAST_OF_PLANE)
    first, last = (int(inside[0]), int(inside[-1])) if inside.size else (0, len(share) - 1)
    beyond_mm = np.array([first, len(share) - 1 - last]) * scan.spacing_mm[across]
    ends = [_x_mm(scan, across, at) for at in (first - 0.5, last + 0.5)]
    seen = [bool(mm >= _BEYOND_MM) for mm in beyond_mm]
    if ends[0] > ends[1]:
        ends, seen = ends[::-1], seen[::-1]
    return Body(left_mm=ends[0], right_mm=ends[1], left_seen=seen[0], right_seen=seen[1])


def settle_sides(mask: NDArray[np.uint8], affine: NDArray, body: Body) -> bool:
    """Give a lone kidney of a mask (1 right, 2 left) its likelier side, in place; whether the sides are certain."""
    boxes = boxes_of(mask)
    centres = {side: _centre_x_mm(mask, value, boxes, affine) for side, value in MASK_VALUES.items()}
    right, left = centres["right"], centres["left"]
    if right is not None and left is not None:
        return body.tells_apart(right, left)
    for side, x_mm in centres.items():
        if x_mm is not None:
            likelier, certain = body.side_of(x_mm)
            if likelier != side:
                part = mask[boxes[MASK_VALUES[side] - 1]]
                part[part == MASK_VALUES[side]] = MASK_VALUES[likelier]
            return certain
    return True


def _centre_x_mm(mask: NDArray[np.uint8], value: int, boxes: list[Box | None], affine: NDArray) -> float | None:
    """As :func:`centre_x_mm` for a value of a mask, counted only where it lies: a whole CT takes a second."""
    box = boxes[value - 1] if value <= len(boxes) else None
    if box is None:
        return None
    local = affine.copy()
    local[:3, 3] += affine[:3, :3] @ [part.start for part in box]
    return centre_x_mm(mask[box] == value, local)


def centre_x_mm(mask: NDArray[np.bool_], affine: NDArray) -> float | None:
    """RAS x of a mask's centre; None where it is empty."""
    centre = centre_of(mask)
    return None if centre is None else float(affine[0, :3] @ centre + affine[0, 3])


def centre_of(mask: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """(3,) mean voxel index of a mask, counted plane by plane; None where it is empty."""
    counts = [np.count_nonzero(mask, axis=tuple(b for b in range(3) if b != a)) for a in range(3)]
    if not counts[0].any():
        return None
    return np.array([np.average(np.arange(len(count)), weights=count) for count in counts])


def _x_mm(scan: AnyScan, across: int, at: float) -> float:
    index = (np.array(scan.array.shape) - 1) / 2
    index[across] = at
    return float(scan.affine[0, :3] @ index + scan.affine[0, 3])
