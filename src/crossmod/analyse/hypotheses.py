"""What a plan can claim: one class per test, each with what it needs and the rows it gives."""

from collections.abc import Hashable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from crossmod.analyse.anova import rm_anova
from crossmod.analyse.cells import complete_cells
from crossmod.analyse.errors import IncompleteDesignError, some
from crossmod.analyse.localise import localisation
from crossmod.analyse.mixed import mixed_model
from crossmod.analyse.noninferiority import noninferiority
from crossmod.analyse.paired import pairwise
from crossmod.analyse.reliability import agreement
from crossmod.analyse.size import size_dependence
from crossmod.job import UserError

if TYPE_CHECKING:
    from crossmod.analyse.plan import AnalysisPlan

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Closed(BaseModel):
    """A part of the plan: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Hypothesis(Closed):
    """What every hypothesis says.

    Attributes:
        name: of the hypothesis and of its CSV.
        outcome: column tested; empty takes the plan's.
        each: columns; the hypothesis is tested once for every combination of their values.
        where: column → value or values; other rows play no part.
        family: hypotheses with the same word are corrected together; empty: each is a family of its own.
    """

    name: Name
    outcome: str = ""
    each: list[str] = Field(default_factory=list)
    where: dict[str, Any] = Field(default_factory=dict)
    family: str = ""

    def columns(self) -> list[str]:
        """Columns it needs beside the outcome."""
        return [*self.each, *self.where]


class Anova(Hypothesis):
    """Repeated-measures ANOVA; the family takes the Greenhouse–Geisser p."""

    test: Literal["rm_anova"]
    within: list[str] = Field(min_length=1, max_length=3)

    def columns(self) -> list[str]:
        return [*super().columns(), *self.within]

    def run(self, cell: pd.DataFrame, plan: "AnalysisPlan") -> pd.DataFrame:
        """Rows of :func:`crossmod.analyse.rm_anova`."""
        found = rm_anova(cell, self.outcome or plan.outcome, plan.subject, self.within)
        dropped = found.attrs["dropped_subjects"]
        return found.assign(n_subjects=found.attrs["n_subjects"], n_dropped=len(dropped), p_family=found["p_gg"])


class Pairwise(Hypothesis):
    """Paired comparisons of every two levels."""

    test: Literal["pairwise"]
    within: str
    at: str | None = None
    method: Literal["t", "wilcoxon"] = "t"

    def columns(self) -> list[str]:
        return [*super().columns(), self.within, *([self.at] if self.at else [])]

    def run(self, cell: pd.DataFrame, plan: "AnalysisPlan") -> pd.DataFrame:
        """Rows of :func:`crossmod.analyse.pairwise`; its own correction gives way to the family's."""
        arguments = (self.outcome or plan.outcome, plan.subject, self.within, self.at, self.method, plan.correction)
        found = pairwise(cell, *arguments)
        dropped = found.attrs["dropped_subjects"]
        found = found.drop(columns=["p_corrected", "verdict"])
        return found.assign(n_dropped=len(dropped), p_family=found["p"])


class NonInferiorityOf(Hypothesis):
    """Is level ``a`` no worse than level ``b`` by the margin? More is better, unless ``less_is_better``.

    The family takes twice the one-sided p, so that alpha 0.05 means one-sided 0.025 and the two-sided 95 % interval
    (ICH E9, 5.5), as :func:`crossmod.analyse.noninferiority` judges a single test.
    """

    test: Literal["noninferiority"]
    within: str
    a: str
    b: str
    margin: Positive
    less_is_better: bool = False

    def columns(self) -> list[str]:
        return [*super().columns(), self.within]

    def run(self, cell: pd.DataFrame, plan: "AnalysisPlan") -> pd.DataFrame:
        """One row of :func:`crossmod.analyse.noninferiority`; its own verdict gives way to the family's correction."""
        pairs, dropped, cluster = _pairs(cell, self, plan)
        difference = pairs[self.b] - pairs[self.a] if self.less_is_better else pairs[self.a] - pairs[self.b]
        found = vars(noninferiority(difference, self.margin, cluster))
        row = {"a": self.a, "b": self.b, **found, "n_dropped": len(dropped), "p_family": min(1.0, 2 * found["p"])}
        return pd.DataFrame([row]).drop(columns="verdict")


