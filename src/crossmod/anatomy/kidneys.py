"""The kidneys: how a case is taken apart into them, and on which side an organ lies whose name carries none.

A kidney is the union of its renal structures (:data:`crossmod.anatomy.structures.RENAL`). Where names carry no side
(KiTS), it is found by geometry.
"""

from collections.abc import Iterable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from crossmod.anatomy.structures import RENAL
from crossmod.scans.box import Box, three

Mask = NDArray[np.bool_]
SIDES = ("right", "left")
MASK_VALUES = {"right": 1, "left": 2}  # of a mask that holds sides
KIDNEY = {"structures": RENAL, "apart": "side", "facts": ("tumour",)}  # as a unit; see crossmod.anatomy.units

# ASSUME: two components are two kidneys when their centres lie at least this far apart from right to left.
# In every third patient of KiTS23 the two kidneys lie 93 to 194 mm apart.
SEPARATION_MM = 40.0


def assign_sides(mask: Mask, affine: NDArray, sides: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """Give every part of a mask the side of the kidney it belongs to.

    Args:
        mask: (X, Y, Z) renal tissue of unknown side.
        affine: (4, 4) voxel index to RAS mm.
        sides: (X, Y, Z) tissue whose side is known already (1 right, 2 left), if any.

    Returns:
        (X, Y, Z) 1 right, 2 left, 0 elsewhere; ``sides`` included. Without known sides the largest
        component and the largest one lateral to it are the kidneys; all other parts join the nearest of
        them.
    """
    # Untouched parts of np.zeros, unlike those of zeros_like, take no memory.
    order: Literal["F", "C"] = "F" if mask.flags.f_contiguous else "C"
    result = np.zeros(mask.shape, np.uint8, order) if sides is None else sides.copy()
    held = mask if sides is None else mask | (sides > 0)
    # Only where tissue is: of a scan of 512 × 512 × 600 every further array would take 160 MB.
    box = next(iter(boxes_of(held.view(np.uint8))), None)
    if box is None:
        return result
    unsided = mask[box] & (result[box] == 0)
    if unsided.any():
        affine = np.asarray(affine, dtype=float)
        local = affine.copy()
        local[:3, 3] += affine[:3, :3] @ [part.start for part in box]
        centre_x_mm = (affine @ [*((np.array(mask.shape) - 1) / 2), 1])[0]
        result[box] = _assign(unsided, result[box], local, centre_x_mm)
    return result


def boxes_of(values: NDArray[np.integer]) -> list[Box | None]:
    """Where each value of a mask or label map lies, from 1 on; None for one that does not occur."""
    if not values.flags.f_contiguous:
        return [three(box) if box else None for box in ndimage.find_objects(values)]
    # In the order of memory: several times faster.
    return [three(box[::-1]) if box else None for box in ndimage.find_objects(values.T)]


def around(boxes: Iterable[Box]) -> Box:
    """The smallest box that holds others, of which there is one at least."""
    return three(slice(min(p.start for p in at), max(p.stop for p in at)) for at in zip(*boxes, strict=True))


def part_centres(parts: NDArray) -> NDArray[np.float64]:
    """(N, 3) mean voxel index of the connected parts 1 to N.

    scipy's centre of mass passes over the whole array once for each axis.
    """
    index = np.nonzero(parts)
    of = parts[index] - 1
    return np.column_stack([np.bincount(of, along) for along in index]) / np.bincount(of)[:, None]


def _assign(unsided: Mask, sides: NDArray[np.uint8], affine: NDArray, midline_x_mm: float) -> NDArray[np.uint8]:
    """What :func:`assign_sides` does, inside the box of the tissue."""
    parts, count = ndimage.label(unsided, np.ones((3, 3, 3)))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    order = [int(part) + 1 for part in np.argsort(-sizes, kind="stable")]
    sides = sides.copy()
    if not sides.any():
        for part, side in _seeds(parts, order, affine, midline_x_mm).items():
            sides[parts == part] = MASK_VALUES[side]
    if not (unsided & (sides == 0)).any():
        return sides
    # ASSUME: a further fragment (tumour, cyst, stray voxels) belongs to the nearest kidney.
    seeds = np.argwhere(sides > 0)
    tree = cKDTree(seeds @ affine[:3, :3].T)
    seed_sides = sides[tuple(seeds.T)]
    for part in order:
        voxels = np.argwhere((parts == part) & (sides == 0))
        if len(voxels):
            distance, nearest = map(np.asarray, tree.query(voxels @ affine[:3, :3].T))
            sides[tuple(voxels.T)] = seed_sides[nearest[np.argmin(distance)]]
    return sides


def _seeds(parts: NDArray, order: list[int], affine: NDArray, midline_x_mm: float) -> dict[int, str]:
    """The component of each kidney: the largest one and the largest one lateral to it."""
    x_mm = (part_centres(parts)[np.array(order) - 1] @ affine[:3, :3].T + affine[:3, 3])[:, 0]
    for part, x in zip(order[1:], x_mm[1:], strict=True):
        if abs(x - x_mm[0]) >= SEPARATION_MM:
            # RAS: x grows towards the patient's right.
            first, second = ("right", "left") if x_mm[0] > x else ("left", "right")
            return {order[0]: first, part: second}
    # ASSUME: of a single kidney, the middle of the field of view stands for the body's midline.
    return {order[0]: "right" if x_mm[0] > midline_x_mm else "left"}
