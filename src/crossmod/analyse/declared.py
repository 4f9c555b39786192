"""The hypotheses of a study, declared in its config, by the table each is tested on."""

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import Field, model_validator

from crossmod.analyse.factors import Factors
from crossmod.analyse.hypotheses import AnyHypothesis, Hypothesis
from crossmod.analyse.hypotheses.relations import LocalisationOf
from crossmod.analyse.names import doubled_files
from crossmod.analyse.stats.errors import some
from crossmod.job import Plain
from crossmod.schema import Closed, nearest

# Tables that the analyse step writes itself.
TAKEN = (
    *("scores", "dsc", "units", "incomplete", "volumes", "reference_error"),
    *("classes", "located", "pooled", "detected"),
)
CELL = ["site", "target", "region"]
UNIT = ["subject", "person", "patient", "case", "side"]
# Measured beside the metrics, and no score of a model.
NO_SCORE = ("ellipsoid_ml", "shared_ml", "extent_ml")
# Scores that are a ratio of volumes, so that they can be pooled over units (:mod:`crossmod.analyse.pooled`).
POOLED = ("dsc", "precision", "recall", "accuracy", "f1", "iou")
# Metrics that are words; see :func:`crossmod.evaluate.metrics.located`.
WORDS = ("located",)
# Why a metric is undefined, where it is not for want of a reference and a prediction.
UNDEFINED = {"accuracy": "the unit has no background"}
# Tables that need a factor with a role: its key and what it is.
NEEDED = {
    "replicates": ("replicate", "the factor whose levels repeat a training"),
    "crossed": ("replicate", "the factor whose levels repeat a training"),
    "gains": ("contrast", "the levels that are compared"),
    "curves": ("dose", "the factor along which annotation grows"),
}


class Hypotheses(Closed):
    """Hypotheses by table. Every table names a unit by ``subject`` and its patient by ``person``.

    Attributes:
        units: the levels of the contrast on the same units, replicates and seeds averaged
            (:func:`crossmod.analyse.tables.units_of`).
        replicates: the same with the replicates apart (:func:`crossmod.analyse.tables.replicates_of`).
        crossed: replicates at the sites whose units every replicate's models score, where it is a factor within units.
        gains: a - b of each unit, with its volumes (:func:`crossmod.analyse.tables.gains_of`).
        subgroups: units by size and side (:func:`crossmod.analyse.tables.subgroups_of`).
        curves: scores against the dose (:func:`crossmod.analyse.tables.curves_of`).
    """

    units: list[AnyHypothesis] = Field(default_factory=list)
    replicates: list[AnyHypothesis] = Field(default_factory=list)
    crossed: list[AnyHypothesis] = Field(default_factory=list)
    gains: list[AnyHypothesis] = Field(default_factory=list)
    subgroups: list[AnyHypothesis] = Field(default_factory=list)
    curves: list[AnyHypothesis] = Field(default_factory=list)

    @model_validator(mode="after")
    def _names_are_files(self) -> "Hypotheses":
        names = [hypothesis.name for _, declared in self for hypothesis in declared]
        twice = sorted({*doubled_files(names), *(name for name in names if name.casefold() in TAKEN)})
        if twice:
            raise ValueError(f"{some(twice)} given twice, or a table of the step itself ({', '.join(TAKEN)})")
        return self

    def outcomes(self, metrics: Sequence[str]) -> list[str]:
        """The scores that tables of units hold: the first metric, those that any hypothesis names, and words."""
        read = {name for _, declared in self for hypothesis in declared for name in _named(hypothesis)}
        scored = scored_of(metrics)
        return [*(name for name in scored if name == scored[0] or name in read), *words_of(metrics)]


def scored_of(metrics: Sequence[str]) -> list[str]:
    """The metrics that score a model, in order. The first is tested where a hypothesis names no other."""
    return [name for name in metrics if name not in (*NO_SCORE, *WORDS)]


