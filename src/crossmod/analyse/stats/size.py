"""Does the score depend on the size of the lesion? Correlation, and small against large."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

from crossmod.analyse.stats.errors import DegenerateDataError, IncompleteDesignError, no_variance, some
from crossmod.job import UserError

LEVEL = 0.95
FEWEST = 4
PERFECT = 1e-14
PERMUTED_UP_TO = 9
EXACT_BELOW = 50


@dataclass(frozen=True)
class SizeDependence:
    """What :func:`size_dependence` finds. Differences are large - small, in the unit of the score.

    Attributes:
        n: lesions.
        spearman_rho: rank correlation of volume and score, ties at their mean rank.
        spearman_p: two-sided; up to nine lesions without ties exact, over all orders, as R's ``cor.test``; else by the
            t approximation with n - 2 degrees of freedom. At |rho| = 1, where t is infinite, the share of orders that
            reach it in either direction, 2 / n! (times the factorials of the ties).
        pearson_log_r: Pearson correlation of ln(volume) and score, with Fisher's interval ``r_ci_low``, ``r_ci_high``
            and ``r_p`` (t with n - 2 degrees of freedom). All three are NaN at |r| = 1, where nothing varies about the
            line.
        median_volume: where the halves part, in the unit of the volume. Small is < median, large is >= median.
        n_small, n_large: lesions of each half.
        mean_small, mean_large: mean score of each half.
        difference: mean_large - mean_small, with its interval ``ci_low``, ``ci_high``.
        welch_t, welch_df, welch_p: Welch's two-sided test of the difference.
        mann_whitney_u: pairs in which the large lesion has the higher score, ties counting half.
        mann_whitney_p: two-sided.
        mann_whitney_method: ``exact``, or ``normal approximation, ties, continuity``.
    """

    n: int
    spearman_rho: float
    spearman_p: float
    pearson_log_r: float
    r_ci_low: float
    r_ci_high: float
    r_p: float
    median_volume: float
    n_small: int
    n_large: int
    mean_small: float
    mean_large: float
    difference: float
    ci_low: float
    ci_high: float
    welch_t: float
    welch_df: float
    welch_p: float
    mann_whitney_u: float
    mann_whitney_p: float
    mann_whitney_method: str


def size_dependence(volume: ArrayLike, score: ArrayLike) -> SizeDependence:
    """How a score (e.g. DSC) follows the volume of the lesion it was taken on; all intervals 95 %.

    Correlations use every lesion; the halves at the median volume are different patients, so they are compared as
    independent groups: Welch (1947, Biometrika 34:28), and Mann & Whitney (1947), exact below 50 values a half without
    ties, else the normal approximation corrected for ties and continuity, as R's ``wilcox.test``. No paired test is
    offered, though one is found in print: volume and score have different units, and a small lesion has no large
    partner, so neither "volume - score" nor "small - large" exists for a patient.

    Args:
        volume: shape (n,), finite, > 0 (e.g. ml). A lesion that was missed has the volume of its reference.
        score: shape (n,), finite.

    Raises:
        IncompleteDesignError: fewer than four lesions.
        DegenerateDataError: volume or score is constant, tied volumes leave fewer than two lesions below the median, or
            the score is constant within both halves.
        UserError: shapes differ, a value is missing or infinite, or a volume is not positive.
    """
    x, y = _checked(volume, score)
    rho, spearman_p = _spearman(x, y)
    log = stats.pearsonr(np.log(x), y)
    perfect = 1 - abs(log.statistic) < PERFECT
    interval = (np.nan, np.nan) if perfect else log.confidence_interval(LEVEL)
    return SizeDependence(
        n=len(x),
        spearman_rho=rho,
        spearman_p=spearman_p,
        pearson_log_r=float(log.statistic),
        r_ci_low=float(interval[0]),
        r_ci_high=float(interval[1]),
        r_p=np.nan if perfect else float(log.pvalue),
        **_halves(x, y),
    )


def rank_paired(volume: ArrayLike, score: ArrayLike) -> tuple[float, float, int]:
    """The literal paired t of two halves of different patients: t, its two-sided p, and how many pairs.

    **An oddity, kept to reproduce what was printed and for nothing else.** Häntze et al. (arXiv 2405.03713) compare the
    scores of small and large tumours by "a paired t-test", but no small tumour has a large partner. The one order in
    which the halves could be paired is that of their volumes: the smallest of the small with the smallest of the large,
    and so on; of an odd number the largest stays without a partner. The pairs mean nothing, and neither does p: Welch's
    test of :func:`size_dependence` is the answer.

    Args:
        volume: shape (n,), as for :func:`size_dependence`.
        score: shape (n,).

    Raises:
        IncompleteDesignError, DegenerateDataError, UserError: as :func:`size_dependence`, or all pairs differ alike.
    """
    x, y = _checked(volume, score)
    order = np.argsort(x, kind="stable")
    pairs = len(x) // 2
    small, large = y[order[:pairs]], y[order[pairs : 2 * pairs]]
    if no_variance((large - small).std(ddof=1), y):
        raise DegenerateDataError(f"No variance to test: all {pairs} pairs differ by {large[0] - small[0]:.6g}.")
    found = stats.ttest_rel(large, small)
    return float(found.statistic), float(found.pvalue), pairs


def _checked(volume: ArrayLike, score: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(volume, float), np.asarray(score, float)
    if x.ndim != 1 or x.shape != y.shape:
        raise UserError(f"volume and score must be equally long lists; their shapes are {x.shape}, {y.shape}.")
    bad = np.flatnonzero(~np.isfinite(x) | ~np.isfinite(y))
    if len(bad):
        raise UserError(f"Lesions {some(bad)} (counted from 0) are missing or infinite; leave them out and list them.")
    bad = np.flatnonzero(x <= 0)
    if len(bad):
        raise UserError(
            f"Volumes {some(f'{i}: {x[i]:.6g}' for i in bad)} (counted from 0) are not positive and have no logarithm; "
            "give the reference volume, and leave out patients without a lesion."
        )
    if len(x) < FEWEST:
        raise IncompleteDesignError(f"The halves need two lesions each, {FEWEST} in all; there are {len(x)}.")
    for name, values in (("volumes", x), ("scores", y)):
        if no_variance(values.std(ddof=1), values):
            raise DegenerateDataError(f"All {len(values)} {name} are {values[0]:.6g}: nothing can depend on size.")
    return x, y


def _spearman(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Rank correlation and its p, see :class:`SizeDependence`."""
    found = stats.spearmanr(x, y)
    rho, p, n = float(found.statistic), float(found.pvalue), len(x)
    ties = [np.unique(values, return_counts=True)[1] for values in (x, y)]
    if 1 - abs(rho) < PERFECT:
        rho = np.sign(rho)
        p = min(1.0, 2 * float(np.exp(special.gammaln(ties[0] + 1).sum() - special.gammaln(n + 1))))
    elif n <= PERMUTED_UP_TO and max(ties[0].max(), ties[1].max()) == 1:
        distances, counts = _rank_distances(n)
        middle = (n**3 - n) / 6  # sum of squared rank differences at rho = 0
        p = float(counts[np.abs(distances - middle) >= abs(rho) * middle - 0.5].sum() / counts.sum())
    return float(rho), p


