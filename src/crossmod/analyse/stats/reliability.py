"""Agreement of a predicted with a reference measurement: differences, limits, correlation, equivalence."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from crossmod.analyse.stats.clustered import Mean, intraclass, mean_of
from crossmod.analyse.stats.errors import DegenerateDataError, IncompleteDesignError, no_variance, some
from crossmod.job import UserError

LEVEL = 0.95
ALPHA = 0.05
LIMITS_Z = stats.norm.ppf(0.975)
FEWEST = 3


@dataclass(frozen=True)
class Agreement:
    """What :func:`agreement` finds. Differences are predicted - reference, in the unit of the input.

    Attributes:
        n: pairs.
        mean_difference: signed, with ``ci_low`` and ``ci_high``.
        sd_difference: standard deviation of the differences (n - 1).
        mean_absolute_difference: mean of |difference|.
        loa_low: lower 95 % limit of agreement, mean - 1.96 sd, with its interval in ``loa_low_ci_*``.
        loa_high: upper limit, alike.
        pearson_r: NaN where one side is constant; interval in ``r_ci_*``, NaN below four pairs and at |r| = 1.
        icc_a1: absolute agreement, single measurement, ICC(A,1) (McGraw & Wong 1996).
        icc_c1: consistency, ICC(C,1).
        lin_ccc: concordance correlation (Lin 1989, variances over n).
        p_tost: two one-sided tests (Schuirmann 1987): |mean difference| < margin. NaN without a margin.
        p_below_margin: one-sided t: mean |difference| < margin; absolute differences are skewed, and 6.3 % of simulated
            studies of 65 pairs rejected at 5 %. NaN without a margin, and where
            the |differences| have no variance (between clusters) to test.
        verdict: ``below margin`` (p_below_margin < 0.05), else ``equivalent`` (p_tost < 0.05: the mean difference is
            inside the margin though single differences need not be), else ``not shown``; ``no margin`` without one.
    """

    n: int
    mean_difference: float
    sd_difference: float
    ci_low: float
    ci_high: float
    mean_absolute_difference: float
    loa_low: float
    loa_low_ci_low: float
    loa_low_ci_high: float
    loa_high: float
    loa_high_ci_low: float
    loa_high_ci_high: float
    pearson_r: float
    r_ci_low: float
    r_ci_high: float
    icc_a1: float
    icc_c1: float
    lin_ccc: float
    p_tost: float
    p_below_margin: float
    verdict: str


def agreement(
    reference: ArrayLike, predicted: ArrayLike, cluster: ArrayLike | None = None, margin: float | None = None
) -> Agreement:
    """Compare two measurements of the same things; all intervals 95 %.

    Without clusters the interval of the mean is Student's, that of the limits of agreement exact (noncentral t,
    Carkeet 2015) and that of r Fisher's. With clusters the patient is the unit of independence: the mean's interval and
    every test use the CR2 standard error with Satterthwaite degrees of freedom. So does r, on Fisher's scale, through
    its influence function. The limits' noncentral t has the effective number of differences of their intraclass
    correlation. Clusters of one give the results without clusters.

    Args:
        reference, predicted: shape (n,), finite, same unit (e.g. ml).
        cluster: shape (n,), the patient of each pair.
        margin: largest difference that does not matter, in the same unit, > 0.

    Raises:
        IncompleteDesignError: fewer than three pairs or clusters.
        DegenerateDataError: all differences are the same, in pairs or in the clusters' sums.
        UserError: shapes differ, a value is missing or infinite, or the margin is not positive.
    """
    return measure(reference, predicted, cluster, margin, LEVEL, ALPHA)


def measure(
    reference: ArrayLike,
    predicted: ArrayLike,
    cluster: ArrayLike | None,
    margin: float | None,
    level: float,
    alpha: float,
) -> Agreement:
    """:func:`agreement` with another confidence level or alpha."""
    x, y, codes = _checked(reference, predicted, cluster, margin)
    d = y - x
    sd, both = d.std(ddof=1), np.concatenate([x, y])  # the noise of a difference is that of its two sides
    if no_variance(sd, both):
        raise DegenerateDataError(
            f"No variance to test between predicted and reference: all {len(d)} differences are {d.mean():.6g}."
        )
    mean, absolute = mean_of(d, codes), mean_of(np.abs(d), codes)
    if no_variance(mean.se, both):
        raise DegenerateDataError(
            f"No variance between clusters: the differences of each have the same sum as every other's, "
            f"{d.mean():.6g} per pair. Report the difference; it has no interval."
        )
    low, high = mean.interval(level)
    r, r_low, r_high = _pearson(x, y, codes, level)
    limits = {}
    for name, sign in (("loa_low", -1), ("loa_high", 1)):
        limits[name] = mean.estimate + sign * LIMITS_Z * sd
        limits[f"{name}_ci_low"], limits[f"{name}_ci_high"] = _limit_interval(d, codes, sign, level)
    p_tost = np.nan if margin is None else max(mean.p_above(-margin), mean.p_below(margin))
    p_below = np.nan if margin is None or no_variance(absolute.se, both) else absolute.p_below(margin)
    return Agreement(
        n=len(d),
        mean_difference=mean.estimate,
        sd_difference=float(sd),
        ci_low=low,
        ci_high=high,
        mean_absolute_difference=absolute.estimate,
        **{name: float(value) for name, value in limits.items()},
        pearson_r=r,
        r_ci_low=r_low,
        r_ci_high=r_high,
        **_intraclass(x, y),
        lin_ccc=float(2 * np.cov(x, y, ddof=0)[0, 1] / (x.var() + y.var() + d.mean() ** 2)),
        p_tost=float(p_tost),
        p_below_margin=float(p_below),
        verdict="no margin" if margin is None else verdict_of(p_below, p_tost, alpha),
    )


def verdict_of(p_below_margin: float, p_tost: float, alpha: float) -> str:
    """The verdict in words, see :class:`Agreement`."""
    if p_below_margin < alpha:
        return "below margin"
    return "equivalent" if p_tost < alpha else "not shown"


def _checked(
    reference: ArrayLike, predicted: ArrayLike, cluster: ArrayLike | None, margin: float | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, y = np.asarray(reference, float), np.asarray(predicted, float)
    if x.ndim != 1 or x.shape != y.shape:
        raise UserError(f"reference and predicted must be equally long lists; their shapes are {x.shape}, {y.shape}.")
    bad = np.flatnonzero(~np.isfinite(x) | ~np.isfinite(y))
    if len(bad):
        raise UserError(f"Pairs {some(bad)} (counted from 0) are missing or infinite; leave them out and list them.")
    if margin is not None and not (np.isfinite(margin) and margin > 0):
        raise UserError(f"The margin must be a positive number in the unit of the measurement, not {margin}.")
    codes = cluster_codes(cluster, len(x))
    found = len(np.unique(codes))
    if found < FEWEST:
        what = "pairs" if cluster is None else "clusters"
        raise IncompleteDesignError(f"Agreement needs at least {FEWEST} {what}; there are {found}.")
    return x, y, codes


def cluster_codes(cluster: ArrayLike | None, n: int) -> np.ndarray:
    """Clusters as 0 … G-1 in order of appearance, shape (n,); each value its own without clusters.

    Raises:
        UserError: another length than the values, or a missing cluster.
    """
    if cluster is None:
        return np.arange(n)
    labels = pd.Series(np.asarray(cluster, object))
    if len(labels) != n:
        raise UserError(f"{len(labels)} clusters are given for {n} values; one each is needed.")
    if labels.isna().any():
        raise UserError(f"The cluster of values {some(np.flatnonzero(labels.isna()))} (counted from 0) is missing.")
    return pd.factorize(labels)[0]


def _limit_interval(d: np.ndarray, codes: np.ndarray, sign: int, level: float) -> tuple[float, float]:
    """Interval of a 95 % limit of agreement, ``mean + sign * 1.96 * sd``.

    With N independent differences it is that of a noncentral t (Carkeet 2015). With clusters of sizes k and an
    intraclass correlation rho the mean varies as that of N / (1 + rho S / N) differences, and the variance has
    (N - 1) / (1 + rho² S / N) degrees of freedom, S = sum k (k - 1); clusters of one leave both as they are.
    """
    # ASSUME: differences are normal, as the limits themselves take them to be, with one correlation within clusters.
    total, sd = len(d), d.std(ddof=1)
    size, rho = np.bincount(codes), intraclass(d, codes)
    pairs = np.sum(size * (size - 1)) / total
    effective, df = total / (1 + rho * pairs), (total - 1) / (1 + rho**2 * pairs)
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    factors = stats.nct.ppf(tails, df, LIMITS_Z * np.sqrt(effective)) / np.sqrt(effective)
    low, high = sorted(d.mean() + sign * sd * factors)
    return low, high


def _pearson(x: np.ndarray, y: np.ndarray, codes: np.ndarray, level: float) -> tuple[float, float, float]:
    """r and its interval; NaN where undefined."""
    if no_variance(x.std(ddof=1), x) or no_variance(y.std(ddof=1), y):
        return np.nan, np.nan, np.nan
    result = stats.pearsonr(x, y)
    r = float(result.statistic)
    if len(x) < 4 or 1 - abs(r) < 1e-15:
        return r, np.nan, np.nan
    if codes.max() + 1 == len(x):
        interval = result.confidence_interval(level)
        return r, float(interval.low), float(interval.high)
    # ASSUME: on Fisher's scale r is linear enough in the pairs for its influence function to be averaged.
    u, v = (x - x.mean()) / x.std(), (y - y.mean()) / y.std()
    influence = (u * v - r * (u**2 + v**2) / 2) / (1 - r**2)
    spread = mean_of(influence, codes)
    low, high = Mean(float(np.arctanh(r)), spread.se, spread.df).interval(level)
    return r, float(np.tanh(low)), float(np.tanh(high))


def _intraclass(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Intraclass correlations of two raters by pingouin."""
    import pingouin  # over a second to import

    table = pd.DataFrame(
        {"target": np.tile(np.arange(len(x)), 2), "rater": np.repeat([0, 1], len(x)), "rating": np.concatenate([x, y])}
    )
    with np.errstate(divide="ignore", invalid="ignore"):  # the averaged kinds, unused, where every x + y is the same
        found = pingouin.intraclass_corr(table, targets="target", raters="rater", ratings="rating")
    icc = found.set_index("Type")["ICC"]
    return {"icc_a1": float(icc["ICC(A,1)"]), "icc_c1": float(icc["ICC(C,1)"])}