def words_of(metrics: Sequence[str]) -> list[str]:
    """The metrics that say of a unit in a word what became of it."""
    return [name for name in metrics if name in WORDS]


def unit_columns(factors: Factors, facts: Sequence[str], outcomes: Sequence[str], parts: bool) -> list[str]:
    """Columns of the table of units, in order.

    Args:
        factors: what the study varies.
        facts: structures whose volume in a unit is known.
        outcomes: the scores it holds.
        parts: whether a case is taken apart further than by side: into components, planes or tiles.
    """
    unit = [*UNIT, *(["part"] if parts else [])]
    volumes = ["volume_reference_ml", *(f"{fact}_ml" for fact in facts)]
    return [*CELL, "setting", *unit, *volumes, *factors.within, *outcomes, "arms", "reason"]


def faults_of_hypotheses(
    hypotheses: Hypotheses | Plain,
    factors: Factors,
    *,
    facts: Sequence[str],
    metrics: Sequence[str],
    parts: bool,
    key: str = "analyse.hypotheses",
) -> list[str]:
    """A sentence for each hypothesis that its table cannot answer, with its full key and the nearest valid word.

    Args:
        hypotheses: of which the structure is valid.
        factors: what the study varies; without faults.
        facts: structures whose volume in a unit is known.
        metrics: that the study declares, in order.
        parts: whether a unit is a component, plane or tile.
        key: of the section of the hypotheses.
    """
    declared = hypotheses if isinstance(hypotheses, Hypotheses) else Hypotheses.model_validate(hypotheses)
    columns = unit_columns(factors, facts, [*scored_of(metrics), *words_of(metrics)], parts)
    found = []
    for table, tested in declared:
        role, meaning = NEEDED.get(table, ("", ""))
        if not tested:
            continue
        if role and getattr(factors, role) is None:
            found.append(
                f"{key}.{table}: there is no such table without analyse.{role}: name {meaning}, or test nothing on it"
            )
            continue
        known = _columns_of(table, columns, factors)
        for place, hypothesis in enumerate(tested):
            where = f"{key}.{table}.{place}: {hypothesis.name}"
            found += [f"{where}: {fault}" for fault in _faults_of(hypothesis, table, known, factors)]
    return found


def _columns_of(table: str, columns: list[str], factors: Factors) -> list[str]:
    """Columns of one of the tables that hypotheses are tested on."""
    if table in ("replicates", "crossed"):
        return [*(name for name in columns if name != "arms"), "arm", str(factors.replicate)]
    if table == "gains":
        # What a gain is averaged over, and the scores it is made of, are gone.
        end = columns.index(factors.within[0])
        return [*columns[:end], "gain"]
    return [*columns, *(["grouping", "group"] if table == "subgroups" else [])]


def _faults_of(hypothesis: Hypothesis, table: str, known: list[str], factors: Factors) -> Iterator[str]:
    absent = [name for name in _named(hypothesis) if name not in known]
    if absent:
        yield f"the table of {table} has no column {absent[0]!r}{nearest(absent[0], known)}"
        return
    if (hypothesis.outcome in WORDS) != isinstance(hypothesis, LocalisationOf):
        yield (
            f"outcome: {hypothesis.outcome or 'a score'!r} does not fit the test: localisation counts words "
            f"({', '.join(WORDS)}), and all other tests take numbers"
        )
    order: dict[str, list[Any]] = factors.order()
    if factors.replicate:
        order[factors.replicate] = factors.levels[factors.replicate]
    for factor, levels in hypothesis.compared().items():
        valid = [str(level) for level in order.get(factor, levels)]
        strange = [level for level in levels if str(level) not in valid]
        if strange:
            yield f"no {factor} is called {strange[0]!r}{nearest(str(strange[0]), valid)}"


def _named(hypothesis: Hypothesis) -> list[str]:
    """Columns that a hypothesis names."""
    return [*hypothesis.columns(), *([hypothesis.outcome] if hypothesis.outcome else [])]
