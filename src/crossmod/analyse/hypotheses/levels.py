"""Hypotheses that compare the levels of factors: analysis of variance, pairs, a margin, a mixed model."""

from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import AfterValidator, Field, model_validator

from crossmod.analyse.asked import Asked
from crossmod.analyse.hypotheses.base import Hypothesis, Positive, choose, with_p
from crossmod.analyse.names import levels_of
from crossmod.analyse.owners import codes_of, counts_of, means_of_patients, owners_of
from crossmod.analyse.stats import anova, paired
from crossmod.analyse.stats.cells import complete_cells, ordered_levels
from crossmod.analyse.stats.errors import DegenerateDataError
from crossmod.analyse.stats.mixed import MixedModel, mixed_model
from crossmod.analyse.stats.noninferiority import noninferiority
from crossmod.analyse.stats.normality import normality_of_effects
from crossmod.analyse.stats.ranks import rank_effects


class Anova(Hypothesis):
    """Repeated-measures ANOVA with rank tests and normality beside it; the family takes the Greenhouse–Geisser p.

    With clusters the subjects are patients: the units of each (its two kidneys) are averaged first.

    Attributes:
        within: columns of one to three factors that vary within a subject.
    """

    test: Literal["rm_anova"]
    within: list[str] = Field(min_length=1, max_length=3)

    def columns(self) -> list[str]:
        return [*super().columns(), *self.within]

    def run(self, cell: pd.DataFrame, asked: Asked) -> pd.DataFrame:
        """Rows of :func:`crossmod.analyse.stats.rm_anova`, then of :func:`rank_effects` and
        :func:`normality_of_effects`.
        """
        units = complete_cells(cell, self.outcome or asked.outcome, asked.subject, self.within)
        owners = owners_of(cell, asked, units)
        tested = means_of_patients(units, owners)
        found = anova.anova_of(tested)
        beside = [part(tested).drop(columns="effect") for part in (rank_effects, normality_of_effects)]
        counts = {"n_subjects": len(tested.subjects), **counts_of(units, owners)}
        return pd.concat([found, *beside], axis=1).assign(**counts, p_family=found["p_gg"])


class Pairwise(Hypothesis):
    """Paired comparisons of levels; with clusters t has the CR2 standard error and ranks are summed by patient.

    ``compare`` names two or more levels, the first minus the next ones; empty compares all in the order of the plan.

    Attributes:
        within: column of the factor whose levels are compared.
        compare: levels of it, the first minus each of the others; empty: every pair.
        at: column of a second factor, at each level of which the comparison is made; null: none.
        method: t is a paired t-test; wilcoxon is the signed-rank test.
    """

    test: Literal["pairwise"]
    within: str
    compare: Annotated[list[Any], AfterValidator(levels_of)] = Field(default_factory=list)
    at: str | None = None
    method: Literal["t", "wilcoxon"] = "t"

    def columns(self) -> list[str]:
        return [*super().columns(), self.within, *([self.at] if self.at else [])]

    def compared(self) -> dict[str, list[Any]]:
        return {self.within: self.compare}

    def run(self, cell: pd.DataFrame, asked: Asked) -> pd.DataFrame:
        """Rows of :func:`crossmod.analyse.stats.pairwise` with ``skewness`` and ``normality_p`` of the differences; its
        own correction gives way to the family's.
        """
        chosen = choose(cell, self.within, self.compare)
        factors = [*([self.at] if self.at else []), self.within]
        units = complete_cells(chosen, self.outcome or asked.outcome, asked.subject, factors)
        owners = owners_of(chosen, asked, units)
        rows = pd.DataFrame(
            paired.contrasts(units, self.method, asked.confidence, note_degenerate=True, codes=codes_of(owners))
        )
        return with_p(rows, "p").assign(**counts_of(units, owners))

    def judge(self, rows: pd.DataFrame, alpha: float) -> pd.DataFrame:
        return rows.assign(verdict=paired.verdicts(rows, alpha)).drop(columns="direction", errors="ignore")


class NonInferiorityOf(Hypothesis):
    """Is level ``a`` no worse than level ``b`` by the margin? More is better, unless ``less_is_better``.

    The family takes twice the one-sided p, so that alpha 0.05 means one-sided 0.025 and the two-sided 95 % interval
    (ICH E9, 5.5), as :func:`crossmod.analyse.stats.noninferiority` judges a single test.

    Attributes:
        within: column of the factor that has the levels ``a`` and ``b``.
        a: the level that may be worse by less than the margin.
        b: the level that it is compared with.
        margin: the largest loss of the outcome that does not matter, in the outcome's unit.
        at: column of a second factor, at each level of which the claim is tested; null: none.
        less_is_better: whether a smaller outcome is the better one, as for a distance.
    """

    test: Literal["noninferiority"]
    within: str
    a: str
    b: str
    margin: Positive
    at: str | None = None
    less_is_better: bool = False

    def columns(self) -> list[str]:
        return [*super().columns(), self.within, *([self.at] if self.at else [])]

    def compared(self) -> dict[str, list[Any]]:
        return {self.within: [self.a, self.b]}

    def run(self, cell: pd.DataFrame, asked: Asked) -> pd.DataFrame:
        """One row of :func:`crossmod.analyse.stats.noninferiority`, or one per level of ``at``."""
        chosen = choose(cell, self.within, [self.a, self.b])
        factors = [*([self.at] if self.at else []), self.within]
        units = complete_cells(chosen, self.outcome or asked.outcome, asked.subject, factors)
        owners = owners_of(chosen, asked, units)
        values = units.values if self.at else units.values[:, None]
        rows = []
        for place, level in enumerate(units.levels[self.at] if self.at else [None]):
            gain = (values[:, place, 0] - values[:, place, 1]) * (-1 if self.less_is_better else 1)
            row = {
                "a": self.a,
                "b": self.b,
                "at": level,
                "margin": self.margin,
                "n": len(gain),
                "estimate": gain.mean(),
            }
            try:
                rows.append(row | vars(noninferiority(gain, self.margin, codes_of(owners))) | {"note": ""})
            except DegenerateDataError as error:
                rows.append(row | {"note": str(error)})
        found = pd.DataFrame(rows).drop(columns="verdict", errors="ignore")
        doubled = found["p"].mul(2).clip(upper=1.0) if "p" in found else np.nan
        return found.assign(**counts_of(units, owners), p_family=doubled)

    def judge(self, rows: pd.DataFrame, alpha: float) -> pd.DataFrame:
        words = np.where(rows["p_corrected"] < alpha, "non-inferior", "not shown")
        return rows.assign(verdict=np.where(rows["p_corrected"].isna(), "", words))


