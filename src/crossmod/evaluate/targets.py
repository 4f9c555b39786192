"""What is compared: the reference mask and the predicted mask of every target in every unit of a case.

A target names a stage, some of its classes (all of them, if not said), the structures of the reference that they stand
for (those of the classes, if not said), a unit, and perhaps a fact of the unit as a condition. This is the one place
that decides which voxels of the reference are held against which voxels of a prediction:

=========  =============================  ==================================================================
unit       reference                      prediction
=========  =============================  ==================================================================
image      the structures                 the classes
side       the structures on that side    the classes on that side, as a sided mask or the classes say, else by
                                          where they lie
component  one of their components        the component matched with it, or nothing
plane      the structures in the plane    the classes in the plane
tile       the structures in the tile     the classes in the tile
=========  =============================  ==================================================================

A unit that the reference lacks has no row of its own; only components that a model has found and the reference lacks
have one each, with an empty reference.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import count

import numpy as np
from numpy.typing import NDArray

from crossmod.anatomy.kidneys import MASK_VALUES, Mask, around, assign_sides, boxes_of
from crossmod.anatomy.units import BOTH, IMAGE, Unit, components, counted, having, mask_of, through_plane, units_of
from crossmod.evaluate.declared import Declared, Target, column_of
from crossmod.evaluate.lesions import OVERLAP, match, overlaps
from crossmod.job import UserError
from crossmod.scans.box import Box
from crossmod.scans.grid import Grid
from crossmod.stages import is_sided


@dataclass(frozen=True, eq=False)
class Truth:
    """What is true of one case.

    Attributes:
        labels: (X, Y, Z) label map on the grid of the scan.
        names: structure of each label value.
        grid: of the scan.
    """

    labels: NDArray
    names: dict[int, str]
    grid: Grid


@dataclass(frozen=True, eq=False)
class Pair:
    """A reference mask and the predicted mask that is held against it.

    Attributes:
        target: the target.
        region: where its stage looked: ``image``, ``predicted_box`` or ``reference_box``.
        unit: of the reference; for a component that only the prediction has, of the prediction.
        box: of the image, holding both masks.
        reference, predicted: (X, Y, Z) masks of the box.
        voxels: how many belong to the unit, with its background; None where it has none.
        flat: axis across the plane that the unit lies in; None where it is a body.
        matched: of components, whether reference and prediction have one; None of all other units.
    """

    target: Target
    region: str
    unit: Unit
    box: Box
    reference: Mask
    predicted: Mask
    voxels: int | None = None
    flat: int | None = None
    matched: bool | None = None

    def whole(self, shape: tuple[int, ...]) -> tuple[Mask, Mask]:
        """(X, Y, Z) both masks in an image of a shape."""
        both = np.zeros((2, *shape), dtype=bool)
        both[(0, *self.box)], both[(1, *self.box)] = self.reference, self.predicted
        return both[0], both[1]


def pairs_of(
    declared: Declared,
    truth: Truth,
    masks: dict[str, NDArray],
    target: str | None = None,
    region: str | None = None,
) -> Iterator[Pair]:
    """Everything that is compared in a case, region by region, unit by unit, target by target.

    Args:
        declared: the targets of the study.
        truth: of the case.
        masks: column of the index → (X, Y, Z) predicted mask; columns without a mask are left out.
        target: the only one that is wanted; None: all of them.
        region: the only one that is wanted; None: all of them.

    Raises:
        UserError: if a mask does not have the shape of the scan.
    """
    case = _Case(declared, truth)
    for stage, looked in declared.looks():
        predicted = masks.get(column_of(stage, looked))
        if predicted is None or region not in (None, looked):
            continue
        if predicted.shape != truth.labels.shape:
            raise UserError(
                f"mask '{column_of(stage, looked)}' has {predicted.shape} voxels, the scan {truth.labels.shape}: "
                "predict it anew"
            )
        wanted = [one for one in declared.targets if one.stage == stage and target in (None, one.name)]
        yield from case.pairs(wanted, looked, predicted)


class _Case:
    """One case, taken apart once for all targets."""

    def __init__(self, declared: Declared, truth: Truth) -> None:
        self.declared, self.truth = declared, truth
        self.found: dict[str, list[Unit]] = {}
        self.masks: dict[tuple[tuple[str, ...], ...], Mask] = {}

    def pairs(self, targets: list[Target], region: str, predicted: NDArray) -> Iterator[Pair]:
        """Those of one stage, which looked into one region."""
        compared = [_Compared(one, region, self, predicted) for one in targets if one.named(self.truth.names)]
        for name in [IMAGE, *self.declared.units]:
            own = [one for one in compared if one.target.unit == name]
            if self.apart(name) == "component":
                yield from (pair for one in own for pair in one.components())
            elif own:
                yield from (one.pair(unit) for unit in self.units(name) for one in own if one.target.met(unit.facts))

    def apart(self, name: str) -> str:
        """How the cases of a unit are taken apart; ``image`` for the whole case."""
        return IMAGE if name == IMAGE else self.declared.units[name]["apart"]

    def units(self, name: str) -> list[Unit]:
        """The units of a name that the reference has."""
        if name not in self.found:
            truth, unit = self.truth, self.declared.units.get(name)
            self.found[name] = units_of(truth.labels, truth.names, truth.grid.affine, unit, self.declared.facts)
        return self.found[name]

    def reference(self, target: Target) -> Mask:
        """(X, Y, Z) where the structures of a target are."""
        if target.structures not in self.masks:
            structures = [structure for group in target.structures for structure in group]
            self.masks[target.structures] = mask_of(self.truth.labels, self.truth.names, structures)
        return self.masks[target.structures]


class _Compared:
    """One target in one region of one case: what is true, and what a model says."""

    def __init__(self, target: Target, region: str, case: _Case, mask: NDArray) -> None:
        self.target, self.region, self.case = target, region, case
        self.sided = is_sided(case.declared.stages, target.stage)
        self.mask = mask
        self.reference = case.reference(target)

    @cached_property
    def predicted(self) -> Mask:
        """(X, Y, Z) where the model found the target."""
        return self.mask > 0 if self.sided else having(self.mask, self.target.values)

    @cached_property
    def sides(self) -> NDArray[np.uint8]:
        """(X, Y, Z) the same by side: 1 right, 2 left."""
        if self.sided:
            return self.mask
        if self.target.sides:
            values = np.zeros(256, dtype=np.uint8)
            for value, side in self.target.sides.items():
                values[value] = MASK_VALUES[side]
            return values[self.mask]
        return assign_sides(self.predicted, self.case.truth.grid.affine)

    @cached_property
    def boxes(self) -> list[Box | None]:
        """Where the right and the left of them lie."""
        return boxes_of(self.sides)

    def pair(self, unit: Unit) -> Pair:
        """The masks of one unit, other than a component."""
        if unit.side != BOTH:
            return self._of_side(unit)
        reference, predicted = self.reference[unit.box], self.predicted[unit.box]
        flat = None if unit.part is None else through_plane(self.case.truth.grid.affine)
        return Pair(self.target, self.region, unit, unit.box, reference, predicted, unit.mask.size, flat)

    def _of_side(self, unit: Unit) -> Pair:
        value = MASK_VALUES[unit.side]
        box = around([unit.box, *filter(None, self.boxes[value - 1 : value])])
        reference = np.zeros([part.stop - part.start for part in box], dtype=bool)
        inside = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(unit.box, box, strict=True))
        reference[inside] = unit.mask & self.reference[unit.box]
        return Pair(self.target, self.region, unit, box, reference, self.sides[box] == value)

    def components(self) -> Iterator[Pair]:
        """The reference's components, largest first, then those that only the model has found."""
        truth, declared = self.case.truth, self.case.declared
        true, found = self._true_components(), components(self.predicted, truth.grid.affine)
        boxes = boxes_of(true), boxes_of(found)
        overlap = (declared.units[self.target.unit].get("match") or {}).get("overlap", OVERLAP)
        partners = match(overlaps(true, found), overlap)
        rows = [(i, partners.get(i, 0)) for i, box in enumerate(boxes[0], start=1) if box]
        rows += [(0, j) for j in range(1, len(boxes[1]) + 1) if j not in partners.values()]
        beyond = count(len(self.case.units(self.target.unit)) + 1)
        for i, j in rows:
            places = (parts[number - 1] for parts, number in zip(boxes, (i, j), strict=True) if number)
            box = around([*filter(None, places)])
            reference, predicted = (true[box] == i) & (i > 0), (found[box] == j) & (j > 0)
            # Facts are those of the reference: what a model invents has none, and arms must not differ in them.
            facts = counted(truth.labels[box], truth.names, reference, declared.facts)
            unit = Unit(BOTH, i or next(beyond), box, reference if i else predicted, facts)
            if self.target.met(unit.facts):
                yield Pair(self.target, self.region, unit, box, reference, predicted, matched=i > 0 and j > 0)

    def _true_components(self) -> NDArray[np.int32]:
        """(X, Y, Z) the number of the unit that each voxel of the reference belongs to."""
        parts = np.zeros(self.reference.shape, dtype=np.int32)
        for unit in self.case.units(self.target.unit):
            parts[unit.box][unit.mask & self.reference[unit.box]] = unit.part or 0
        return parts
