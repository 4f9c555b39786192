"""Repeated-measures analysis of variance with one to three within-subject factors."""

from collections.abc import Sequence
from functools import reduce

import numpy as np
import pandas as pd
from scipy import linalg, special, stats

from crossmod.analyse.stats.cells import Cells, complete_cells, effects_of
from crossmod.analyse.stats.errors import DegenerateDataError, no_variance, some
from crossmod.job import UserError

COLUMNS = [
    "effect",
    "ss_effect",
    "ss_error",
    "df1",
    "df2",
    "F",
    "p",
    "log_p",
    "epsilon_gg",
    "p_gg",
    "epsilon_hf",
    "p_hf",
    "mauchly_w",
    "mauchly_p",
    "eta_sq_generalised",
    "eta_sq_partial",
]


def rm_anova(
    table: pd.DataFrame, outcome: str, subject: str | Sequence[str], within: str | Sequence[str]
) -> pd.DataFrame:
    """Repeated-measures ANOVA of complete subjects, with both sphericity corrections.

    Every effect is a set of orthonormal contrasts (Kronecker products of Helmert and averaging vectors) of each
    subject's cells; its sums of squares, epsilons and Mauchly's test are those of the contrast scores. One formula
    thus serves one, two and three factors. pingouin stops at two factors and leaves out columns, and statsmodels'
    ``AnovaRM`` knows no correction; where they apply, both give the same numbers (tested).

    Args:
        table: one row per subject and cell. Rows in any order.
        outcome: numeric column.
        subject: column, or columns that only together name a subject.
        within: one to three factor columns. Ordered categories keep their order, numbers sort as numbers.

    Returns:
        One row per effect: main effects first, then interactions (``strategy:amount``). Columns: ``effect``,
        ``ss_effect``, ``ss_error``, ``df1``, ``df2``, ``F``, ``p``, ``log_p`` (natural logarithm, finite where p
        underflows to 0), ``epsilon_gg``, ``p_gg`` (Greenhouse & Geisser 1959), ``epsilon_hf`` (Huynh & Feldt 1976,
        at most 1), ``p_hf``, ``mauchly_w``, ``mauchly_p`` (as R's ``car``: the number of cells enters the
        second-order term; empty for one degree of freedom or too few subjects), ``eta_sq_generalised``
        (Olejnik & Algina 2003), ``eta_sq_partial``. ``.attrs["n_subjects"]`` counts the complete subjects,
        ``.attrs["dropped_subjects"]`` lists the others.

    Raises:
        IncompleteDesignError: duplicate keys or fewer than three complete subjects.
        DegenerateDataError: an effect without error variance.
        UserError: columns absent or of the wrong kind, or not one to three factors.
    """
    factors = [within] if isinstance(within, str) else list(within)
    if not 1 <= len(factors) <= 3:
        raise UserError(f"One to three within-subject factors can be tested, not {len(factors)}: {factors}.")
    return anova_of(complete_cells(table, outcome, subject, factors))


def anova_of(cells: Cells) -> pd.DataFrame:
    """The table of :func:`rm_anova` from complete cells."""
    flat = cells.values.reshape(len(cells.subjects), -1)  # (subjects, cells)
    rows = [_effect(names, cells, flat) for names in effects_of(cells)]
    ss_subject = flat.shape[1] * np.sum((flat.mean(axis=1) - flat.mean()) ** 2)
    residual = ss_subject + sum(row["ss_error"] for row in rows)
    for row in rows:
        row["eta_sq_generalised"] = row["ss_effect"] / (row["ss_effect"] + residual)
        row["eta_sq_partial"] = row["ss_effect"] / (row["ss_effect"] + row["ss_error"])
    result = pd.DataFrame(rows, columns=COLUMNS)
    result.attrs = {"n_subjects": len(cells.subjects), "dropped_subjects": list(cells.dropped)}
    return result


