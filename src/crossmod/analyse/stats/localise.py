"""Is the lesion found? Localisation rates with intervals, and paired comparisons of the arms."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from crossmod.analyse.stats.cells import Cells, complete_cells, ordered_levels
from crossmod.analyse.stats.errors import IncompleteDesignError, some
from crossmod.analyse.stats.multiplicity import correct_p
from crossmod.job import UserError

CORRECT = "correct"
OUTCOMES = (CORRECT, "incorrect", "not_detected")
SYNONYMS = {"detected": CORRECT, "misplaced": "incorrect", "missed": "not_detected"}
HITS = {0: "no hit", 1: CORRECT}
RATE_COLUMNS = ["arm", "outcome", "k", "n", "rate", "ci_low", "ci_high"]
MCNEMAR_COLUMNS = [
    "a",
    "b",
    "n",
    "rate_difference",
    "only_a",
    "only_b",
    "statistic",
    "p",
    "p_chi2",
    "p_corrected",
    "method",
    "note",
]
METHOD = "McNemar: p exact binomial, statistic and p_chi2 chi-squared without continuity correction"


@dataclass(frozen=True, eq=False)
class Localisation:
    """What :func:`localisation` finds.

    Attributes:
        rates: one row per arm and outcome (``arm`` is empty without arms): ``k`` cases of ``n``, ``rate`` = k / n with
            its Wilson score interval ``ci_low``, ``ci_high``. A table of 0/1 hits has the one outcome ``correct``.
        mcnemar: one row per two arms, ``a`` the earlier level: ``n`` pairs, ``rate_difference`` (correct, a - b),
            ``only_a`` and ``only_b`` (cases correct in one arm alone), ``statistic`` (chi-squared, 1 df), ``p`` (exact
            binomial), ``p_chi2``, ``p_corrected`` (Holm over the rows' exact p), ``method``, ``note``. Empty without
            arms.
        n_subjects: cases behind the tests, those with an outcome in every arm; without arms, those with an outcome.
        cochran_q, cochran_df, cochran_p: Cochran's Q over all arms; NaN where ``note`` says why.
        note: why there is no Q; empty where there is one.
        dropped: case → the arms it lacks. Such a case counts in the rates of the arms it has, and in no test. Without
            arms, the cases (or row numbers, from 0) without an outcome, each with an empty list.
    """

    rates: pd.DataFrame
    mcnemar: pd.DataFrame
    n_subjects: int
    cochran_q: float
    cochran_df: float
    cochran_p: float
    note: str
    dropped: dict[Hashable, list[str]]


def localisation(
    table: pd.DataFrame,
    outcome: str,
    arm: str | None = None,
    subject: str | Sequence[str] | None = None,
    level: float = 0.95,
) -> Localisation:
    """Rates of correct, incorrect and missed localisation, and whether the arms differ in correct ones.

    Rates carry Wilson's score interval (Wilson 1927, JASA 22:209), which stays inside [0, 1] and has a width at 0 of n
    and n of n. Arms are compared on the same cases: two by McNemar's test (1947, Psychometrika 12:153), exact by the
    binomial distribution of the discordant pairs; all by Cochran's Q (1950, Biometrika 37:256) with its chi-squared
    approximation. Where no case is correct in one arm alone there is nothing to test: p is NaN, the note says so, and
    the contrast does not count in Holm's family.

    Args:
        table: one row per case, or per case and arm. Cases are independent; two lesions of a patient are not.
        outcome: column with ``correct`` (or ``detected``), ``incorrect`` (``misplaced``) and ``not_detected``
            (``missed``); or with hits, 0/1 or booleans. An empty outcome is a missing one.
        arm: column of the arms to compare; ordered categories keep their order.
        subject: column, or columns that only together name a case. Needed with ``arm``.
        level: confidence, in (0, 1).

    Raises:
        IncompleteDesignError: two rows for one case (and arm), fewer than three complete cases, or no outcome at all.
        UserError: columns absent, ``arm`` without ``subject``, a single arm, unknown outcomes, or a level outside
            (0, 1).
    """
    keys = [] if subject is None else [subject] if isinstance(subject, str) else list(subject)
    _check(table, outcome, arm, keys, level)
    found = _outcomes(table, outcome)
    if arm is None:
        _refuse_duplicates(table, keys)
        rates = _rates(found, pd.Series("", index=table.index), level)
        empty = pd.DataFrame(columns=MCNEMAR_COLUMNS)
        return Localisation(
            rates,
            empty,
            n_subjects=int(found.notna().sum()),
            cochran_q=np.nan,
            cochran_df=np.nan,
            cochran_p=np.nan,
            note="no arms to compare",
            dropped={name: [] for name in _missing_names(table, found, keys)},
        )
    hits = table.copy(deep=False)
    hits[outcome] = (found == CORRECT).astype(float).where(found.notna())
    cells = complete_cells(hits, outcome, keys, [arm])
    rates = _rates(found, table[arm], level)
    return Localisation(
        rates, _mcnemar(cells), n_subjects=len(cells.subjects), dropped=cells.dropped, **_cochran(cells)
    )


def _check(table: pd.DataFrame, outcome: str, arm: str | None, keys: list[str], level: float) -> None:
    absent = [name for name in (outcome, *([] if arm is None else [arm]), *keys) if name not in table.columns]
    if absent:
        raise UserError(f"No column {some(map(repr, absent))} in the table; it has {some(table.columns, 20)}.")
    if arm is not None and not keys:
        raise UserError(f"Arms {arm!r} are compared on the same cases: name the column of the cases as subject=.")
    if not 0 < level < 1:
        raise UserError(f"The confidence level lies between 0 and 1, not at {level}.")
    if table[outcome].isna().all():
        raise IncompleteDesignError(f"None of the {len(table)} rows has a {outcome!r}: there is nothing to count.")


def _outcomes(table: pd.DataFrame, outcome: str) -> pd.Series:
    """The outcomes by their first names, as categories (three outcomes, or hit and no hit); NaN where empty."""
    raw = table[outcome].astype(object)
    names = {**{name: name for name in OUTCOMES}, **SYNONYMS}
    given = raw.dropna().unique().tolist()
    if all(value in HITS for value in given):
        return pd.Series(pd.Categorical(raw.map(HITS.get), categories=list(HITS.values())), index=table.index)
    unknown = [value for value in given if value not in names]
    if unknown:
        raise UserError(
            f"Outcome {outcome!r} has unknown values {some(map(repr, unknown))}; use {', '.join(names)}, or 0 and 1 "
            "for hits throughout."
        )
    return pd.Series(pd.Categorical(raw.map(names.get), categories=OUTCOMES), index=table.index)


def _refuse_duplicates(table: pd.DataFrame, keys: list[str]) -> None:
    if not keys:
        return
    twice = table.loc[table.duplicated(keys, keep=False), keys].drop_duplicates()
    if len(twice):
        listed = ("/".join(map(str, row)) for row in twice.itertuples(index=False, name=None))
        raise IncompleteDesignError(
            f"{len(twice)} cases have more than one row: {some(listed)}. One row per case is needed; name the arms as "
            "arm=, or the case by more columns (e.g. site and case)."
        )


def _missing_names(table: pd.DataFrame, found: pd.Series, keys: list[str]) -> list:
    gaps = found.isna().to_numpy()
    if not keys:
        return np.flatnonzero(gaps).tolist()
    rows = table.loc[gaps, keys].astype(object)
    return rows[keys[0]].tolist() if len(keys) == 1 else rows.map(str).agg("/".join, axis=1).tolist()


def _rates(found: pd.Series, arms: pd.Series, level: float) -> pd.DataFrame:
    from statsmodels.stats.proportion import proportion_confint  # half a second to import

    counted = [name for name in found.cat.categories if name != HITS[0]]
    rows = []
    for name in ordered_levels(arms):
        outcomes = found[(arms == name).to_numpy()].dropna()
        n = len(outcomes)
        for outcome in counted:
            k = int((outcomes == outcome).sum())
            low, high = proportion_confint(k, n, 1 - level, method="wilson")
            # At 0 and n of n the limits are 0 and 1 up to rounding.
            limits = {"ci_low": 0.0 if k == 0 else float(low), "ci_high": 1.0 if k == n else float(high)}
            rows.append({"arm": name, "outcome": outcome, "k": k, "n": n, "rate": k / n, **limits})
    return pd.DataFrame(rows, columns=RATE_COLUMNS)


def _mcnemar(cells: Cells) -> pd.DataFrame:
    (levels,) = cells.levels.values()
    rows = []
    for (i, a), (j, b) in combinations(enumerate(levels), 2):
        x, y = cells.values[:, i], cells.values[:, j]
        only_a, only_b = int(np.sum(x > y)), int(np.sum(x < y))
        row = {"a": a, "b": b, "n": len(x), "rate_difference": (only_a - only_b) / len(x)}
        row |= {"only_a": only_a, "only_b": only_b, "method": METHOD, "note": ""}
        if only_a + only_b:
            statistic = (only_a - only_b) ** 2 / (only_a + only_b)
            row |= {"statistic": statistic, "p_chi2": float(stats.chi2.sf(statistic, 1))}
            row["p"] = float(stats.binomtest(only_a, only_a + only_b).pvalue)
        else:
            row["note"] = f"no discordant pair: each of the {len(x)} cases is correct in both {a} and {b} or in neither"
        rows.append(row)
    result = pd.DataFrame(rows).reindex(columns=MCNEMAR_COLUMNS)
    result["p_corrected"] = correct_p(result["p"].astype(float), "holm")
    return result


def _cochran(cells: Cells) -> dict:
    """Cochran's Q; keys as in :class:`Localisation`."""
    from statsmodels.stats.contingency_tables import cochrans_q  # half a second to import

    (levels,) = cells.levels.values()
    if np.all(cells.values == cells.values[:, :1]):
        note = f"no discordance: each case is correct in all of {some(levels)} or in none"
        return {"cochran_q": np.nan, "cochran_df": np.nan, "cochran_p": np.nan, "note": note}
    found = cochrans_q(cells.values.astype(int))
    q, df, p = float(found.statistic), float(found.df), float(found.pvalue)
    return {"cochran_q": q, "cochran_df": df, "cochran_p": p, "note": ""}
