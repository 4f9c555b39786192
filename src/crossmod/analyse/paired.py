"""Paired comparisons of the levels of one factor."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from crossmod.analyse.cells import Cells, complete_cells
from crossmod.analyse.errors import DegenerateDataError, no_variance, some
from crossmod.analyse.multiplicity import correct_p
from crossmod.job import UserError

COLUMNS = [
    *("a", "b", "at", "n", "mean_difference", "ci_low", "ci_high", "statistic", "df", "p", "p_corrected"),
    *("cohen_dz", "method", "verdict"),
]
LEVEL = 0.95
ALPHA = 0.05
TESTS = ("t", "wilcoxon")
EXACT_BELOW = 50
TIE_DECIMALS = 9


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
        correction: for all contrasts returned as one family, see :func:`crossmod.analyse.correct_p`.

    Returns:
        One row per contrast: ``a``, ``b``, ``at`` (level, empty without ``at``), ``n`` subjects, ``mean_difference``
        with its 95 % t interval ``ci_low``, ``ci_high``, ``statistic`` (t; or V, the sum of the positive signed ranks,
        as R), ``df`` (empty for ranks), ``p``, ``p_corrected``, ``cohen_dz`` (mean / sd of the differences, Cohen 1988;
        pingouin reports d_av), ``method`` (the test actually made) and ``verdict``: ``greater`` or ``lower`` where
        p_corrected < 0.05, else ``equal``. **"equal" means no significant difference, not equivalence.**
        ``.attrs["n_subjects"]`` and ``.attrs["dropped_subjects"]`` as in :func:`crossmod.analyse.rm_anova`.

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


def contrasts(cells: Cells, test: str = "t", level: float = LEVEL, note_degenerate: bool = False) -> list[dict]:
    """Uncorrected rows of :func:`pairwise`; the last factor is compared at each level of the one before.

    With ``note_degenerate`` a contrast without variance becomes a row without p and with a ``note``.
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
                rows.append(row | compare(x, y, test, level, f"{where}, subjects {some(cells.subjects)}"))
            except DegenerateDataError as error:
                if not note_degenerate:
                    raise
                rows.append(row | {"note": str(error)})
    return rows


def compare(x: np.ndarray, y: np.ndarray, test: str, level: float, where: str) -> dict:
    """Interval, statistic and p of ``x - y`` (both of shape (n,)); ``where`` names arms and subjects in errors."""
    difference = x - y
    sd = difference.std(ddof=1)
    constant = no_variance(sd, np.concatenate([x, y]))
    if constant and test == "t":
        raise DegenerateDataError(
            f"No variance to test between {where}: all {len(x)} differences are {difference.mean():.6g}. "
            "Report the difference; it has no t and no p."
        )
    half = stats.t.ppf((1 + level) / 2, len(x) - 1) * sd / np.sqrt(len(x))
    common = {
        **{"ci_low": difference.mean() - half, "ci_high": difference.mean() + half},
        "cohen_dz": np.nan if constant else difference.mean() / sd,
    }
    if test == "t":
        result = stats.ttest_1samp(difference, 0.0)
        return common | {
            "statistic": result.statistic,
            "df": result.df,
            "p": result.pvalue,
            "method": "paired t",
        }
    return common | _signed_rank(difference, max(np.abs(x).max(), np.abs(y).max()), where)


def _signed_rank(difference: np.ndarray, magnitude: float, where: str) -> dict:
    # ASSUME: differences that agree to nine decimals of the outcome's magnitude are ties.
    unit = 10.0 ** np.ceil(np.log10(magnitude)) if magnitude > 0 else 1.0
    rounded = np.round(difference / unit, TIE_DECIMALS)
    kept = rounded[rounded != 0]
    if len(kept) == 0:
        raise DegenerateDataError(f"No difference to rank between {where}: all {len(rounded)} differences are zero.")
    ranks = stats.rankdata(np.abs(kept))
    tied, zeros = len(np.unique(ranks)) < len(ranks), len(rounded) - len(kept)
    exact = not tied and not zeros and len(kept) < EXACT_BELOW
    if exact:
        p, how = stats.wilcoxon(kept, method="exact").pvalue, "exact"
    else:
        p, how = (
            stats.wilcoxon(kept, method="asymptotic", correction=True).pvalue,
            "normal approximation, continuity",
        )
    dropped = f", {zeros} zero differences dropped" if zeros else ""
    return {
        **{"statistic": ranks[kept > 0].sum(), "df": np.nan, "p": p},
        "method": f"Wilcoxon signed rank, {how}{dropped}",
    }


def judge(rows: pd.DataFrame, correction: str, alpha: float) -> pd.DataFrame:
    """Add ``p_corrected`` and ``verdict`` to the rows of one family; no verdict where no test was made."""
    rows = rows.reindex(columns=[*rows.columns, *(c for c in COLUMNS if c not in rows)])
    rows["p_corrected"] = correct_p(rows["p"], correction)
    clear = rows["p_corrected"] < alpha
    direction = np.where(rows["mean_difference"] > 0, "greater", "lower")
    verdict = np.where(clear, direction, "equal")
    rows["verdict"] = np.where(rows["p_corrected"].isna(), "", verdict)
    return rows
