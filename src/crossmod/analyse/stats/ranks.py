"""Rank tests beside the parametric ones: of the effects of a repeated-measures design, and of clustered differences."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from crossmod.analyse.stats.cells import Cells, effects_of
from crossmod.analyse.stats.clustered import intraclass
from crossmod.analyse.stats.errors import DegenerateDataError, IncompleteDesignError, some
from crossmod.job import UserError

COLUMNS = ["effect", "rank_test", "rank_statistic", "rank_df", "rank_p", "rank_note"]
EXACT_BELOW = 50
EXACT_CLUSTERS = 12
TIE_DECIMALS = 9


def rank_effects(cells: Cells) -> pd.DataFrame:
    """Rank test of every effect of a design with one to three within-subject factors.

    Each subject's cells are averaged over the factors outside the effect and subtracted (first level - second) over
    its factors of two levels. One number a subject is left, or one a level of a single longer factor:

    * one number: Wilcoxon's signed-rank test against 0 (Wilcoxon 1945, Biometrics Bulletin 1:80), exactly as
      :func:`signed_rank`. It assumes independent subjects and scores symmetric about 0 under the null hypothesis.
    * k >= 3 levels: Friedman's test (1937, JASA 32:675), corrected for ties, by the chi-square approximation; with
      three or four levels and four to fifteen subjects its exact size at 0.05 lies between 0.03 and 0.07. It assumes
      independent subjects and, under the null hypothesis, that a subject's k scores are exchangeable: arms of equal
      mean but unequal spread can be called different.

    A rank test of an interaction is thus a rank test of difference scores (Hollander, Wolfe & Chicken 2014, chapters 3
    and 7): the test is of a difference that is additive in the outcome's units, as in the analysis of variance.
    Two longer factors leave no such difference, and no test is made.

    Args:
        cells: complete cells, see :func:`crossmod.analyse.stats.cells.complete_cells`.

    Returns:
        One row per effect in the order of :func:`crossmod.analyse.stats.rm_anova`: ``effect``, ``rank_test`` (the test
        actually made), ``rank_statistic`` (Friedman's chi-square, or V, the sum of the positive signed ranks, as R),
        ``rank_df`` (k - 1; empty for signed ranks), ``rank_p`` (two-sided), ``rank_note`` (why there is no p,
        else empty). Scores are ranked after rounding to nine decimals of the outcome's magnitude.
    """
    rows = [_effect(names, cells) for names in effects_of(cells)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _effect(names: Sequence[str], cells: Cells) -> dict:
    row = {"effect": ":".join(names), "rank_test": "", "rank_statistic": np.nan, "rank_df": np.nan, "rank_p": np.nan}
    longer = [name for name in names if len(cells.levels[name]) > 2]
    if len(longer) > 1:
        return row | {
            "rank_note": f"{' and '.join(longer)} have three or more levels each, so no single difference of a subject "
            "is left to rank; see the simple effects (pairwise with at=)."
        }
    magnitude = np.abs(cells.values).max()
    scores = _difference_scores(names, cells)
    where = f"{' × '.join(f'{name} ({some(cells.levels[name])})' for name in names)}, subjects {some(cells.subjects)}"
    if longer:
        return row | _friedman(scores, magnitude, where)
    try:
        found = signed_rank(scores, magnitude, where)
    except DegenerateDataError as error:
        return row | {"rank_test": "Wilcoxon signed rank", "rank_note": str(error)}
    return row | {
        "rank_test": found["method"],
        "rank_statistic": found["statistic"],
        "rank_p": found["p"],
        "rank_note": "",
    }


def _difference_scores(names: Sequence[str], cells: Cells) -> np.ndarray:
    """Cells averaged outside the effect and subtracted over its two-level factors; (subjects,) or (subjects, k)."""
    scores = cells.values
    for axis, (factor, found) in reversed(list(enumerate(cells.levels.items(), start=1))):
        if factor not in names:
            scores = scores.mean(axis=axis)
        elif len(found) == 2:
            scores = scores.take(0, axis=axis) - scores.take(1, axis=axis)
    return scores


def _friedman(scores: np.ndarray, magnitude: float, where: str) -> dict:
    ranked = _rounded(scores, magnitude)  # (subjects, k)
    test = "Friedman, chi-square"
    if (ranked == ranked[:, :1]).all():
        note = f"No order to rank between {where}: every one of {len(ranked)} subjects has the same value throughout."
        return {"rank_test": test, "rank_note": note}
    result = stats.friedmanchisquare(*ranked.T)
    return {
        "rank_test": test,
        "rank_statistic": float(result.statistic),
        "rank_df": float(ranked.shape[1] - 1),
        "rank_p": float(result.pvalue),
        "rank_note": "",
    }


def signed_rank(difference: np.ndarray, magnitude: float, where: str) -> dict:
    """Wilcoxon's signed-rank test of independent differences against 0, two-sided.

    As R does, the exact distribution serves fewer than 50 differences without ties and zeros; otherwise zeros are
    dropped and the normal approximation is corrected for ties and continuity.

    Args:
        difference: shape (n,), finite.
        magnitude: largest absolute outcome; differences are rounded to nine decimals of it.
        where: names arms and subjects in errors.

    Returns:
        ``statistic`` (V, the sum of the positive signed ranks), ``df`` (NaN), ``p``, ``method`` (the test made),
        ``direction`` (sum of all signed ranks: one failed case moves a mean to the other side, but not the ranks).

    Raises:
        DegenerateDataError: every difference is zero.
    """
    rounded = _rounded(difference, magnitude)
    kept = rounded[rounded != 0]
    if len(kept) == 0:
        raise DegenerateDataError(f"No difference to rank between {where}: all {len(rounded)} differences are zero.")
    ranks = stats.rankdata(np.abs(kept))
    tied, zeros = len(np.unique(ranks)) < len(ranks), len(rounded) - len(kept)
    exact = not tied and not zeros and len(kept) < EXACT_BELOW
    method: Any = "exact" if exact else "asymptotic"  # scipy's stubs know the latter by its old name alone
    p = stats.wilcoxon(kept, method=method, correction=not exact).pvalue
    how = "exact" if exact else "normal approximation, continuity"
    return {
        "statistic": ranks[kept > 0].sum(),
        "df": np.nan,
        "p": p,
        "direction": np.sum(np.sign(kept) * ranks),
        "method": f"Wilcoxon signed rank, {how}{_dropped(zeros)}",
    }


def _rounded(values: np.ndarray, magnitude: float) -> np.ndarray:
    # ASSUME: values that agree to nine decimals of the outcome's magnitude are ties.
    unit = 10.0 ** np.ceil(np.log10(magnitude)) if magnitude > 0 else 1.0
    return np.round(values / unit, TIE_DECIMALS)


def _dropped(zeros: int) -> str:
    return f", {zeros} zero differences dropped" if zeros else ""


def clustered_signed_rank(
    difference: ArrayLike, codes: ArrayLike, magnitude: float | None = None, where: str = ""
) -> tuple[float, float, str]:
    """Signed-rank test of differences that come in clusters, such as two kidneys of a patient; two-sided.

    Rosner, Glynn & Lee (2006, Biometrics 62:185): all differences are ranked together, and under the null hypothesis
    whole clusters, not single differences, change sign. Zeros are dropped, ties have their mean rank.

    * Up to 12 clusters every one of the 2^G sign flips is enumerated: the sum T of the signed ranks, each cluster with
      the weight of its size. The smallest p there can be is 2^(1 - G).
    * Beyond, Z = sum(w S) / sqrt(sum(w² S²)) with the mean signed rank S of a cluster of g differences and the
      weight w = g / (1 + (g - 1) rho); rho is the intraclass correlation of the signed ranks by one-way analysis of
      variance, corrected for few clusters and kept in [0, 1]. Clusters of one size need no weights, and clusters of
      one value give the large-sample signed-rank test corrected for ties, **without** continuity. So does R's
      ``clusrank::clusWilcox.test(method = "rgl", paired = TRUE, exact = FALSE)``, whose ``statistic`` is this Z.

    # ASSUME: clusters are independent, the differences of a cluster are jointly symmetric about 0 under the null
    # hypothesis, and the size of a cluster says nothing about its differences.

    Args:
        difference: shape (N,), finite.
        codes: shape (N,), cluster of each difference.
        magnitude: largest absolute outcome; differences are rounded to nine decimals of it, so that float noise cannot
            break ties. Without it the largest difference serves, and arms that differ by noise alone are not noticed.
        where: names arms and subjects in errors.

    Returns:
        (statistic: T up to 12 clusters, else Z; p; the test actually made). Clusters of zeros alone do not count.

    Raises:
        IncompleteDesignError: no difference.
        DegenerateDataError: every difference is zero.
        UserError: shapes differ, or a difference is missing or infinite.
    """
    d, clusters = _checked(difference, codes)
    rounded = _rounded(d, np.abs(d).max() if magnitude is None else magnitude)
    kept = rounded != 0
    if not kept.any():
        between = f" between {where}" if where else ""
        raise DegenerateDataError(
            f"No difference to rank{between}: all {len(d)} differences in {len(np.unique(clusters))} clusters are zero."
        )
    signed = np.sign(rounded[kept]) * stats.rankdata(np.abs(rounded[kept]))
    _, own = np.unique(clusters[kept], return_inverse=True)
    groups = own.max() + 1
    dropped = _dropped(len(d) - len(signed))
    if groups <= EXACT_CLUSTERS:
        total, p = _flip_clusters(np.bincount(own, weights=signed))
        return total, p, f"Clustered signed rank, T, exact, clusters flipped{dropped}"
    z = _rosner_z(signed, own)
    p = float(2 * stats.norm.sf(abs(z)))
    return z, p, f"Clustered signed rank (Rosner-Glynn-Lee), Z, normal approximation, no continuity{dropped}"


def _checked(difference: ArrayLike, codes: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    d, clusters = np.asarray(difference, float), np.asarray(codes)
    if d.ndim != 1 or d.shape != clusters.shape:
        raise UserError(
            f"difference and codes must be equally long lists; their shapes are {d.shape}, {clusters.shape}."
        )
    if len(d) == 0:
        raise IncompleteDesignError("There is no difference to rank; give at least one.")
    bad = np.flatnonzero(~np.isfinite(d))
    if len(bad):
        raise UserError(
            f"Differences {some(bad)} (counted from 0) are missing or infinite; leave them out and list them."
        )
    return d, clusters


def _flip_clusters(sums: np.ndarray) -> tuple[float, float]:
    """Sum of the signed ranks of all clusters, and its share of 2^G sign flips that are at least as extreme."""
    bits = np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums)) & 1  # (flips, G)
    # Mean ranks are multiples of one half, so these sums are exact and need no tolerance.
    totals = (1 - 2 * bits) @ sums
    return float(sums.sum()), float(np.mean(np.abs(totals) >= abs(sums.sum())))


def _rosner_z(signed: np.ndarray, own: np.ndarray) -> float:
    """Z of Rosner, Glynn & Lee; the variance of the signed ranks, common to all weights, cancels."""
    size = np.bincount(own)  # (G,)
    mean = np.bincount(own, weights=signed) / size
    rho, groups = intraclass(signed, own), len(size)
    rho = min(rho * (1 + (1 - rho**2) / (groups - 2.5)), 1.0)  # corrected for few clusters
    weighted = size / (1 + (size - 1) * rho) * mean
    return float(weighted.sum() / np.sqrt(np.sum(weighted**2)))