@lru_cache(maxsize=8)
def _rank_distances(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums of squared rank differences, and in how many of the n! orders each occurs.

    See Kendall & Gibbons 1990, ch. 4.
    """
    found = {(0, 0): 1}  # (ranks used as bits, sum so far) → orders
    for i in range(n):
        longer: dict[tuple[int, int], int] = {}
        for (used, total), count in found.items():
            for j in range(n):
                if not used >> j & 1:
                    key = (used | 1 << j, total + (i - j) ** 2)
                    longer[key] = longer.get(key, 0) + count
        found = longer
    return np.array([total for _, total in found]), np.array(list(found.values()))


def _halves(x: np.ndarray, y: np.ndarray) -> dict:
    """Small (below the median) against large (at it or above); keys as in :class:`SizeDependence`."""
    median = float(np.median(x))
    small, large = y[x < median], y[x >= median]
    if len(small) < 2:
        raise DegenerateDataError(
            f"{len(small)} of {len(x)} volumes lie below the median {median:.6g}, because {int(np.sum(x == median))} "
            "equal it: there are no halves to compare. Give volumes with less rounding."
        )
    spread = np.sqrt(small.var(ddof=1) / len(small) + large.var(ddof=1) / len(large))
    if no_variance(spread, y):
        raise DegenerateDataError(
            f"No variance to test: all {len(small)} small lesions score {small[0]:.6g} and all {len(large)} large ones "
            f"{large[0]:.6g}. Report the two numbers; their difference has no t and no p."
        )
    welch = stats.ttest_ind(large, small, equal_var=False)
    limits = welch.confidence_interval(LEVEL)
    exact = len(np.unique(y)) == len(y) and max(len(small), len(large)) < EXACT_BELOW
    rank = stats.mannwhitneyu(large, small, method="exact" if exact else "asymptotic", use_continuity=True)
    return {
        "median_volume": median,
        "n_small": len(small),
        "n_large": len(large),
        "mean_small": float(small.mean()),
        "mean_large": float(large.mean()),
        "difference": float(large.mean() - small.mean()),
        "ci_low": float(limits.low),
        "ci_high": float(limits.high),
        "welch_t": float(welch.statistic),
        "welch_df": float(welch.df),
        "welch_p": float(welch.pvalue),
        "mann_whitney_u": float(rank.statistic),
        "mann_whitney_p": float(rank.pvalue),
        "mann_whitney_method": "exact" if exact else "normal approximation, ties, continuity",
    }