class Mixed(Hypothesis):
    """Linear mixed model; every row used. Either ``fixed`` effects, or the difference of two levels at each of ``at``.

    Attributes:
        fixed: columns of fixed effects; two joined by a colon are an interaction.
            Give this, or the four keys that follow.
        within: column of the factor that has the levels ``a`` and ``b``.
        a: the level of interest; the difference is a - b.
        b: the level that it is compared with.
        at: column of a second factor, at each level of which the difference is estimated.
        unit: column that tells a patient's units apart, e.g. side, which adds a variance of units; null: none.
    """

    test: Literal["mixed_model"]
    fixed: list[str] = Field(default_factory=list)
    within: str | None = None
    a: str | None = None
    b: str | None = None
    at: str | None = None
    unit: str | None = None

    @model_validator(mode="after")
    def _one_of_two_ways(self) -> "Mixed":
        simple = [self.within, self.a, self.b, self.at]
        if bool(self.fixed) == any(simple) or (any(simple) and not all(simple)):
            raise ValueError("give either fixed, or all of within, a, b and at")
        return self

    def columns(self) -> list[str]:
        parts = [part for term in self.fixed for part in term.split(":")]
        named = [name for name in (self.within, self.at, self.unit) if name]
        return [*super().columns(), *parts, *named]

    def compared(self) -> dict[str, list[Any]]:
        return {self.within: [self.a, self.b]} if self.within else {}

    def _contrast(self) -> tuple[str, str, str, str] | None:
        """``within``, ``a``, ``b`` and ``at`` where the difference of two levels is asked for."""
        if self.within and self.a and self.b and self.at:
            return self.within, self.a, self.b, self.at
        return None

    def run(self, cell: pd.DataFrame, asked: Asked) -> pd.DataFrame:
        """Rows of :func:`crossmod.analyse.stats.mixed_model`, or one per level of ``at``: a - b there."""
        contrast = self._contrast()
        if contrast is None:
            fit = self._fit(cell, asked, self.fixed)
            # The intercept is no member of the family.
            return self._described(fit, fit.fixed, cell).assign(
                p_family=fit.fixed["p"].where(fit.fixed["term"] != "intercept")
            )
        within, a, b, at = contrast
        chosen = choose(cell, within, [b, a])
        levels = ordered_levels(chosen[at])
        parts = []
        for level in levels:
            order = [level, *(other for other in levels if other != level)]
            at_level = chosen.assign(**{at: pd.Categorical(chosen[at].astype(object), categories=order)})
            fit = self._fit(at_level, asked, [at, within, f"{within}:{at}"])
            effect = fit.fixed[fit.fixed["term"] == f"{within}={a}"].drop(columns="term")
            effect = effect.rename(columns={"estimate": "mean_difference"})
            for place, (name, value) in enumerate({"a": a, "b": b, "at": level}.items()):
                effect.insert(place, name, value)
            parts.append(self._described(fit, effect, cell))
        return with_p(pd.concat(parts, ignore_index=True), "p")

    def judge(self, rows: pd.DataFrame, alpha: float) -> pd.DataFrame:
        if self.fixed:
            return rows
        return rows.assign(verdict=paired.verdicts(rows.assign(direction=rows.get("mean_difference", np.nan)), alpha))

    def _fit(self, cell: pd.DataFrame, asked: Asked, fixed: list[str]) -> MixedModel:
        patient = asked.cluster or asked.subject
        keys = [patient] if isinstance(patient, str) else patient
        several = self.unit and cell.groupby(keys, observed=True)[self.unit].nunique().gt(1).any()
        # Where every patient has one unit, its variance is the patient's.
        return mixed_model(cell, self.outcome or asked.outcome, fixed, patient, self.unit if several else None)

    @staticmethod
    def _described(fit: MixedModel, rows: pd.DataFrame, cell: pd.DataFrame) -> pd.DataFrame:
        variances = {f"variance_{name}": value for name, value in fit.variances.items()}
        counts = {"n_rows": fit.n_rows, "n_patients": fit.n_patients, "n_dropped": len(fit.left_out)}
        return rows.assign(**variances, converged=fit.converged, **counts)
