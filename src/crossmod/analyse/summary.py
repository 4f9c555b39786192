"""Scores of each arm in numbers a reader asks for first."""

import numpy as np
import pandas as pd

from crossmod.analyse.scores import CELL, Plan
from crossmod.analyse.stats.errors import DegenerateDataError, IncompleteDesignError
from crossmod.analyse.stats.resample import bootstrap_ci

METRICS = ["dsc", "hd95_mm", "surface_dsc"]
COLUMNS = [
    *("arm", "strategy", "amount", "subset", "site", "target", "region", "metric", "n", "n_patients", "n_seeds"),
    *("n_undefined", "n_infinite", "mean", "sd", "median", "ci_low", "ci_high", "note"),
]


def summarise(scores: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Mean, spread and interval per arm, site, target, region and metric.

    Seeds are averaged per unit first. Returned columns: the arm's ``strategy``, ``amount`` and ``subset``; ``n`` units
    with a value, of ``n_patients`` patients, over ``n_seeds`` seeds; ``n_undefined`` units left out because reference
    and prediction are both empty (NaN), or the unit is absent, in some seed; ``n_infinite`` units with an infinite distance (one mask empty);
    ``mean``, ``sd`` (n - 1), ``median``; ``ci_low``, ``ci_high``: BCa bootstrap interval of the mean that resamples
    patients. **Where any value is infinite, only median and counts exist**: mean, sd and interval are empty, since
    leaving the failures out would flatter the arm. ``note`` says why a number is missing. Distances in mm.
    """
    arms = plan.arm_table().set_index("arm")
    rows = []
    for (arm, site, target, region), cell in scores.groupby(["arm", *CELL], observed=True):
        labels = {"arm": arm, **arms.loc[arm].to_dict(), "site": site, "target": target, "region": region}
        seeds = cell["seed"].nunique()
        grouped = cell.groupby(["subject", "person"], sort=False)
        units = grouped[METRICS].mean(skipna=False)
        units = units.where(grouped.size() == seeds).reset_index()
        for metric in METRICS:
            rows.append(labels | {"metric": metric, "n_seeds": seeds} | _describe(units, metric, plan))
    return pd.DataFrame(rows, columns=COLUMNS)


def _describe(units: pd.DataFrame, metric: str, plan: Plan) -> dict:
    defined = units[units[metric].notna()]
    values, patients = defined[metric].to_numpy(), defined["person"]
    infinite = int(np.isinf(values).sum())
    found = {
        **{"n": len(values), "n_patients": patients.nunique(), "n_undefined": len(units) - len(values)},
        **{"n_infinite": infinite, "median": np.median(values) if len(values) else np.nan, "note": ""},
    }
    if not len(values):
        return found | {"note": "undefined in every unit: reference and prediction are empty"}
    if infinite:
        return found | {"note": f"infinite in {infinite} of {len(values)} units (one mask empty): see the median"}
    found |= {"mean": values.mean(), "sd": values.std(ddof=1) if len(values) > 1 else np.nan}
    try:
        interval = bootstrap_ci(values, patients, level=plan.confidence, seed=plan.seed)
    except (DegenerateDataError, IncompleteDesignError) as error:
        return found | {"note": f"no interval: {error}"}
    return found | {"ci_low": interval.ci_low, "ci_high": interval.ci_high}
