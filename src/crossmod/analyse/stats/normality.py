"""Whether the scores that the parametric tests take for normal look normal."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from crossmod.analyse.stats.anova import contrasts_of
from crossmod.analyse.stats.cells import Cells, effects_of
from crossmod.analyse.stats.errors import no_variance, some
from crossmod.job import UserError

COLUMNS = ["effect", "normality_test", "normality_statistic", "normality_p"]
FEWEST = 3
MOST_SHAPIRO = 5000


def normality(scores: ArrayLike, magnitude: float | None = None) -> tuple[str, float, float]:
    """Test of normality: Shapiro & Wilk for one variable, Henze & Zirkler for several together.

    Shapiro & Wilk (1965, Biometrika 52:591), by scipy; Henze & Zirkler (1990, Communications in Statistics 19:3595),
    by pingouin with its lognormal p, which is conservative below some 15 rows. Both do not change when the scores are
    shifted, scaled or, for several variables, mixed linearly; they are therefore standardised first, which keeps
    rounding out. A small p speaks against normality; a large one with few rows says little.

    Args:
        scores: shape (n, d), or (n,) for one variable; finite.
        magnitude: largest absolute outcome; a spread below 1e-12 of it is rounding noise. Without it, the largest
            absolute score.

    Returns:
        (``Shapiro-Wilk``, W, p) for d = 1, else (``Henze-Zirkler``, HZ, p). Both numbers are NaN where no test exists:
        fewer than three rows or more than 5000 for d = 1; for more variables fewer than d + 2 rows (d + 1 always form
        the same simplex once standardised); a variable that is constant, or follows from the others, up to noise.

    Raises:
        UserError: not a list or table of numbers, or a score is missing or infinite.
    """
    x = _checked(scores)
    n, d = x.shape
    name = "Shapiro-Wilk" if d == 1 else "Henze-Zirkler"
    if n < (FEWEST if d == 1 else d + 2) or (d == 1 and n > MOST_SHAPIRO):
        return name, np.nan, np.nan
    centred = x - x.mean(axis=0)
    left, spread, _ = np.linalg.svd(centred, full_matrices=False)  # (n, d), (d,)
    if no_variance(spread[-1] / np.sqrt(n - 1), x if magnitude is None else np.array([magnitude])):
        return name, np.nan, np.nan
    standardised = left * np.sqrt(n - 1)
    if d == 1:
        result = stats.shapiro(standardised[:, 0])
        return name, float(result.statistic), float(result.pvalue)
    from pingouin import multivariate_normality

    result = multivariate_normality(standardised)
    return name, float(result.hz), float(result.pval)


def normality_of_effects(cells: Cells) -> pd.DataFrame:
    """Normality of exactly the variables that the analysis of variance of each effect takes for normal.

    These are a subject's scores on the orthonormal contrasts of the effect, one variable per degree of freedom; no
    choice of contrasts changes the result. Normal cells are more than the test of an effect needs.

    Returns:
        One row per effect in the order of :func:`crossmod.analyse.stats.rm_anova`: ``effect``, ``normality_test``,
        ``normality_statistic``, ``normality_p``; both numbers empty where :func:`normality` finds no test.
    """
    flat = cells.values.reshape(len(cells.subjects), -1)  # (subjects, cells)
    magnitude = np.abs(flat).max()
    rows = [
        (":".join(names), *normality(flat @ contrasts_of(names, cells.levels), magnitude))
        for names in effects_of(cells)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def skewness(difference: ArrayLike, magnitude: float | None = None) -> float:
    """Skewness of paired differences, corrected for bias (G1 of Joanes & Gill 1998); 0 for symmetric ones.

    The signed-rank test assumes symmetric differences.

    Args:
        difference: shape (n,), finite.
        magnitude: as for :func:`normality`.

    Returns:
        NaN for fewer than three differences, or differences that are constant up to rounding noise.

    Raises:
        UserError: not a list of numbers, or a difference is missing or infinite.
    """
    x = _checked(difference)
    if x.shape[1] != 1:
        raise UserError(f"Skewness is that of one list of differences; the shape given is {x.shape}.")
    x = x[:, 0]
    if len(x) < FEWEST or no_variance(x.std(ddof=1), x if magnitude is None else np.array([magnitude])):
        return np.nan
    return float(stats.skew(x, bias=False))


def _checked(scores: ArrayLike) -> np.ndarray:
    """Finite numbers of shape (n, d), d >= 1."""
    x = np.asarray(scores, float)
    if x.ndim == 1:
        x = x[:, None]
    if x.ndim != 2 or x.shape[1] == 0:
        raise UserError(f"Scores must have the shape (subjects, variables); the shape given is {x.shape}.")
    bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
    if len(bad):
        raise UserError(f"Scores {some(bad)} (counted from 0) are missing or infinite; leave them out and list them.")
    return x
