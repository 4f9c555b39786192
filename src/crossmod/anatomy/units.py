"""How a case is taken apart: into itself, its sides, connected components, planes or tiles.

A unit is declared as plain values::

    {structures: [parenchyma, tumour, ...], apart: side, facts: [tumour]}

``apart`` is one of

* ``side``: what lies on the patient's right, and what lies on the left. Names decide where they carry a side,
  geometry where they do not (:func:`crossmod.anatomy.kidneys.assign_sides`).
* ``component``: each connected component of the structures (26 neighbours), the largest first.
* ``plane``: each plane of the scan that holds a voxel of the structures, as the scanner took it.
* ``tile``: each square of ``size_mm`` of such a plane that holds a voxel of the structures.

A side or a component consists of the structures' own voxels; a plane or a tile is a part of the image, and all of its
voxels belong to it. Which units a case has depends on its reference alone, so that all models are scored on the same.
What a model finds in planes without a reference counts where the unit is the whole image.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from crossmod.anatomy.kidneys import MASK_VALUES, SIDES, Mask, assign_sides, boxes_of
from crossmod.anatomy.structures import split_side, values_of
from crossmod.job import Plain
from crossmod.scans.box import Box, box_of_all, three

APART = ("side", "component", "plane", "tile")
IMAGE = "image"  # the unit that every study has: the whole case
BOTH = "both"
# ASSUME: spacings that differ by less than 5 % are alike; scanners round them.
_ALIKE = 1.05


@dataclass(frozen=True, eq=False)
class Unit:
    """One unit of a case.

    Attributes:
        side: ``right`` or ``left`` of the patient; ``both`` where the case is not taken apart by side.
        part: its number, from 1; None where units are told apart by their side, or there is only one. Components are
            numbered by size, planes and tiles by their place in the scan in R-A-S order, whichever hold a reference.
        box: where it lies in the image.
        mask: (X, Y, Z) of the box: the voxels that belong to it.
        facts: fact → how many of its voxels are of that structure.
    """

    side: str
    part: int | None
    box: Box
    mask: Mask
    facts: dict[str, int]

    def whole(self, shape: Sequence[int]) -> Mask:
        """(X, Y, Z) its mask in an image of a shape."""
        result = np.zeros(shape, dtype=bool)
        result[self.box] = self.mask
        return result


def units_of(
    labels: NDArray, names: dict[int, str], affine: NDArray, unit: Plain | None, facts: Sequence[str] | None = None
) -> list[Unit]:
    """Take a case apart.

    Args:
        labels: (X, Y, Z) integer label map.
        names: structure of each label value, as the cohort declares them.
        affine: (4, 4) voxel index to RAS mm.
        unit: ``structures``, ``apart`` and, for tiles, ``size_mm``; None: the whole case is one unit.
        facts: structures to count inside of each unit; None: those that the unit declares.

    Returns:
        The units that hold a voxel of the structures, in order: right before left, components by size, planes and
        tiles in R-A-S order. None of them where the names declare no structure of the unit.
    """
    if facts is None:
        facts = (unit or {}).get("facts") or ()
    found = _taken_apart(labels, names, affine, unit)
    return [Unit(side, part, box, mask, counted(labels[box], names, mask, facts)) for side, part, box, mask in found]


def counted(labels: NDArray, names: dict[int, str], mask: Mask, facts: Iterable[str]) -> dict[str, int]:
    """Fact → how many voxels of a mask are of that structure.

    ASSUME: a structure that the names of a cohort leave out is found in none of its patients.
    """
    return {fact: int(np.count_nonzero(mask_of(labels, names, [fact]) & mask)) for fact in facts}


def mask_of(labels: NDArray, names: dict[int, str], structures: Iterable[str]) -> Mask:
    """(X, Y, Z) where any of some structures is; empty where the names declare none of them."""
    return having(labels, values_of(names, structures))


def having(labels: NDArray, values: Iterable[int]) -> Mask:
    """(X, Y, Z) where a label map has any of some values; for a few of them several times faster than ``isin``."""
    mask = np.zeros_like(labels, dtype=bool)
    for value in values:
        mask |= labels == value
    return mask


def sides_of(labels: NDArray, names: dict[int, str], affine: NDArray, structures: Sequence[str]) -> NDArray[np.uint8]:
    """(X, Y, Z) the side of each voxel of some structures: 1 right, 2 left, 0 where there is none of them.

    Names that carry a side decide; what carries none is assigned by where it lies.
    """
    sides = np.zeros(labels.shape, dtype=np.uint8)
    for side in SIDES:
        named = {value: name for value, name in names.items() if split_side(name)[0] == side}
        sides[mask_of(labels, named, structures)] = MASK_VALUES[side]
    return assign_sides(mask_of(labels, names, structures), affine, sides)


def components(mask: Mask, affine: NDArray) -> NDArray[np.int32]:
    """(X, Y, Z) the number of each voxel's connected component (26 neighbours), 0 outside of the mask.

    The largest is 1; of equal ones, the one whose first voxel in R-A-S order comes first.
    """
    result = np.zeros(mask.shape, dtype=np.int32)
    box = box_of(mask)
    if box is not None:  # only where something is: a whole CT takes seconds
        result[box] = _numbered(mask[box], affine)
    return result


def through_plane(affine: NDArray) -> int:
    """The array axis along which a scan's planes follow one another.

    ASSUME: pixels of a plane are about square, so it is the axis whose spacing is unlike the two others; where all
    three are alike, planes are axial.
    """
    spacing_mm = np.linalg.norm(np.asarray(affine, dtype=float)[:3, :3], axis=0)
    if spacing_mm.max() <= _ALIKE * spacing_mm.min():
        return int(np.flatnonzero(nib.io_orientation(affine)[:, 0] == 2)[0])
    others = [np.delete(spacing_mm, axis) for axis in range(3)]
    return int(np.argmin([np.ptp(np.log(pair)) for pair in others]))


def pieces(shape: Sequence[int], affine: NDArray, size_mm: float | None = None) -> Iterator[Box]:
    """The planes of a scan, or its tiles, in R-A-S order, those along the slowest axis first.

    Args:
        shape: (X, Y, Z) of the scan.
        affine: (4, 4) voxel index to RAS mm.
        size_mm: edge of a tile, to whole voxels; None: whole planes. Tiles start at the lower R-A-S corner, and the
            last ones along an axis are cut by the edge of the image.
    """
    spacing_mm = np.linalg.norm(np.asarray(affine, dtype=float)[:3, :3], axis=0)
    through, turned = through_plane(affine), nib.io_orientation(affine)
    cuts = []
    for axis, (n, mm) in enumerate(zip(shape, spacing_mm, strict=True)):
        step = n if size_mm is None else max(1, round(size_mm / mm))
        cuts.append(_cuts(n, 1 if axis == through else step, reverse=turned[axis, 1] < 0))
    order = sorted(range(3), key=lambda axis: (axis != through, turned[axis, 0]))
    for found in product(*(cuts[axis] for axis in order)):
        yield three(found[order.index(axis)] for axis in range(3))


def box_of(mask: Mask) -> Box | None:
    """The smallest box that holds a mask; None for an empty one."""
    return next(iter(boxes_of(mask.view(np.uint8))), None)


def _taken_apart(
    labels: NDArray, names: dict[int, str], affine: NDArray, unit: Plain | None
) -> Iterator[tuple[str, int | None, Box, Mask]]:
    """Side, part, box and mask of each unit."""
    if unit is None:
        yield BOTH, None, box_of_all(labels.shape), np.broadcast_to(np.True_, labels.shape)
    elif unit["apart"] == "side":
        sides = sides_of(labels, names, affine, unit["structures"])
        for value, box in enumerate(boxes_of(sides), start=1):
            if box:
                yield SIDES[value - 1], None, box, sides[box] == value
    elif unit["apart"] == "component":
        parts = components(mask_of(labels, names, unit["structures"]), affine)
        for number, box in enumerate(boxes_of(parts), start=1):
            if box:
                yield BOTH, number, box, parts[box] == number
    else:
        held = mask_of(labels, names, unit["structures"])
        size_mm = unit["size_mm"] if unit["apart"] == "tile" else None
        for number, piece in enumerate(pieces(labels.shape, affine, size_mm), start=1):
            if held[piece].any():
                yield BOTH, number, piece, np.broadcast_to(np.True_, held[piece].shape)


def _numbered(mask: Mask, affine: NDArray) -> NDArray[np.int32]:
    """What :func:`components` does, inside the box of the mask."""
    parts = np.empty(mask.shape, np.int32)
    count = ndimage.label(mask, np.ones((3, 3, 3)), output=parts)
    in_order = nib.apply_orientation(parts, nib.io_orientation(affine)).ravel()
    held = np.flatnonzero(in_order)
    _, first, sizes = np.unique(in_order[held], return_index=True, return_counts=True)
    rank = np.zeros(count + 1, dtype=np.int32)
    rank[np.lexsort((first, -sizes)) + 1] = np.arange(1, count + 1)
    return rank[parts]


def _cuts(length: int, step: int, reverse: bool) -> list[slice]:
    """An axis cut into steps from its lower end, or from its upper end where its order is the reverse of R-A-S."""
    ends = [(low, min(low + step, length)) for low in range(0, length, step)]
    return [slice(length - high, length - low) if reverse else slice(low, high) for low, high in ends]
