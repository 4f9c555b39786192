"""The targets of a study as its config declares them, with all that they leave unsaid filled in."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from crossmod.anatomy.structures import split_side, values_of
from crossmod.anatomy.units import IMAGE
from crossmod.job import Plain, UserError

PREDICTED, REFERENCE = "predicted_box", "reference_box"


@dataclass(frozen=True)
class Target:
    """A declared target, with all that it leaves unsaid filled in.

    Attributes:
        name: of the target.
        stage: whose masks are compared.
        values: of its classes in those masks, where they do not hold sides.
        structures: of the reference, in groups; a cohort has the target where it names one of each group.
        unit: ``image``, or the name of a declared unit.
        condition: fact → whether the unit must have it.
        sides: value of a class in those masks → the side that its structures name; empty where not all of them do.
    """

    name: str
    stage: str
    values: tuple[int, ...]
    structures: tuple[tuple[str, ...], ...]
    unit: str
    condition: dict[str, bool]
    sides: dict[int, str] = field(default_factory=dict)

    def named(self, names: dict[int, str]) -> bool:
        """Whether label names tell the target's structures apart from the rest."""
        return all(values_of(names, group) for group in self.structures)

    def met(self, facts: dict[str, int]) -> bool:
        """Whether a unit with some facts (fact → voxels) fulfils the condition."""
        return all((facts[fact] > 0) == wanted for fact, wanted in self.condition.items())


@dataclass(frozen=True)
class Declared:
    """The targets of a study, with the stages and units that they speak of.

    Attributes:
        targets: in order of their stages, then as declared.
        stages, units: as declared.
        facts: of all units, in order; every unit counts them all.
    """

    targets: tuple[Target, ...]
    stages: Plain
    units: Plain
    facts: tuple[str, ...]

    @classmethod
    def of(cls, settings: Plain) -> "Declared":
        """The targets in a job's settings: ``stages``, ``units`` and ``targets``.

        A target of stages that these settings lack is left out: arms of a study may have different stages.

        Raises:
            UserError: if no target is left, or one speaks of what is not declared.
        """
        stages, units = settings["stages"], settings.get("units") or {}
        for name, unit in units.items():
            if unit["apart"] in ("side", "component"):
                _refuse(f"units.{name}.facts", unit.get("facts") or (), unit["structures"])
        facts = tuple(dict.fromkeys(fact for unit in units.values() for fact in unit.get("facts") or ()))
        found = [_target(name, record, stages, units, facts) for name, record in settings["targets"].items()]
        targets = [one for stage in stages for one in found if one is not None and one.stage == stage]
        if not targets:
            raise UserError(
                f"targets: none of {', '.join(settings['targets']) or 'no target'} is of one of the stages "
                f"{', '.join(stages)}; declare one, or leave this arm out."
            )
        return cls(tuple(targets), stages, units, facts)

    def known(self, classes: dict[str, list[str]]) -> "Declared":
        """Without targets of classes that a segmenter does not know.

        Args:
            classes: stage → names of the classes that it knows; it knows none of other stages.

        Raises:
            UserError: if no target is left.
        """

        def whole(one: Target) -> bool:
            names = list(self.stages[one.stage]["classes"])
            return all(names[value - 1] in classes.get(one.stage, ()) for value in one.values)

        targets = tuple(filter(whole, self.targets))
        if not targets:
            raise UserError(
                f"targets: of none of {', '.join(one.name for one in self.targets)} the segmenter knows all classes "
                f"({classes}); declare a target that it can meet, or leave this arm out."
            )
        return replace(self, targets=targets)

    @property
    def columns(self) -> list[str]:
        """The columns of a prediction's index that the targets need, stage by stage."""
        return [column_of(stage, region) for stage, region in self.looks()]

    def looks(self) -> Iterator[tuple[str, str]]:
        """Stage and region of every kind of mask that a target needs."""
        for stage in dict.fromkeys(one.stage for one in self.targets):
            for region in [IMAGE] if self.stages[stage]["region"] == IMAGE else [PREDICTED, REFERENCE]:
                yield stage, region


def column_of(stage: str, region: str) -> str:
    """The column of a prediction's index that names the masks of a stage which looked into a region."""
    return f"{stage}_{REFERENCE}" if region == REFERENCE else stage


def _target(name: str, record: Plain, stages: Plain, units: Plain, facts: tuple[str, ...]) -> Target | None:
    """A declared target with all that it leaves unsaid; None where none of its stages is there."""
    named = [record["stage"]] if isinstance(record["stage"], str) else record["stage"]
    stage = next((one for one in named if one in stages), None)
    if stage is None:
        return None
    known = stages[stage]["classes"]
    classes = record.get("classes") or list(known)
    _refuse(f"targets.{name}.classes", classes, known)
    unit, condition = record["unit"], record.get("where") or {}
    _refuse(f"targets.{name}.unit", [unit], [IMAGE, *units])
    _refuse(f"targets.{name}.where", condition, facts)
    structures = [record["structures"]] if record.get("structures") else [known[one] for one in classes]
    if unit != IMAGE and units[unit]["apart"] in ("side", "component"):
        # What such a unit does not consist of is never inside it, and would be a wrong zero.
        bare = [split_side(one)[1] for group in structures for one in group]
        _refuse(f"targets.{name}.structures", bare, [split_side(one)[1] for one in units[unit]["structures"]])
    values = tuple(number for number, one in enumerate(known, start=1) if one in classes)
    sides = _sides({number: known[one] for number, one in enumerate(known, start=1) if one in classes})
    return Target(name, stage, values, tuple(map(tuple, structures)), unit, dict(condition), sides)


def _sides(classes: dict[int, list[str]]) -> dict[int, str]:
    """Value of a class → the one side that all of its structures name; empty where a class names none, or both."""
    found = {value: {split_side(structure)[0] for structure in parts} for value, parts in classes.items()}
    named = {value: next(iter(sides)) for value, sides in found.items() if len(sides) == 1}
    sides = {value: side for value, side in named.items() if side}
    return sides if len(sides) == len(classes) else {}


def _refuse(where: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise where a name is not among the known ones."""
    known = list(known)
    for one in given:
        if one not in known:
            raise UserError(f"{where}: '{one}' is unknown; valid: {', '.join(known) or 'none'}.")
