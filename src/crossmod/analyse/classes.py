"""The mean score over many classes, with the two intervals that it may have: over classes, and over patients."""

from typing import Any

import pandas as pd

from crossmod.analyse.design import Design
from crossmod.analyse.scores import cells_of

OVER = ("classes", "patients")
NUMBERS = ["group", "over", "metric", "n", "mean", "sd", "ci_low", "ci_high", "note"]


def over_classes(scores: pd.DataFrame, design: Design) -> pd.DataFrame:
    """The mean of the first metric over the classes of a stage, per arm, site and region.

    The two rows of a cell answer different questions. ``over`` classes: the mean of each class over its patients, then
    mean, SD and interval over the classes; ``n`` is how many classes there are. It says how far another class may lie,
    and is what the source study seems to print. ``over`` patients: the mean of each patient over the classes that they
    have, then over patients; ``n`` is how many patients there are. It says how far another sample of patients may lie.
    Both intervals are mean ± t · SD / √n. Where every patient has every class the two means are the same number.

    A class that neither reference nor prediction has is undefined in that patient and left out; one that is predicted
    and not there scores 0. Seeds are averaged per unit first; a unit that lacks a seed is left out.

    # ASSUME: the source study's ± is over its 24 classes: its per-class scores give the half width that it prints.
    """
    metric, arms = design.scored[0], design.arm_table().set_index("arm")
    rows: list[dict[str, Any]] = []
    for group, targets in design.groups.items():
        chosen = scores[scores["target"].isin(targets)]
        for (arm, site, region), cell in cells_of(chosen, ["arm", "site", "region"]):
            labels = {"arm": arm, **arms.loc[arm].to_dict(), "site": site, "region": region, "group": group}
            units = _units(cell, metric)
            for over, key in zip(OVER, ("target", "person"), strict=True):
                found = units.groupby(key, observed=True, sort=False)[metric].mean()
                rows.append(labels | {"over": over, "metric": metric} | _interval(found, design.confidence))
    return pd.DataFrame(rows, columns=["arm", *design.factors.names, "site", "region", *NUMBERS])


def _units(cell: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The score of each class of each patient, seeds averaged; without those that are undefined."""
    grouped = cell.groupby(["target", "person", "subject"], observed=True, sort=False)[metric]
    means = grouped.mean(skipna=False).where(grouped.size() == cell["seed"].nunique())
    return means.dropna().reset_index()


def _interval(values: pd.Series, level: float) -> dict[str, Any]:
    """n, mean, SD and Student's interval of the mean."""
    from statsmodels.stats.weightstats import DescrStatsW  # half a second to import

    if len(values) < 2:
        mean = float(values.mean()) if len(values) else float("nan")
        return {"n": len(values), "mean": mean, "note": "an interval needs two values or more"}
    found = DescrStatsW(values.to_numpy(float))
    low, high = found.tconfint_mean(1 - level)
    return {
        "n": len(values),
        "mean": float(found.mean),
        "sd": float(values.std(ddof=1)),
        "ci_low": float(low),
        "ci_high": float(high),
        "note": "",
    }
