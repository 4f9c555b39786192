"""The hypotheses of a study, declared in its config, by the table each is tested on."""

from pydantic import Field, model_validator

from crossmod.analyse.hypotheses import AnyHypothesis
from crossmod.analyse.names import doubled_files
from crossmod.analyse.plan import AnalysisPlan
from crossmod.analyse.scores import Plan
from crossmod.analyse.stats.errors import some
from crossmod.analyse.strategies import STRATEGIES, UNIT_COLUMNS
from crossmod.schema import Closed, nearest

# Tables that the analyse step writes itself.
TAKEN = ("scores", "dsc", "units", "incomplete", "volumes", "reference_error")
OUTCOMES = {"gains": "gain"}
# Columns that a table has beside those of the units.
FURTHER = {
    **{"replicates": ["arm", "subset"], "crossed": ["arm", "subset"], "gains": ["gain"]},
    "subgroups": ["grouping", "group"],
}


class Hypotheses(Closed):
    """Hypotheses by table. Every table names a unit by ``subject`` and its patient by ``person``.

    Attributes:
        units: pure and mixed training of the same units, subsets and seeds averaged
            (:func:`crossmod.analyse.strategies.units_of`).
        replicates: the same with the subsets apart (:func:`crossmod.analyse.strategies.replicates_of`).
        crossed: replicates at the sites whose units every subset's models score, where subset is a factor within units.
        gains: mixed - pure of each unit, with its volumes (:func:`crossmod.analyse.strategies.gains_of`).
        subgroups: units by size and side (:func:`crossmod.analyse.strategies.subgroups_of`).
        curves: scores against the amount of annotation (:func:`crossmod.analyse.strategies.curves_of`).
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

    @model_validator(mode="after")
    def _fit_their_tables(self) -> "Hypotheses":
        for table, declared in self:
            known = [*UNIT_COLUMNS, *FURTHER.get(table, [])]
            for hypothesis in declared:
                named = [*hypothesis.columns(), *([hypothesis.outcome] if hypothesis.outcome else [])]
                absent = [name for name in named if name not in known]
                if absent:
                    raise ValueError(
                        f"{hypothesis.name}: the table of {table} has no column {absent[0]!r}{nearest(absent[0], known)}"
                    )
                strange = [level for level in hypothesis.compared().get("strategy", []) if level not in STRATEGIES]
                if strange:
                    raise ValueError(
                        f"{hypothesis.name}: no strategy is called {strange[0]!r}; there are pure and mixed"
                    )
        return self

    def plans(self, plan: Plan) -> dict[str, AnalysisPlan]:
        """A plan for each table that any hypothesis is tested on."""
        arms = plan.arm_table()
        levels = {"strategy": ["pure", "mixed"], "amount": sorted(set(arms["amount"]))}
        return {
            table: AnalysisPlan(
                title=f"hypotheses on the table of {table}",
                outcome=OUTCOMES.get(table, "dsc"),
                subject=["subject"],
                cluster="person",
                levels=levels,
                alpha=plan.alpha,
                confidence=plan.confidence,
                correction=plan.correction,
                hypotheses=declared,
            )
            for table, declared in self
            if declared
        }
