"""What a study varies, and which of it is compared, repeated and graded."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from crossmod.job import Plain
from crossmod.schema import nearest

# Columns that tables have whatever a study varies, and a key of the blocks of arms: no factor can be called so.
TAKEN = (
    "first_seeds",
    "arm",
    "arms",
    "seed",
    "site",
    "case",
    "patient",
    "person",
    "subject",
    "modality",
    "simulated",
    "target",
    "region",
    "setting",
    "unit",
    "side",
    "part",
    "reason",
    "gain",
    "grouping",
    "group",
    "at",
    "metric",
    "n",
    "note",
    "rows",
    "family",
    "verdict",
)


@dataclass(frozen=True)
class Factors:
    """The factors of a study and their roles in its tables.

    Attributes:
        levels: factor → its levels, both in the order of tables. A graded pool brings ``amount`` and ``subset``.
        contrast: ``factor``, the level of interest ``a``, its baseline ``b``, and further levels ``beside`` them. None
            compares the levels of no factor in particular: then every arm enters the tables.
        replicate: the factor whose levels repeat the same training; None where nothing is repeated.
        dose: ``factor`` with numbers as levels, and ``zero``, the levels of the arms that have none of it. None where
            nothing is graded.
    """

    levels: dict[str, list[Any]]
    contrast: Plain | None = None
    replicate: str | None = None
    dose: Plain | None = None

    @property
    def names(self) -> list[str]:
        """Every factor, in order."""
        return list(self.levels)

    @property
    def within(self) -> list[str]:
        """Factors that divide the outcomes of a unit: all but the replicate."""
        return [name for name in self.levels if name != self.replicate]

    @property
    def averaged(self) -> list[str]:
        """Factors over which a gain is averaged: those within a unit but the contrast's."""
        return [name for name in self.within if self.contrast is None or name != self.contrast["factor"]]

    @property
    def compared(self) -> list[str]:
        """Levels of the contrast, the baseline first; empty without a contrast."""
        contrast = self.contrast
        return [contrast["b"], contrast["a"], *(contrast.get("beside") or [])] if contrast else []

    @property
    def zero(self) -> Plain:
        """Levels of the arms without any dose; empty where there are none."""
        return (self.dose or {}).get("zero") or {}

    def order(self) -> dict[str, list[Any]]:
        """Factor within a unit → the levels that tables hold: the baseline first, doses growing, others as declared."""
        order = {name: list(self.levels[name]) for name in self.within}
        if self.contrast:
            order[self.contrast["factor"]] = self.compared
        if self.dose:
            name = self.dose["factor"]
            order[name] = sorted({*order[name], *([0] if self.zero else [])})
        return order

    def faults(self, key: str) -> list[str]:
        """A sentence for each fault of contrast, replicate and dose.

        Args:
            key: of the section that holds them, e.g. ``analyse``.
        """
        taken = [f"factors.{name}: tables have a column of this name; choose another" for name in self.levels]
        return [
            *(fault for fault, name in zip(taken, self.levels, strict=True) if name in TAKEN),
            *self._of_contrast(f"{key}.contrast"),
            *self._unknown(f"{key}.replicate", self.replicate),
            *self._of_dose(f"{key}.dose"),
        ]

    def _unknown(self, key: str, factor: str | None) -> Iterator[str]:
        if factor is not None and factor not in self.levels:
            yield f"{key}: no factor is called '{factor}'{nearest(factor, self.levels)}"

    def _strange(self, key: str, factor: str, levels: list[str]) -> Iterator[str]:
        known = self.levels.get(factor, levels)
        for level in levels:
            if level not in known:
                yield f"{key}: {factor} has no level '{level}'{nearest(level, known)}"

    def _of_contrast(self, key: str) -> Iterator[str]:
        if self.contrast is None:
            return
        factor, levels = self.contrast["factor"], self.compared
        yield from self._unknown(f"{key}.factor", factor)
        for name, chosen in (("a", levels[1:2]), ("b", levels[:1]), ("beside", levels[2:])):
            yield from self._strange(f"{key}.{name}", factor, chosen)
        if len(set(levels)) < len(levels):
            yield f"{key}: a, b and beside name {', '.join(levels)}; name different levels"
        if factor == self.replicate:
            yield f"{key}.factor: '{factor}' is the replicate too; a repetition of a training is no contrast"

    def _of_dose(self, key: str) -> Iterator[str]:
        if self.dose is None:
            return
        factor = self.dose["factor"]
        yield from self._unknown(f"{key}.factor", factor)
        strange = [level for level in self.levels.get(factor, []) if isinstance(level, bool | str)]
        if strange:
            yield f"{key}.factor: the level '{strange[0]}' of {factor} is no number; name a factor such as amount"
        roles = {self.replicate: "replicate", (self.contrast or {}).get("factor"): "contrast's factor"}
        if factor in roles:
            yield f"{key}.factor: '{factor}' is the {roles[factor]} too; name another"
        for name, level in self.zero.items():
            yield from self._unknown(f"{key}.zero.{name}", name)
            yield from self._strange(f"{key}.zero.{name}", name, [level])
        if self.contrast is None:
            yield f"{key}: curves compare the levels a and b of a contrast; give one, or set dose to null"
        elif self.zero.get(self.contrast["factor"]) in self.compared:
            level = self.zero[self.contrast["factor"]]
            yield f"{key}.zero: '{level}' is compared in the contrast too; arms without a dose stand beside it"
