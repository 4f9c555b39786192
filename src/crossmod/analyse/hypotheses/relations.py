"""Hypotheses about how columns depend on each other: agreement, size, localisation, the amount of annotation."""

from typing import Any, Literal

import numpy as np
import pandas as pd

from crossmod.analyse.asked import Asked
from crossmod.analyse.hypotheses.base import Hypothesis, Positive, choose
from crossmod.analyse.owners import independent_of
from crossmod.analyse.stats.cells import refuse_duplicates, subject_names
from crossmod.analyse.stats.errors import IncompleteDesignError
from crossmod.analyse.stats.localise import localisation
from crossmod.analyse.stats.reliability import agreement
from crossmod.analyse.stats.savings import annotation_savings
from crossmod.analyse.stats.size import rank_paired, size_dependence


class AgreementOf(Hypothesis):
    """Do two columns measure the same?

    ``claim`` says which p the family takes: ``below_margin`` (mean of |difference|) or ``equivalence`` (mean
    difference).

    Attributes:
        reference: column measured by the reference method.
        predicted: column measured by the method that is judged.
        margin: the largest difference that does not matter, in the columns' unit; null: the limits of agreement alone.
        claim: below_margin tests the mean absolute difference; equivalence tests the mean difference from both sides.
    """

    test: Literal["agreement"]
    reference: str
    predicted: str
    margin: Positive | None = None
    claim: Literal["below_margin", "equivalence"] = "below_margin"

    def columns(self) -> list[str]:
        return [*super().columns(), self.reference, self.predicted]

    def measured(self, outcome: str) -> list[str]:
        return [self.reference, self.predicted]

    def run(self, cell: pd.DataFrame, asked: Asked) -> pd.DataFrame:
        """One row of :func:`crossmod.analyse.stats.agreement`; its own verdict gives way to the family's correction."""
        whole_rows = cell.dropna(subset=[self.reference, self.predicted])
        independent = independent_of(whole_rows, asked)
        found = vars(agreement(whole_rows[self.reference], whole_rows[self.predicted], independent, self.margin))
        p = found["p_below_margin" if self.claim == "below_margin" else "p_tost"]
        row = {**found, "n_dropped": len(cell) - len(whole_rows), "p_family": p}
        return pd.DataFrame([row]).drop(columns="verdict")

    def judge(self, rows: pd.DataFrame, alpha: float) -> pd.DataFrame:
        shown = "below margin" if self.claim == "below_margin" else "equivalent"
        words = np.where(rows["p_corrected"] < alpha, shown, "not shown")
        return rows.assign(verdict=np.where(rows["p_corrected"].isna(), "", words))


class OfSize(Hypothesis):
    """What is asked of an outcome beside a size.

    Attributes:
        volume: column of the size.
    """

    volume: str

    def columns(self) -> list[str]:
        return [*super().columns(), self.volume]

    def measured(self, outcome: str) -> list[str]:
        return [*super().measured(outcome), self.volume]

    def means(self, cell: pd.DataFrame, asked: Asked) -> tuple[pd.Series, pd.Series, int]:
        """Volume and outcome of each independent patient, and how many rows lack one of them."""
        columns = [self.volume, self.outcome or asked.outcome]
        whole_rows = cell.dropna(subset=columns)
        by = independent_of(whole_rows, asked)
        means = whole_rows.groupby(by, sort=False, observed=True)[columns].mean()
        return means.iloc[:, 0], means.iloc[:, 1], len(cell) - len(whole_rows)


class SizeDependenceOf(OfSize):
    """Does the outcome depend on a size? The family takes Spearman's p; the means of patients (subjects) are compared.

    Attributes:
        volume: column of the size.
    """

    test: Literal["size_dependence"]

    def run(self, cell: pd.DataFrame, asked: Asked) -> pd.DataFrame:
        """One row of :func:`crossmod.analyse.stats.size_dependence`."""
        volumes, scores, dropped = self.means(cell, asked)
        found = vars(size_dependence(volumes, scores))
        return pd.DataFrame([{**found, "n_dropped": dropped, "p_family": found["spearman_p"]}])


