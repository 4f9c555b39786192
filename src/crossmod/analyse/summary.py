"""Scores of each arm in numbers a reader asks for first."""

import numpy as np
import pandas as pd

from crossmod.analyse.declared import CELL, UNDEFINED
from crossmod.analyse.design import Design
from crossmod.analyse.scores import cells_of, found_alone
from crossmod.analyse.stats.errors import DegenerateDataError, IncompleteDesignError
from crossmod.analyse.stats.resample import bootstrap_ci

# Columns after the arm, its levels and the cell.
NUMBERS = [
    "metric",
    "n",
    "n_patients",
    "n_seeds",
    "n_undefined",
    "n_infinite",
    "mean",
    "sd",
    "median",
    "ci_low",
    "ci_high",
    "note",
]
# Columns that follow where units are components.
DETECTED = ("n_missed", "n_alone")


def summarise(scores: pd.DataFrame, design: Design) -> pd.DataFrame:
    """Mean, spread and interval per arm, site, target, region and metric.

    Seeds are averaged per unit first. Returned columns: the arm's level of every factor; ``n`` units with a value, of
    ``n_patients`` patients, over ``n_seeds`` seeds; ``n_undefined`` units left out because the metric is undefined
    (NaN: reference and prediction are both empty), or the unit is absent, in some seed; ``n_infinite`` units with an
    infinite distance (one mask empty); ``mean``, ``sd`` (n - 1), ``median``; ``ci_low``, ``ci_high``: BCa bootstrap
    interval of the mean that resamples patients. **Where any value is infinite, only median and counts exist**: mean,
    sd and interval are empty, since leaving the failures out would flatter the arm. ``note`` says why a number is
    missing. Distances in mm.

    Where units are components, the numbers are those of the reference's components, and ``n_missed`` counts those of
    them that no prediction matches, ``n_alone`` the components that only a model has found, over all seeds.
    """
    alone, counted = found_alone(scores, design), list(DETECTED) if "matched" in scores else []
    arms = design.arm_table().set_index("arm")
    rows = []
    for (arm, site, target, region), cell in cells_of(scores, ["arm", *CELL]):
        labels = {"arm": arm, **arms.loc[arm].to_dict(), "site": site, "target": target, "region": region}
        seeds = cell["seed"].nunique()
        if counted:
            labels |= _detected(cell, alone.loc[cell.index])
        cell = cell[~alone.loc[cell.index]]
        grouped = cell.groupby(["subject", "person"], sort=False)
        units = grouped[design.scored].mean(skipna=False)
        units = units.where(grouped.size() == seeds).reset_index()
        for metric in design.scored:
            rows.append(labels | {"metric": metric, "n_seeds": seeds} | _describe(units, metric, design))
    table = pd.DataFrame(rows, columns=["arm", *design.factors.names, *CELL, *NUMBERS, *counted])
    return table.astype(dict.fromkeys(counted, "Int64"))


def _detected(cell: pd.DataFrame, alone: pd.Series) -> dict:
    """How many components of the reference were missed, and how many the models alone have found; empty elsewhere."""
    if (cell["matched"] == "").all():
        return {}
    return {"n_missed": int((~alone & (cell["matched"] == "False")).sum()), "n_alone": int(alone.sum())}


def _describe(units: pd.DataFrame, metric: str, design: Design) -> dict:
    defined = units[units[metric].notna()]
    values, patients = defined[metric].to_numpy(), defined["person"]
    infinite = int(np.isinf(values).sum())
    found = {
        "n": len(values),
        "n_patients": patients.nunique(),
        "n_undefined": len(units) - len(values),
        "n_infinite": infinite,
        "median": np.median(values) if len(values) else np.nan,
        "note": "",
    }
    if units.empty:
        return found | {"note": "the reference has no unit here"}
    if not len(values):
        why = UNDEFINED.get(metric, "reference and prediction are empty")
        return found | {"note": f"undefined in every unit: {why}"}
    if infinite:
        return found | {"note": f"infinite in {infinite} of {len(values)} units (one mask empty): see the median"}
    found |= {"mean": values.mean(), "sd": values.std(ddof=1) if len(values) > 1 else np.nan}
    try:
        interval = bootstrap_ci(values, patients, level=design.confidence, seed=design.seed)
    except (DegenerateDataError, IncompleteDesignError) as error:
        return found | {"note": f"no interval: {error}"}
    return found | {"ci_low": interval.ci_low, "ci_high": interval.ci_high}
