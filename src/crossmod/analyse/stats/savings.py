"""How many annotated patients the assisting modality saved: two learning curves read at the same height."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from crossmod.analyse.stats.errors import DegenerateDataError, IncompleteDesignError, no_variance, some
from crossmod.analyse.stats.reliability import cluster_codes
from crossmod.job import UserError

COLUMNS = [
    "amount",
    "mean_assisted",
    "equivalent_unassisted",
    "saved",
    "saved_fraction",
    "ci_low",
    "ci_high",
    "extrapolates",
    "note",
]
NOTES = (
    "no number: the unassisted curve is too flat to reach this score",
    "no interval: the unassisted curve does not rise without one of the subjects",
    "no interval: leaving out a subject changes nothing",
    "no interval: the unassisted curve is so flat that a limit is beyond any number",
)
FEWEST = 3
ROUNDING = 1e-9
LARGEST_LOG = 700.0  # about the largest of which a float holds the exponential


@dataclass(frozen=True)
class _Curve:
    """Complete scores of one curve: amounts ascending, shape (m,); values of shape (subjects, m)."""

    amounts: np.ndarray
    values: np.ndarray


def annotation_savings(
    curve_a: pd.DataFrame, curve_b: pd.DataFrame, cluster: ArrayLike | None = None, level: float = 0.95
) -> pd.DataFrame:
    """Annotated patients that training without the assisting modality needs to score as well as training with it.

    The unassisted curve is mean score = a + b ln(amount), least squares on the mean scores of its amounts; it is
    solved for the mean score of each assisted amount. Its interval is a jackknife (Tukey 1958) over the test subjects
    on the log scale: each is left out of both curves at once, and t with (subjects - 1) degrees of freedom is applied
    to the jackknife standard error of ln(equivalent). It tells of the test subjects' chance, not of another draw of
    training patients or another seed.

    Args:
        curve_a: scores of the assisted curve, one row per test subject (index) and one column per amount of annotated
            training patients, as ``table.pivot(index="case", columns="amount", values="dsc")`` makes from a tidy table.
            Amount 0 (the assisting modality alone) is welcome.
        curve_b: the unassisted curve: alike, over the same subjects; at least two amounts, all > 0.
        cluster: the patient of each row of ``curve_a``; whole patients are then left out, and patients - 1 are the
            degrees of freedom. Means still weigh subjects alike.
        level: confidence, in (0, 1).

    Returns:
        One row per assisted amount, ascending: ``amount``; ``mean_assisted``; ``equivalent_unassisted``, the amount
        the unassisted curve needs for the same mean; ``saved`` = equivalent - amount (negative where the assisting
        modality costs annotations); ``saved_fraction`` = saved / equivalent; ``ci_low``, ``ci_high`` of
        ``equivalent_unassisted`` (less ``amount``, they are those of ``saved``); ``extrapolates``, whether the
        equivalent lies outside the amounts the curve was fitted on; ``note``, why numbers are missing: without one
        of the subjects the curve no longer rises, leaving out changes nothing, or the curve is so flat that the
        equivalent, or a limit, is beyond any number. ``.attrs`` holds ``intercept`` and
        ``slope`` (a and b), ``n_subjects`` and ``dropped_subjects``, those with a gap in either table, sorted.

    Raises:
        IncompleteDesignError: a subject or amount given twice, fewer than three complete subjects (or patients), or
            fewer than two unassisted amounts.
        DegenerateDataError: the unassisted curve is flat or falls, so that it reaches no other score.
        UserError: amounts that are not positive numbers, infinite scores, clusters of another length, or a level
            outside (0, 1).
    """
    if not 0 < level < 1:
        raise UserError(f"The confidence level lies between 0 and 1, not at {level}.")
    upper, lower = _checked(curve_a, "curve_a", zero=True), _checked(curve_b, "curve_b", zero=False)
    if lower.shape[1] < 2:
        raise IncompleteDesignError(f"A curve needs two amounts; curve_b has {some(lower.columns) or 'none'}.")
    codes = cluster_codes(cluster, len(upper))
    upper, lower, codes, dropped = _complete(upper, lower, codes, cluster is not None)
    assisted, unassisted = (_Curve(part.columns.to_numpy(float), part.to_numpy(float)) for part in (upper, lower))
    intercept, slope = (float(v[0]) for v in _fit(unassisted, np.ones((1, len(upper)))))
    _refuse_flat(unassisted, slope)
    result = _table(assisted, unassisted, codes, slope, level)
    result.attrs = {
        "intercept": intercept,
        "slope": slope,
        "n_subjects": len(upper),
        "dropped_subjects": dropped,
    }
    return result


def _checked(table: pd.DataFrame, name: str, zero: bool) -> pd.DataFrame:
    """The table with its amounts as ascending numbers and its scores as floats."""
    amounts = pd.to_numeric(pd.Series(table.columns, dtype=object), errors="coerce").to_numpy(float)
    good = np.isfinite(amounts) & ((amounts >= 0) if zero else (amounts > 0))
    if not good.all():
        wanted = "numbers of at least 0" if zero else "numbers above 0, which has no logarithm"
        raise UserError(
            f"Columns {some(map(repr, table.columns[~good]))} of {name} are not amounts ({wanted}); one column per "
            "amount and the subjects as index are needed."
        )
    for what, labels in (("subjects", table.index), ("amounts", pd.Index(amounts))):
        if labels.has_duplicates:
            twice = labels[labels.duplicated()].unique()
            raise IncompleteDesignError(f"{name} has {what} given twice: {some(twice)}. One row per subject is needed.")
    try:
        values = table.astype(float)
    except (TypeError, ValueError) as error:
        raise UserError(f"Scores of {name} must be numbers: {error}.") from error
    infinite = np.isinf(values.to_numpy()).any(axis=1)
    if infinite.any():
        raise UserError(f"Scores of {name} are infinite for subjects {some(values.index[infinite])}: no mean exists.")
    values.columns = amounts
    return values.sort_index(axis=1)


def _complete(
    upper: pd.DataFrame, lower: pd.DataFrame, codes: np.ndarray, clustered: bool
) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray, list]:
    """Both tables over the subjects without a gap, the clusters of these from 0, and who is left out."""
    lower_too = lower.reindex(upper.index)
    whole = (upper.notna().all(axis=1) & lower_too.notna().all(axis=1)).to_numpy()
    absent = lower.index.difference(upper.index, sort=False)
    dropped = sorted([*upper.index[~whole].tolist(), *absent.tolist()], key=str)
    kept = pd.factorize(codes[whole])[0]
    found = len(np.unique(kept))
    if found < FEWEST:
        what = "clusters" if clustered else "subjects"
        gaps = f" Incomplete: {some(dropped)}." if dropped else ""
        raise IncompleteDesignError(f"Both curves need at least {FEWEST} complete {what}; there are {found}.{gaps}")
    return upper[whole], lower_too[whole], kept, dropped


def _fit(curve: _Curve, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Intercepts and slopes of the mean score against ln(amount), (rows, subjects) of weights → (rows,) each."""
    means = weights @ curve.values / weights.sum(axis=1, keepdims=True)  # (rows, amounts)
    x = np.log(curve.amounts)
    centred = x - x.mean()
    slope = means @ centred / np.sum(centred**2)
    return means.mean(axis=1) - slope * x.mean(), slope


