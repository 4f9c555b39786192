"""The mean of values that come in clusters, such as two kidneys of one patient."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from crossmod.analyse.stats.errors import no_variance


@dataclass(frozen=True)
class Mean:
    """A mean, its standard error (0 where there is only rounding noise), and the degrees of freedom of its t."""

    estimate: float
    se: float
    df: float

    def interval(self, level: float) -> tuple[float, float]:
        """Two-sided confidence limits."""
        half = stats.t.ppf((1 + level) / 2, self.df) * self.se
        return self.estimate - half, self.estimate + half

    def p_below(self, bound: float) -> float:
        """One-sided p of the hypothesis that the mean is not below ``bound``; NaN without variance."""
        return float(stats.t.cdf((self.estimate - bound) / self.se, self.df)) if self.se > 0 else np.nan

    def p_above(self, bound: float) -> float:
        """One-sided p of the hypothesis that the mean is not above ``bound``; NaN without variance."""
        return float(stats.t.sf((self.estimate - bound) / self.se, self.df)) if self.se > 0 else np.nan


def mean_of(values: np.ndarray, codes: np.ndarray) -> Mean:
    """Mean with the CR2 standard error (Bell & McCaffrey 2002) and Satterthwaite degrees of freedom.

    For a mean the CR2 matrices have a closed form: the residual sum of a cluster of k among N values is divided by
    ``sqrt(1 - k / N)``. Clusters of one value give exactly the standard error and n - 1 degrees of freedom of the
    ordinary t-test, so there is no second formula for independent values. Agrees with R's ``clubSandwich``.

    Args:
        values: shape (N,), finite.
        codes: shape (N,), cluster of each value as 0 … G-1, every cluster used, G >= 2.
    """
    size = np.bincount(codes)  # (G,)
    total = len(values)
    sums = np.bincount(codes, weights=values - values.mean())
    scale = 1 / (total * np.sqrt(1 - size / total))
    # Satterthwaite: the matrix a_g a_h (k_g [g = h] - k_g k_h / N), by its trace and squared norm.
    diagonal = scale**2 * (size - size**2 / total)
    cross = scale**2 * size**2 / total
    norm = np.sum(diagonal**2) + np.sum(cross) ** 2 - np.sum(cross**2)
    se = float(np.sqrt(np.sum((scale * sums) ** 2)))
    return Mean(
        estimate=float(values.mean()),
        se=0.0 if no_variance(se, values) else se,
        df=float(np.round(np.sum(diagonal) ** 2 / norm, 9)),  # clusters of one size: G - 1 to the bit
    )


def intraclass(values: np.ndarray, codes: np.ndarray) -> float:
    """Intraclass correlation within clusters by one-way analysis of variance (Fisher 1925), kept in [0, 1].

    0 where no cluster has two values, or where nothing varies.

    Args:
        values: shape (N,), finite.
        codes: shape (N,), cluster of each value as 0 … G-1, every cluster used, G >= 2.
    """
    size = np.bincount(codes)  # (G,)
    total, groups = len(values), len(size)
    if total == groups:
        return 0.0
    mean = np.bincount(codes, weights=values) / size
    within = np.sum((values - mean[codes]) ** 2) / (total - groups)
    between = np.sum(size * (mean - values.mean()) ** 2) / (groups - 1)
    typical = (total - np.sum(size**2) / total) / (groups - 1)
    shared = max(between - within, 0.0) / typical
    return float(shared / (shared + within)) if shared > 0 else 0.0
