"""What an analysis compares, from the settings of its job: arms and their levels, sites, targets, units and tests."""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from pydantic import ValidationError

from crossmod.analyse.declared import POOLED, Hypotheses, faults_of_hypotheses, scored_of, words_of
from crossmod.analyse.factors import Factors
from crossmod.analyse.plan import AnalysisPlan
from crossmod.analyse.stats.errors import some
from crossmod.job import Plain, UserError
from crossmod.schema import faults_of

METRICS = ["dsc", "hd95_mm", "surface_dsc"]
# Units that are a thing of their own, whose volume is asked for; planes and tiles are pieces of one.
MEASURED = ("side", "component")


@dataclass(frozen=True)
class Design:
    """What is compared and tested, declared before the numbers are seen.

    Attributes:
        arms: records with ``name`` and ``levels`` (factor → level), in order.
        sites, targets: names in order.
        factors: what the arms differ in, and which of it is compared, repeated and graded.
        metrics: columns of scores in order; the first is tested where a hypothesis names no other.
        units: name → record with ``apart`` (side, component, plane or tile) and ``facts`` (structures).
        alpha: significance level after correction.
        correction: of each family.
        reference_error_ml: error of the method to beat; None takes the ellipsoid formula on the same references.
        reference_error_source: where that number comes from.
        confidence: level of the intervals.
        seed: of the bootstrap.
        seeds: of the trainings that are declared.
        hypotheses: what is tested on which table.
        groups: name of several targets, one for each class of a stage → these targets.
        unavailable: arm → the program that would have segmented it, and that the machine lacks.
        validated: site → the arms that are validated there; a site that is absent validates all.
        lesion_sizes_ml: volumes between the classes of size that components are counted by.
    """

    arms: list[Plain]
    sites: list[str]
    targets: list[str]
    factors: Factors
    metrics: list[str] = field(default_factory=lambda: list(METRICS))
    units: dict[str, Plain] = field(default_factory=dict)
    alpha: float = 0.05
    correction: str = "holm"
    reference_error_ml: float | None = None
    reference_error_source: str | None = None
    confidence: float = 0.95
    seed: int = 0
    seeds: list[int] = field(default_factory=list)
    hypotheses: Hypotheses = field(default_factory=Hypotheses)
    groups: dict[str, list[str]] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)
    validated: dict[str, list[str]] = field(default_factory=dict)
    lesion_sizes_ml: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, settings: Plain) -> "Design":
        """The design in the settings of a job.

        ``arms``, ``sites`` (with ``name``, and ``arms`` where not all are validated there), ``targets`` and
        ``factors`` must be given. Factors are a list of ``name`` and ``levels`` in the order of tables, since a mapping
        loses its order on the way. ``contrast``, ``replicate`` and ``dose`` (see :class:`Factors`) and the other
        attributes may be given.

        Raises:
            UserError: a key is missing or unknown, a value is out of range, or a hypothesis fits no table; all such
                hypotheses are listed.
        """
        given = dict(settings)
        try:
            levels = {factor["name"]: list(factor["levels"]) for factor in given.pop("factors")}
            roles = {role: given.pop(role, None) for role in ("contrast", "replicate", "dose")}
            hypotheses = _valid_hypotheses(given.pop("hypotheses", {}))
            given["validated"] = {site["name"]: site["arms"] for site in given["sites"] if "arms" in site}
            given["sites"] = [site["name"] for site in given["sites"]]
            design = cls(factors=Factors(levels, **roles), hypotheses=hypotheses, **given)
            known = [(arm["name"], arm["levels"]) for arm in design.arms]
        except (KeyError, TypeError) as error:
            raise UserError(
                f"Settings of the analyse step: {error}. Expected arms (name, levels), factors (name, levels), sites "
                "(name), targets, and optionally metrics, units, contrast, replicate, dose, alpha, correction, "
                "confidence, hypotheses, reference_error_ml, reference_error_source, seed, seeds."
            ) from error
        design._refuse_faults(known)
        return design

    @property
    def facts(self) -> list[str]:
        """Structures whose volume inside a unit is known, in the order of the units."""
        return list(dict.fromkeys(fact for unit in self.units.values() for fact in unit.get("facts") or []))

    @property
    def parts(self) -> bool:
        """Whether a case is taken apart further than by side."""
        return any(unit["apart"] != "side" for unit in self.units.values())

    @property
    def scored(self) -> list[str]:
        """Metrics that are summarised and can be tested."""
        return scored_of(self.metrics)

    @property
    def pooled(self) -> list[str]:
        """Scores that are pooled over units; none where the volume that both masks share is not known."""
        known = {name for name in POOLED if name != "accuracy" or "extent_ml" in self.metrics}
        return [name for name in self.scored if name in known] if "shared_ml" in self.metrics else []

    @property
    def words(self) -> list[str]:
        """Metrics that are words, such as whether a lesion was found in its place."""
        return words_of(self.metrics)

    @property
    def outcomes(self) -> list[str]:
        """Metrics that the tables of units hold, the one that is tested by default first."""
        return self.hypotheses.outcomes(self.metrics)

    @property
    def measured(self) -> list[str]:
        """Units whose volumes are compared: the sides and components of an image, not pieces of them."""
        return [name for name, unit in self.units.items() if unit["apart"] in MEASURED]

    @property
    def components(self) -> list[str]:
        """Units that are connected components, of which a model may find some that the reference lacks."""
        return [name for name, unit in self.units.items() if unit["apart"] == "component"]

    def arm_table(self) -> pd.DataFrame:
        """Column arm, then one for each factor; one row per arm in order."""
        rows = [[arm["name"], *(arm["levels"][name] for name in self.factors.names)] for arm in self.arms]
        return pd.DataFrame(rows, columns=["arm", *self.factors.names])

    def compared_arms(self) -> pd.DataFrame:
        """The arms that enter the tables of the tests: those of the levels of the contrast, or all without one."""
        table, contrast = self.arm_table(), self.factors.contrast
        return table if contrast is None else table[table[contrast["factor"]].isin(self.factors.compared)]

    def zero_arms(self) -> pd.DataFrame:
        """The arms without any dose."""
        table = self.arm_table()
        for factor, level in self.factors.zero.items():
            table = table[table[factor] == level]
        return table if self.factors.zero else table[:0]

    def plans(self) -> dict[str, AnalysisPlan]:
        """A plan for each table that any hypothesis is tested on."""
        return {
            table: AnalysisPlan(
                title=f"hypotheses on the table of {table}",
                outcome="gain" if table == "gains" else self.scored[0],
                subject=["subject"],
                cluster="person",
                levels=self.factors.order(),
                alpha=self.alpha,
                confidence=self.confidence,
                correction=self.correction,
                hypotheses=declared,
            )
            for table, declared in self.hypotheses
            if declared
        }

    def _refuse_faults(self, arms: list[tuple[str, Plain]]) -> None:
        """Refuse values that do not fit each other."""
        if len({name for name, _ in arms}) < len(arms):
            raise UserError(f"settings.arms: a name stands twice among {some((name for name, _ in arms), 20)}.")
        for key in ("alpha", "confidence"):
            if not 0 < getattr(self, key) < 1:
                raise UserError(f"settings.{key} is {getattr(self, key)}; it lies between 0 and 1.")
        error_ml = self.reference_error_ml
        if error_ml is not None and not (error_ml > 0 and self.reference_error_source):
            raise UserError(
                f"settings.reference_error_ml is {error_ml}: it must be positive and reference_error_source must say "
                "where it comes from; or leave both empty to use the ellipsoid formula on the same references."
            )
        if not self.scored:
            raise UserError(
                f"settings.metrics has no score of a model ({some(self.metrics) or 'empty'}); give one, e.g. dsc."
            )
        self._refuse_levels(arms)
        faults = self.factors.faults("settings") or faults_of_hypotheses(
            self.hypotheses, self.factors, facts=self.facts, metrics=self.metrics, parts=self.parts, key="hypotheses"
        )
        _refuse(faults)

    def _refuse_levels(self, arms: list[tuple[str, Plain]]) -> None:
        """Refuse arms that have not one level of every factor, or the levels of another arm."""
        seen: dict[tuple[Any, ...], str] = {}
        for name, levels in arms:
            if set(levels) != set(self.factors.names):
                raise UserError(
                    f"settings.arms: {name} has levels of {some(levels) or 'no factor'}; the factors are "
                    f"{some(self.factors.names, 20) or 'none'}."
                )
            strange = [
                f"{factor} {levels[factor]!r}"
                for factor, known in self.factors.levels.items()
                if levels[factor] not in known
            ]
            if strange:
                raise UserError(
                    f"settings.arms: {name} has {some(strange)}, which is no level that settings.factors declares."
                )
            key = tuple(levels[factor] for factor in self.factors.names)
            if key in seen:
                raise UserError(
                    f"settings.arms: {seen[key]} and {name} have the same level of every factor, so they would be one; "
                    "declare what they differ in as a factor."
                )
            seen[key] = name


def _valid_hypotheses(given: Any) -> Hypotheses:
    try:
        return Hypotheses.model_validate(given)
    except ValidationError as error:
        _refuse(faults_of(Hypotheses, error, "hypotheses"))
        raise


def _refuse(faults: list[str]) -> None:
    """Raise a UserError that lists all faults; do nothing if there is none."""
    if faults:
        lines = "\n".join(f"  {fault}" for fault in faults)
        raise UserError(f"What the study declares is not valid:\n{lines}")
