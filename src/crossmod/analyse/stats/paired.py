"""Paired comparisons of the levels of one factor."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from crossmod.analyse.stats.cells import FEWEST_SUBJECTS, Cells, complete_cells
from crossmod.analyse.stats.clustered import mean_of
from crossmod.analyse.stats.errors import DegenerateDataError, IncompleteDesignError, no_variance, some
from crossmod.analyse.stats.multiplicity import correct_p
from crossmod.analyse.stats.normality import normality, skewness
from crossmod.analyse.stats.ranks import clustered_signed_rank, signed_rank
from crossmod.job import UserError

COLUMNS = [
    "a",
    "b",
    "at",
    "n",
    "mean_difference",
    "ci_low",
    "ci_high",
    "statistic",
    "df",
    "p",
    "p_corrected",
    "cohen_dz",
    "method",
    "verdict",
]
LEVEL = 0.95
ALPHA = 0.05
TESTS = ("t", "wilcoxon")


def pairwise(
    table: pd.DataFrame,
    outcome: str,
    subject: str | Sequence[str],
    within: str,
    at: str | None = None,
    test: str = "t",
    correction: str = "holm",
) -> pd.DataFrame:
    """Compare every two levels of a factor within subjects; with ``at``, separately at each level of another.

    Only subjects with every cell take part (the same subjects in each contrast, and in the ANOVA of the same table).

    Args:
        table: one row per subject and cell.
        outcome: numeric column.
        subject: column, or columns that only together name a subject.
        within: the factor compared. Differences are ``a - b``; ``a`` is the earlier level.
        at: factor at whose levels the simple effects are taken.
        test: ``t`` (paired, two-sided) or ``wilcoxon`` (signed rank, two-sided).
        correction: for all contrasts returned as one family, see :func:`crossmod.analyse.stats.correct_p`.

    Returns:
        One row per contrast: ``a``, ``b``, ``at`` (level, empty without ``at``), ``n`` subjects, ``mean_difference``
        with its 95 % t interval ``ci_low``, ``ci_high``, ``statistic`` (t; or V, the sum of the positive signed ranks,
        as R), ``df`` (empty for ranks), ``p``, ``p_corrected``, ``cohen_dz`` (mean / sd of the differences, Cohen 1988;
        pingouin reports d_av), ``method`` (the test actually made) and ``verdict``: ``greater`` or ``lower`` where
        p_corrected < 0.05, else ``equal``. **"equal" means no significant difference, not equivalence.**
        ``.attrs["n_subjects"]`` and ``.attrs["dropped_subjects"]`` as in :func:`crossmod.analyse.stats.rm_anova`.

        Signed ranks are taken on differences rounded to nine decimals of the outcome's magnitude, so that float noise
        cannot break ties. As R does, the exact distribution serves fewer than 50 differences without ties and zeros;
        otherwise zeros are dropped and the normal approximation is corrected for ties and continuity.

    Raises:
        IncompleteDesignError: duplicate keys or fewer than three complete subjects.
        DegenerateDataError: a contrast without variance.
        UserError: columns absent or of the wrong kind, unknown test or correction.
    """
    if not isinstance(within, str):
        if len(within) != 1:
            raise UserError(
                f"pairwise compares the levels of one factor, not of {list(within)}; give the other as at=."
            )
        within = within[0]
    factors = [within] if at is None else [at, within]
    cells = complete_cells(table, outcome, subject, factors)
    rows = contrasts(cells, test)
    result = judge(pd.DataFrame(rows), correction, ALPHA)[COLUMNS]
    result.attrs = {"n_subjects": len(cells.subjects), "dropped_subjects": list(cells.dropped)}
    return result


def contrasts(
    cells: Cells,
    test: str = "t",
    level: float = LEVEL,
    note_degenerate: bool = False,
    codes: np.ndarray | None = None,
) -> list[dict]:
    """Uncorrected rows of :func:`pairwise`; the last factor is compared at each level of the one before.

    Each row also has ``direction``, whose sign is that of the tested difference, and ``skewness`` and ``normality_p``
    (Shapiro–Wilk) of its differences: t takes them for normal, ranks for symmetric.

    Args:
        cells: complete units.
        test: ``t`` or ``wilcoxon``.
        level: of the intervals.
        note_degenerate: whether a contrast without variance becomes a row without p and with a ``note``.
        codes: shape (subjects,), the cluster (patient) of each unit; None or clusters of one: independent units.
    """
    if test not in TESTS:
        raise UserError(f"Test {test!r} is unknown; use one of {', '.join(TESTS)}.")
    *outer, levels = cells.levels.values()
    values = cells.values if outer else cells.values[:, None]
    rows = []
    for j, at in enumerate(outer[0] if outer else [None]):
        for (k, a), (m, b) in combinations(enumerate(levels), 2):
            where = f"{a} and {b}" + ("" if at is None else f" at {at}")
            x, y = values[:, j, k], values[:, j, m]
            row = {"a": a, "b": b, "at": at, "n": len(x), "mean_difference": np.mean(x - y), "note": ""}
            try:
                rows.append(row | compare(x, y, test, level, f"{where}, subjects {some(cells.subjects)}", codes))
            except DegenerateDataError as error:
                if not note_degenerate:
                    raise
                rows.append(row | {"note": str(error)})
    return rows


def compare(x: np.ndarray, y: np.ndarray, test: str, level: float, where: str, codes: np.ndarray | None = None) -> dict:
    """Interval, statistic and p of ``x - y`` (both of shape (n,)); ``where`` names arms and subjects in errors."""
    difference, magnitude = x - y, max(np.abs(x).max(), np.abs(y).max())
    codes = np.arange(len(x)) if codes is None else codes
    clusters = int(codes.max()) + 1
    if clusters < FEWEST_SUBJECTS:
        raise IncompleteDesignError(f"{len(x)} units of {clusters} clusters between {where}; at least 3 are needed.")
    sd = difference.std(ddof=1)
    constant = no_variance(sd, np.concatenate([x, y]))
    mean = mean_of(difference, codes)
    if test == "t" and (constant or no_variance(mean.se, np.array([magnitude]))):
        what = "differences" if constant else "clusters' mean differences"
        raise DegenerateDataError(
            f"No variance to test between {where}: all {len(x) if constant else clusters} {what} are "
            f"{difference.mean():.6g}. Report the difference; it has no t and no p."
        )
    low, high = mean.interval(level)
    common = {
        "ci_low": low,
        "ci_high": high,
        "cohen_dz": np.nan if constant else difference.mean() / sd,
        "skewness": skewness(difference, magnitude),
        "normality_p": normality(difference, magnitude)[2],
    }
    if test == "t":
        statistic = mean.estimate / mean.se
        p, how = 2 * stats.t.sf(abs(statistic), mean.df), "paired t" + (", CR2" if clusters < len(x) else "")
        return common | {"statistic": statistic, "df": mean.df, "p": p, "method": how, "direction": statistic}
    if clusters < len(x):
        statistic, p, how = clustered_signed_rank(difference, codes, magnitude, where)
        return common | {"statistic": statistic, "df": np.nan, "p": p, "method": how, "direction": statistic}
    return common | signed_rank(difference, magnitude, where)


def judge(rows: pd.DataFrame, correction: str, alpha: float) -> pd.DataFrame:
    """Add ``p_corrected`` and ``verdict`` to the rows of one family; no verdict where no test was made."""
    rows = rows.reindex(columns=[*rows.columns, *(c for c in COLUMNS if c not in rows)])
    rows["p_corrected"] = correct_p(rows["p"], correction)
    rows["verdict"] = verdicts(rows, alpha)
    return rows


def verdicts(rows: pd.DataFrame, alpha: float) -> np.ndarray:
    """``greater``, ``lower`` or ``equal`` (no significant difference) by ``p_corrected``; empty without a test.

    The direction is that of the test: of the mean for t, of the signed ranks for Wilcoxon.
    """
    direction = np.where(rows.get("direction", pd.Series(0.0, rows.index)) > 0, "greater", "lower")
    verdict = np.where(rows["p_corrected"] < alpha, direction, "equal")
    return np.where(rows["p_corrected"].isna(), "", verdict)