class SizeHalvesOf(OfSize):
    """Do small and large lesions score alike? The halves at the median volume by Welch's test, which the family takes.

    Mann–Whitney's and Spearman's p stand beside it; the means of patients (subjects) are compared.

    Attributes:
        volume: column of the size.
        rank_paired: whether to print the paired t-test of the two halves in the order of their volumes, too: an oddity
            of a source study, for different patients have no pairs.
    """

    test: Literal["size_halves"]
    rank_paired: bool = False

    def run(self, cell: pd.DataFrame, asked: Asked) -> pd.DataFrame:
        """One row of :func:`crossmod.analyse.stats.size_dependence`, perhaps with ``rank_paired_t`` and its p."""
        volumes, scores, dropped = self.means(cell, asked)
        found = vars(size_dependence(volumes, scores))
        if self.rank_paired:
            t, p, pairs = rank_paired(volumes, scores)
            found = {**found, "rank_paired_t": t, "rank_paired_p": p, "rank_paired_n": pairs}
        return pd.DataFrame([{**found, "n_dropped": dropped, "p_family": found["welch_p"]}])

    def judge(self, rows: pd.DataFrame, alpha: float) -> pd.DataFrame:
        difference = rows.get("difference", pd.Series(np.nan, rows.index))
        words = np.where(difference > 0, "large better", "small better")
        words = np.where(rows["p_corrected"] < alpha, words, "not shown")
        return rows.assign(verdict=np.where(rows["p_corrected"].isna(), "", words))


class LocalisationOf(Hypothesis):
    """Is the lesion found? McNemar between every two arms.

    Attributes:
        arm: column of the arms that are compared.
    """

    test: Literal["localisation"]
    arm: str

    def columns(self) -> list[str]:
        return [*super().columns(), self.arm]

    def measured(self, outcome: str) -> list[str]:
        return []  # The outcome is a word.

    def run(self, cell: pd.DataFrame, asked: Asked) -> pd.DataFrame:
        """Rows of the ``mcnemar`` table of :func:`crossmod.analyse.stats.localisation`."""
        if asked.cluster:
            counts = cell.groupby([asked.cluster, self.arm], observed=True).size()
            several = counts[counts > 1].index.get_level_values(0).unique()
            if len(several):
                raise IncompleteDesignError(
                    f"{len(several)} of {asked.cluster!r} have several rows in an arm: McNemar's and Cochran's tests "
                    "take units as independent. "
                    f"Give one row per {asked.cluster!r} and arm (e.g. whether all lesions were found)."
                )
        found = localisation(cell, self.outcome or asked.outcome, self.arm, asked.subject)
        table = found.mcnemar.drop(columns="p_corrected")
        return table.assign(cochran_p=found.cochran_p, n_dropped=len(found.dropped), p_family=table["p"])


class SavingsOf(Hypothesis):
    """How many annotations does assisting save? An estimate with its interval, no p-value.

    Attributes:
        within: column of the factor that has the levels ``assisted`` and ``unassisted``.
        assisted: the level that has help.
        unassisted: the level without help, whose curve says how much annotation reaches the same score.
        amount: column of the number of annotations.
    """

    test: Literal["annotation_savings"]
    within: str
    assisted: str
    unassisted: str
    amount: str

    def columns(self) -> list[str]:
        return [*super().columns(), self.within, self.amount]

    def compared(self) -> dict[str, list[Any]]:
        return {self.within: [self.assisted, self.unassisted]}

    def run(self, cell: pd.DataFrame, asked: Asked) -> pd.DataFrame:
        """Rows of :func:`crossmod.analyse.stats.annotation_savings`, one per assisted amount."""
        outcome, keys = self.outcome or asked.outcome, list(asked.subject)
        chosen = choose(cell, self.within, [self.assisted, self.unassisted])
        factors = [self.within, self.amount]
        refuse_duplicates(chosen, subject_names(chosen, keys, factors), factors)
        assisted, unassisted = (
            chosen[chosen[self.within] == level].pivot(index=keys, columns=self.amount, values=outcome)
            for level in (self.assisted, self.unassisted)
        )
        cluster = None
        if asked.cluster:
            cluster = chosen.groupby(keys, observed=True)[asked.cluster].first().reindex(assisted.index)
        found = annotation_savings(assisted, unassisted, cluster=cluster)
        counts = {"n": found.attrs["n_subjects"], "n_dropped": len(found.attrs["dropped_subjects"])}
        return found.assign(slope=found.attrs["slope"], **counts, p_family=np.nan)