class AgreementOf(Hypothesis):
    """Do two columns measure the same? The family takes the test of |difference| against the margin."""

    test: Literal["agreement"]
    reference: str
    predicted: str
    margin: Positive | None = None

    def columns(self) -> list[str]:
        return [*super().columns(), self.reference, self.predicted]

    def run(self, cell: pd.DataFrame, plan: "AnalysisPlan") -> pd.DataFrame:
        """One row of :func:`crossmod.analyse.agreement`; its own verdict gives way to the family's correction."""
        whole_rows = cell.dropna(subset=[self.reference, self.predicted])
        cluster = whole_rows[plan.cluster] if plan.cluster else None
        found = vars(agreement(whole_rows[self.reference], whole_rows[self.predicted], cluster, self.margin))
        row = {**found, "n_dropped": len(cell) - len(whole_rows), "p_family": found["p_below_margin"]}
        return pd.DataFrame([row]).drop(columns="verdict")


class Mixed(Hypothesis):
    """Linear mixed model; every row used."""

    test: Literal["mixed_model"]
    fixed: list[str]
    unit: str | None = None

    def columns(self) -> list[str]:
        parts = [part for term in self.fixed for part in term.split(":")]
        return [*super().columns(), *parts, *([self.unit] if self.unit else [])]

    def run(self, cell: pd.DataFrame, plan: "AnalysisPlan") -> pd.DataFrame:
        """Rows of :func:`crossmod.analyse.mixed_model`; the intercept is no member of the family."""
        found = mixed_model(cell, self.outcome or plan.outcome, self.fixed, plan.cluster or plan.subject, self.unit)
        table = found.fixed.assign(n_rows=found.n_rows, n_patients=found.n_patients, n_dropped=len(found.left_out))
        return table.assign(p_family=table["p"].where(table["term"] != "intercept"))


class SizeDependenceOf(Hypothesis):
    """Does the outcome depend on a size? The family takes Spearman's p."""

    test: Literal["size_dependence"]
    volume: str

    def columns(self) -> list[str]:
        return [*super().columns(), self.volume]

    def run(self, cell: pd.DataFrame, plan: "AnalysisPlan") -> pd.DataFrame:
        """One row of :func:`crossmod.analyse.size_dependence`."""
        outcome = self.outcome or plan.outcome
        whole_rows = cell.dropna(subset=[self.volume, outcome])
        found = vars(size_dependence(whole_rows[self.volume], whole_rows[outcome]))
        return pd.DataFrame([{**found, "n_dropped": len(cell) - len(whole_rows), "p_family": found["spearman_p"]}])


class LocalisationOf(Hypothesis):
    """Is the lesion found? McNemar between every two arms."""

    test: Literal["localisation"]
    arm: str

    def columns(self) -> list[str]:
        return [*super().columns(), self.arm]

    def run(self, cell: pd.DataFrame, plan: "AnalysisPlan") -> pd.DataFrame:
        """Rows of the ``mcnemar`` table of :func:`crossmod.analyse.localisation`."""
        found = localisation(cell, self.outcome or plan.outcome, self.arm, plan.subject)
        table = found.mcnemar.drop(columns="p_corrected")
        return table.assign(cochran_p=found.cochran_p, n_dropped=len(found.dropped), p_family=table["p"])


AnyHypothesis = Annotated[
    Anova | Pairwise | NonInferiorityOf | AgreementOf | Mixed | SizeDependenceOf | LocalisationOf,
    Field(discriminator="test"),
]


def _pairs(
    cell: pd.DataFrame, hypothesis: NonInferiorityOf, plan: "AnalysisPlan"
) -> tuple[pd.DataFrame, list[Hashable], np.ndarray | None]:
    """Outcome of both levels for each complete subject, who is left out, and the cluster of each who is not."""
    factor, levels = hypothesis.within, [hypothesis.a, hypothesis.b]
    texts = cell[factor].astype(str)
    absent = [level for level in levels if level not in set(texts)]
    if absent:
        raise UserError(f"{factor!r} has no level {some(map(repr, absent))}; it has {some(texts.unique(), 12)}.")
    chosen = cell[texts.isin(levels)].assign(**{factor: pd.Categorical(texts[texts.isin(levels)], categories=levels)})
    found = complete_cells(chosen, hypothesis.outcome or plan.outcome, plan.subject, [factor])
    pairs = pd.DataFrame(found.values, columns=levels)
    if not plan.cluster:
        return pairs, list(found.dropped), None
    names = chosen[plan.subject].astype(object)
    names = names.iloc[:, 0] if len(plan.subject) == 1 else names.map(str).agg("/".join, axis=1)
    owners = chosen.groupby(names, sort=False)[plan.cluster].agg(["first", "nunique"])
    several = owners.index[owners["nunique"] > 1]
    if len(several):
        raise IncompleteDesignError(
            f"{some(several)} belong to more than one {plan.cluster!r}: add the columns to subject that tell them apart."
        )
    return pairs, list(found.dropped), owners["first"].reindex(found.subjects).to_numpy()