def _effect(names: Sequence[str], cells: Cells, flat: np.ndarray) -> dict:
    """Sums of squares, F and sphericity of one effect."""
    scores = flat @ contrasts_of(names, cells.levels)  # (subjects, df1)
    n, df1 = scores.shape
    df2 = df1 * (n - 1)
    ss_effect = n * np.sum(scores.mean(axis=0) ** 2)
    centred = scores - scores.mean(axis=0)
    ss_error = np.sum(centred**2)
    if no_variance(np.sqrt(ss_error / df2), flat):
        levels = " × ".join(f"{name} ({some(cells.levels[name])})" for name in names)
        raise DegenerateDataError(
            f"No error variance in the effect of {levels} over {n} subjects ({some(cells.subjects)}): the arms "
            "differ by the same amount in every subject, or not at all. Report the difference; it has no F."
        )
    F = (ss_effect / df1) / (ss_error / df2)
    roots = np.clip(linalg.eigvalsh(centred.T @ centred), 0, None)
    gg = 1.0 if df1 == 1 else roots.sum() ** 2 / (df1 * np.sum(roots**2))
    hf = _huynh_feldt(gg, n, df1)
    w, mauchly_p = _mauchly(roots, n, flat.shape[1])
    return {
        "effect": ":".join(names),
        "ss_effect": ss_effect,
        "ss_error": ss_error,
        "df1": df1,
        "df2": df2,
        "F": F,
        "p": stats.f.sf(F, df1, df2),
        "log_p": log_f_sf(F, df1, df2),
        "epsilon_gg": gg,
        "p_gg": stats.f.sf(F, df1 * gg, df2 * gg),
        "epsilon_hf": hf,
        "p_hf": stats.f.sf(F, df1 * hf, df2 * hf),
        "mauchly_w": w,
        "mauchly_p": mauchly_p,
    }


def contrasts_of(names: Sequence[str], levels: dict[str, list]) -> np.ndarray:
    """Orthonormal contrasts of an effect, shape (cells, degrees of freedom)."""
    parts = []
    for factor, found in levels.items():
        k = len(found)
        parts.append(linalg.helmert(k).T if factor in names else np.full((k, 1), 1 / np.sqrt(k)))
    return reduce(np.kron, parts)


def _huynh_feldt(gg: float, n: int, df1: int) -> float:
    denominator = df1 * (n - 1 - df1 * gg)
    if df1 == 1 or denominator <= 1e-9 * df1 * n:
        return 1.0
    return min(1.0, (n * df1 * gg - 2) / denominator)


def _mauchly(roots: np.ndarray, n: int, cells: int) -> tuple[float, float]:
    """Mauchly's W and its p with the second-order term, as R's ``mauchly.test`` (Anderson 2003, 10.7.4)."""
    d, f = len(roots), n - 1
    if d < 2:
        return np.nan, np.nan
    if f < d or roots[0] <= 1e-13 * roots[-1]:
        return 0.0, np.nan  # singular: the test does not exist
    log_w = np.sum(np.log(roots)) - d * np.log(roots.sum() / d)
    rho = 1 - (2 * d**2 + d + 2) / (6 * d * f)
    df, z = d * (d + 1) / 2 - 1, -f * rho * log_w
    # R takes the number of cells where Anderson has d; kept, so that the numbers agree.
    second = (d + 2) * (d - 1) * (d - 2) * (2 * d**3 + 6 * d**2 + 3 * cells + 2) / (288 * (f * d * rho) ** 2)
    first = stats.chi2.sf(z, df)
    p = first + second * (stats.chi2.sf(z, df + 4) - first)
    return float(np.exp(log_w)), float(np.clip(p, 0, 1))


def log_f_sf(F: float, df1: float, df2: float) -> float:
    """Natural logarithm of the upper tail of F, finite where the tail itself underflows.

    The tail is the incomplete beta function I_x(df2/2, df1/2) at x = df2 / (df2 + df1 F), taken by its
    hypergeometric series (NIST DLMF 8.17.8) once scipy's value gets close to the smallest double.
    """
    p = stats.f.sf(F, df1, df2)
    if p > 1e-290:
        return float(stats.f.logsf(F, df1, df2)) if p < 0.5 else float(np.log1p(-stats.f.cdf(F, df1, df2)))
    a, b, x = df2 / 2, df1 / 2, df2 / (df2 + df1 * F)
    series = np.log(special.hyp2f1(a + b, 1, a + 1, x))
    return float(a * np.log(x) + b * np.log1p(-x) - np.log(a) - special.betaln(a, b) + series)