def _rises(curve: _Curve, slope: np.ndarray) -> np.ndarray:
    """Whether a slope, shape (rows,), lifts the curve by more than rounding noise."""
    span = np.log(curve.amounts[-1] / curve.amounts[0])
    return np.array([not no_variance(b * span, curve.values) for b in slope])


def _refuse_flat(curve: _Curve, slope: float) -> None:
    if _rises(curve, np.array([slope])).all():
        return
    means = zip(curve.amounts, curve.values.mean(axis=0), strict=True)
    raise DegenerateDataError(
        "The unassisted curve does not rise with the amount "
        f"(mean score {some(f'{m:.6g} at {a:g}' for a, m in means)}): "
        "no amount of it equals another score. Report the difference of the means at each amount instead."
    )


def _log_equivalents(upper: _Curve, lower: _Curve, weights: np.ndarray) -> np.ndarray:
    """ln of the unassisted amount with the mean of each assisted one, (rows, amounts); NaN where the curve is flat."""
    intercept, slope = _fit(lower, weights)
    means = weights @ upper.values / weights.sum(axis=1, keepdims=True)
    rising = np.where(_rises(lower, slope), slope, np.nan)
    return (means - intercept[:, None]) / rising[:, None]


def _table(upper: _Curve, lower: _Curve, codes: np.ndarray, slope: float, level: float) -> pd.DataFrame:
    groups = int(codes.max()) + 1
    log = _log_equivalents(upper, lower, np.ones((1, len(codes))))[0]
    without = np.arange(groups)[:, None] != codes  # (groups, subjects): all but one
    jackknife = _log_equivalents(upper, lower, without.astype(float))
    se = np.sqrt((groups - 1) / groups * np.sum((jackknife - jackknife.mean(axis=0)) ** 2, axis=0))
    half = stats.t.ppf((1 + level) / 2, groups - 1) * se
    still = np.array([no_variance(s * slope, upper.values) for s in se])  # in the unit of the score
    falls = np.isnan(jackknife).any(axis=0)
    far, vast = np.abs(log) > LARGEST_LOG, np.abs(log) + half > LARGEST_LOG
    log, half = np.where(far, np.nan, log), np.where(still | vast, np.nan, half)
    equivalent, low, high = np.exp(log), np.exp(log - half), np.exp(log + half)
    first, last = lower.amounts[0] * (1 - ROUNDING), lower.amounts[-1] * (1 + ROUNDING)
    inside = (equivalent >= first) & (equivalent <= last)
    notes = np.select([far, falls, still, vast], NOTES, "")
    columns = {
        "amount": upper.amounts,
        "mean_assisted": upper.values.mean(axis=0),
        "equivalent_unassisted": equivalent,
        "saved": equivalent - upper.amounts,
        "saved_fraction": 1 - upper.amounts / equivalent,
        "ci_low": low,
        "ci_high": high,
        "extrapolates": ~inside,
        "note": notes,
    }
    return pd.DataFrame(columns, columns=COLUMNS)
