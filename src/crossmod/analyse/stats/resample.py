"""Bootstrap intervals that resample whole patients."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations_with_replacement
from math import comb

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

from crossmod.analyse.stats.errors import DegenerateDataError, IncompleteDesignError, no_variance, some
from crossmod.analyse.stats.reliability import cluster_codes
from crossmod.job import UserError

RESAMPLES = 10_000
CHUNK_ELEMENTS = 2_500_000
STATISTICS = ("mean", "median")
METHODS = ("bca", "percentile")


@dataclass(frozen=True)
class BootstrapInterval:
    """An estimate with its bootstrap limits.

    Attributes:
        estimate: the statistic of the values themselves.
        ci_low, ci_high: limits.
        level, statistic, method: as asked for; the statistic of :func:`ratio_ci` is ``ratio``.
        n: values; ``n_clusters``: independent units resampled.
        resamples: number of different resamples looked at.
        exact: whether these are all possible resamples, so that no chance is involved.
    """

    estimate: float
    ci_low: float
    ci_high: float
    level: float
    statistic: str
    method: str
    n: int
    n_clusters: int
    resamples: int
    exact: bool


def bootstrap_ci(
    values: ArrayLike,
    cluster: ArrayLike | None = None,
    statistic: str = "mean",
    level: float = 0.95,
    method: str = "bca",
    seed: int = 0,
) -> BootstrapInterval:
    """Bootstrap confidence interval; whole clusters (patients) are resampled when ``cluster`` is given.

    With few clusters any bootstrap is too narrow: 95 % limits missed a mean in 8.5 % of simulated studies of 20
    patients, in 5.7 % of 65 (docs/type_one_error.md).

    Up to eight clusters all possible resamples are enumerated, weighted by their probability, and the limits are exact;
    beyond, 10,000 are drawn. Limits are the inverse of the bootstrap distribution function. The bias
    correction of BCa counts half of the resamples that equal the estimate, as scipy does (R's ``boot`` counts none),
    so that mirrored values have the mirrored interval; for continuous statistics it makes no difference.

    Args:
        values: shape (n,), finite.
        cluster: shape (n,), the patient of each value. The statistic weighs values, not patients, alike.
        statistic: ``mean`` or ``median``.
        level: confidence, in (0, 1).
        method: ``bca`` (Efron 1987; acceleration by leaving out one cluster at a time) or ``percentile``.
        seed: of the random resamples; same seed, same limits.

    Raises:
        IncompleteDesignError: fewer than two values or clusters.
        DegenerateDataError: all values, or for the mean all clusters' means, are the same.
        UserError: a value is missing or infinite, or an argument unknown.
    """
    x = np.asarray(values, float)
    _check(x, statistic, level, method)
    codes = cluster_codes(cluster, len(x))
    groups = int(codes.max()) + 1 if len(x) else 0
    if groups < 2:
        what = "values" if cluster is None else "clusters"
        raise IncompleteDesignError(f"A bootstrap needs at least two {what} to resample; there are {groups}.")
    if no_variance(x.std(ddof=1), x):
        raise DegenerateDataError(f"No variance to resample: all {len(x)} values are {x[0]:.6g}.")
    sums, sizes = np.bincount(codes, weights=x), np.bincount(codes)
    if statistic == "mean" and no_variance((sums / sizes).std(ddof=1), x):
        raise DegenerateDataError(
            f"No variance between clusters to resample: each of the {groups} has the mean {x.mean():.6g}. "
            "Report the mean; it has no interval."
        )

    found = _resampled(lambda weights: _statistic(weights, x, codes, statistic), groups, level, method, seed)
    estimate, low, high, resamples = found
    exact = _can_enumerate(groups)
    return BootstrapInterval(estimate, low, high, level, statistic, method, len(x), groups, resamples, exact)


def ratio_ci(
    part: ArrayLike,
    whole: ArrayLike,
    cluster: ArrayLike | None = None,
    level: float = 0.95,
    method: str = "bca",
    seed: int = 0,
) -> BootstrapInterval:
    """Bootstrap confidence interval of a ratio of two sums, such as a precision over all voxels of all images.

    Whole clusters are resampled as :func:`bootstrap_ci` does it, with the same resamples for the same seed. Both sums
    are taken anew in every resample. The ratio of a resample whose ``whole`` adds up to nothing is 0: a model that
    finds nothing has no precision by its formula, and to miss what is there never improves a score.

    Args:
        part: shape (n,), finite: what is counted of each unit.
        whole: shape (n,), finite and at least 0: what it is counted of; some of it is positive.
        cluster: shape (n,), the patient of each unit; every unit is one of its own where None.
        level, method, seed: see :func:`bootstrap_ci`.

    Raises:
        IncompleteDesignError: fewer than two units or clusters.
        DegenerateDataError: the ratio of every cluster is the same.
        UserError: a value is missing, infinite or negative, nothing is positive, or an argument is unknown.
    """
    x, y = np.asarray(part, float), np.asarray(whole, float)
    for values in (x, y):
        _check(values, "mean", level, method)
    if x.shape != y.shape or (y < 0).any() or not (y > 0).any():
        raise UserError(
            f"The ratio of sums needs as many parts as wholes, no whole below 0 and one above; there are {len(x)} "
            f"parts and {len(y)} wholes, which add up to {y.sum():g}."
        )
    codes = cluster_codes(cluster, len(x))
    groups = int(codes.max()) + 1
    if groups < 2:
        raise IncompleteDesignError(f"A bootstrap needs at least two clusters to resample; there is {groups}.")
    parts, wholes = np.bincount(codes, weights=x), np.bincount(codes, weights=y)

    def ratio(weights: np.ndarray) -> np.ndarray:
        over, under = weights @ parts, weights @ wholes
        return np.divide(over, under, out=np.zeros_like(over), where=under > 0)

    own = ratio(np.eye(groups))
    if no_variance(own.std(ddof=1), own):
        raise DegenerateDataError(
            f"No variance to resample: the ratio of each of the {groups} clusters is {own[0]:.6g}."
        )
    estimate, low, high, resamples = _resampled(ratio, groups, level, method, seed)
    exact = _can_enumerate(groups)
    return BootstrapInterval(estimate, low, high, level, "ratio", method, len(x), groups, resamples, exact)


def _resampled(
    statistic: Callable[[np.ndarray], np.ndarray], groups: int, level: float, method: str, seed: int
) -> tuple[float, float, float, int]:
    """Estimate, limits and number of resamples of a statistic of cluster weights, (rows, groups) → (rows,)."""
    estimate = float(statistic(np.ones((1, groups)))[0])
    pairs = [(statistic(weights), p) for weights, p in _resamples(groups, seed)]
    replicates, probability = (np.concatenate(part) for part in zip(*pairs, strict=True))
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if method == "bca":
        tails = _bca_tails(tails, estimate, replicates, probability, statistic(1 - np.eye(groups)))
    order = np.argsort(replicates, kind="stable")
    reached = np.cumsum(probability[order])
    low, high = replicates[order][np.minimum(np.searchsorted(reached, tails - 1e-9), len(order) - 1)]
    return estimate, float(low), float(high), len(replicates)


def _check(x: np.ndarray, statistic: str, level: float, method: str) -> None:
    if x.ndim != 1:
        raise UserError(f"values must be a list of numbers; their shape is {x.shape}.")
    bad = np.flatnonzero(~np.isfinite(x))
    if len(bad):
        raise UserError(f"Values {some(bad)} (counted from 0) are missing or infinite; leave them out and list them.")
    if statistic not in STATISTICS:
        raise UserError(f"Statistic {statistic!r} is unknown; use one of {', '.join(STATISTICS)}.")
    if method not in METHODS:
        raise UserError(f"Method {method!r} is unknown; use one of {', '.join(METHODS)}.")
    if not 0 < level < 1:
        raise UserError(f"The confidence level lies between 0 and 1, not at {level}.")


def _can_enumerate(groups: int) -> bool:
    return comb(2 * groups - 1, groups) <= RESAMPLES


def _resamples(groups: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of (how often each cluster is drawn, shape (rows, groups); probability of each row)."""
    if _can_enumerate(groups):
        yield _all_resamples(groups)
        return
    rows = max(1, min(RESAMPLES, CHUNK_ELEMENTS // groups))
    for start in range(0, RESAMPLES, rows):
        size = min(rows, RESAMPLES - start)
        yield _random_resamples(groups, size, seed, start), np.full(size, 1 / RESAMPLES)


@lru_cache(maxsize=8)
def _all_resamples(groups: int) -> tuple[np.ndarray, np.ndarray]:
    draws = np.array(list(combinations_with_replacement(range(groups), groups)))
    weights = np.stack([(draws == g).sum(axis=1) for g in range(groups)], axis=1).astype(float)
    log_p = special.gammaln(groups + 1) - special.gammaln(weights + 1).sum(axis=1) - groups * np.log(groups)
    return weights, np.exp(log_p)


@lru_cache(maxsize=8)
def _random_resamples(groups: int, rows: int, seed: int, start: int) -> np.ndarray:
    rng = np.random.default_rng([seed, groups, start])
    drawn = rng.integers(groups, size=(rows, groups)) + groups * np.arange(rows)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * groups).reshape(rows, groups).astype(float)


def _statistic(weights: np.ndarray, x: np.ndarray, codes: np.ndarray, statistic: str) -> np.ndarray:
    """The statistic under each row of cluster weights; (rows, groups) → (rows,)."""
    if statistic == "mean":
        return (weights @ np.bincount(codes, weights=x)) / (weights @ np.bincount(codes))
    order = np.argsort(x, kind="stable")
    reached = np.cumsum(weights[:, codes[order]], axis=1)  # (rows, n)
    half = reached[:, -1:] / 2
    lower = np.argmax(reached >= half, axis=1)
    upper = np.argmax(reached > half, axis=1)
    return (x[order][lower] + x[order][upper]) / 2


def _bca_tails(
    tails: np.ndarray, estimate: float, replicates: np.ndarray, probability: np.ndarray, jackknife: np.ndarray
) -> np.ndarray:
    """Tail probabilities moved by bias and acceleration (Efron 1987)."""
    noise = 1e-12 * np.max(np.abs(replicates))
    below = probability[replicates < estimate - noise].sum()
    at_most = probability[replicates <= estimate + noise].sum()
    z0 = stats.norm.ppf((below + at_most) / 2)
    away = jackknife.mean() - jackknife
    spread = np.sum(away**2)
    acceleration = np.sum(away**3) / (6 * spread**1.5) if spread > noise**2 else 0.0
    z = z0 + stats.norm.ppf(tails)
    return stats.norm.cdf(z0 + z / (1 - acceleration * z))
