"""Is a mean difference no worse than a margin? "Greater or equal" is a claim to be shown, not p > 0.05."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from crossmod.analyse.stats.clustered import Mean, mean_of
from crossmod.analyse.stats.errors import DegenerateDataError, IncompleteDesignError, no_variance, some
from crossmod.analyse.stats.reliability import cluster_codes
from crossmod.job import UserError

LEVEL = 0.95
ALPHA = 0.025
FEWEST = 3


@dataclass(frozen=True)
class NonInferiority:
    """What :func:`noninferiority` finds, in the unit of the differences.

    Attributes:
        estimate: mean difference, new - old, where more is better.
        se, df: its standard error and degrees of freedom, see :func:`crossmod.analyse.stats.clustered.mean_of`.
        ci_low, ci_high: two-sided 95 % t interval.
        lower: one-sided 95 % lower limit; below it the mean is not, at a one-sided level of 0.05.
        statistic: t of the hypothesis that the mean is -margin, (estimate + margin) / se.
        p: one-sided p of the hypothesis that the mean is not above -margin.
        p_tost: two one-sided tests (Schuirmann 1987): |mean| < margin.
        n: differences; ``n_clusters``: independent units among them (n without clusters).
        margin: as given.
        verdict: ``superior`` (the two-sided interval lies above 0), else ``non-inferior`` (p < 0.025: that interval
            lies above -margin), else ``not shown``. ``not shown`` is no proof of the opposite.
    """

    estimate: float
    se: float
    df: float
    ci_low: float
    ci_high: float
    lower: float
    statistic: float
    p: float
    p_tost: float
    n: int
    n_clusters: int
    margin: float
    verdict: str


def noninferiority(difference: ArrayLike, margin: float, cluster: ArrayLike | None = None) -> NonInferiority:
    """Test that a mean difference is above ``-margin`` (Piaggio et al. 2012, CONSORT for non-inferiority, JAMA 308).

    The one-sided level is 0.025, so that the verdict can be read off the two-sided 95 % interval (ICH E9, 5.5). An
    interval above 0 also shows superiority; looking at both costs no correction (CPMP/EWP/482/99). With clusters the
    patient is the unit of independence: CR2 standard error, Satterthwaite degrees of freedom. Without them, and with
    clusters of one, every number is that of R's ``t.test``.

    Args:
        difference: shape (n,), finite, new - old in a unit of which more is better. For a distance in mm, of which
            less is better, give old - new.
        margin: largest loss that does not matter, in the same unit, > 0; chosen before the data are seen.
        cluster: shape (n,), the patient of each difference.

    Raises:
        IncompleteDesignError: fewer than three differences or clusters.
        DegenerateDataError: all differences, or the means of all clusters, are the same.
        UserError: not a list of finite numbers, a cluster is missing, or the margin is not positive and finite.
    """
    values, codes = _checked(difference, margin, cluster)
    mean = mean_of(values, codes)
    # The margin tells the size of what is measured: differences of 1e-17 are rounding noise even beside each other.
    if no_variance(mean.se, np.append(values, margin)):
        what = "all differences are the same" if codes.max() + 1 == len(values) else "every cluster has the same mean"
        raise DegenerateDataError(
            f"No variance to test among {len(values)} differences: {what}, {mean.estimate:.6g}. "
            "Report the difference; it has no interval and no p."
        )
    low, high = mean.interval(LEVEL)
    p = mean.p_above(-margin)
    return NonInferiority(
        estimate=mean.estimate,
        se=mean.se,
        df=mean.df,
        ci_low=float(low),
        ci_high=float(high),
        lower=float(mean.interval(2 * LEVEL - 1)[0]),
        statistic=(mean.estimate + margin) / mean.se,
        p=p,
        p_tost=max(p, mean.p_below(margin)),
        n=len(values),
        n_clusters=int(codes.max()) + 1,
        margin=float(margin),
        verdict=_verdict(mean, p),
    )


def _verdict(mean: Mean, p: float) -> str:
    if mean.interval(LEVEL)[0] > 0:
        return "superior"
    return "non-inferior" if p < ALPHA else "not shown"


def _checked(difference: ArrayLike, margin: float, cluster: ArrayLike | None) -> tuple[np.ndarray, np.ndarray]:
    values = np.asarray(difference, float)
    if values.ndim != 1:
        raise UserError(f"difference must be a list of numbers; its shape is {values.shape}.")
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise UserError(f"Differences {some(bad)} (counted from 0) are missing or infinite; leave them out, list them.")
    if not (np.isfinite(margin) and margin > 0):
        raise UserError(f"The margin must be a positive number in the unit of the differences, not {margin}.")
    codes = cluster_codes(cluster, len(values))
    found = len(np.unique(codes))
    if found < FEWEST:
        what = "differences" if cluster is None else "clusters"
        raise IncompleteDesignError(f"Non-inferiority needs at least {FEWEST} {what}; there are {found}.")
    return values, codes
