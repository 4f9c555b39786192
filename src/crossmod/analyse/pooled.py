"""Scores pooled over all voxels of an arm, beside their means per unit: two kinds of figure under one name.

In a mean every image, slice or patch weighs the same, however little of it is of the target. Pooled, every millilitre
does: the volumes of all units are added up before the score is taken. Papers print either, and often do not say which.
"""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from crossmod.analyse.declared import CELL, UNDEFINED
from crossmod.analyse.design import Design
from crossmod.analyse.scores import cells_of
from crossmod.analyse.stats.errors import DegenerateDataError, IncompleteDesignError
from crossmod.analyse.stats.resample import ratio_ci

# The score that follows from the two means, as it stands beside the mean of the score itself.
F1_OF_MEANS = "f1_of_means"
TRUE, FOUND, SHARED, EXTENT = "volume_reference_ml", "volume_predicted_ml", "shared_ml", "extent_ml"
# Columns after the arm, its levels and the cell.
NUMBERS = [
    "metric",
    "n",
    "n_patients",
    "n_left_out",
    "n_per_image",
    "pooled",
    "pooled_low",
    "pooled_high",
    "per_image",
    "per_image_low",
    "per_image_high",
    "note",
]


def pooled_of(scores: pd.DataFrame, summary: pd.DataFrame, design: Design) -> pd.DataFrame:
    """Each score pooled over the voxels of all units, and its mean per unit, by arm, site, target and region.

    Seeds are averaged per unit first: of a pooled score its volumes, so that the masks of further seeds are further
    voxels. Returned columns: the arm's level of every factor; ``n`` units that were pooled, of ``n_patients`` patients;
    ``n_left_out`` units that were not: both masks are empty in every seed (nothing was asked; accuracy takes them), or
    the unit is absent in some seed. ``pooled`` has a BCa bootstrap interval that resamples patients, and takes both
    sums anew in each resample. ``per_image`` with its interval is the mean that
    :func:`crossmod.analyse.summary.summarise` gives, over ``n_per_image`` units; these are fewer than ``n`` where both
    masks are empty in some seeds alone. An arm that finds nothing has a pooled precision of 0, as in a single unit.
    ``note`` says why a number is missing.

    The row ``f1_of_means`` holds 2PR / (P + R), of the two means and of the two pooled scores. Pooled it is the F1
    score. Of the means it is not the mean F1 score: whoever prints both as one score mixes two kinds of figure.

    Components have no rows: whatever finds no partner would be missed and invented at once, and its voxels counted
    twice.

    # ASSUME: pooled by volume, so a voxel of a coarser scan counts for more; on one grid it is by voxels.

    Args:
        scores: of :func:`crossmod.analyse.scores.read_scores`, with the volume that both masks share.
        summary: of these scores.
        design: of the study.
    """
    means = summary.set_index(["arm", *CELL, "metric"])
    arms = design.arm_table().set_index("arm")
    rows: list[dict[str, Any]] = []
    for (arm, *cell), found in cells_of(scores[~scores["unit"].isin(design.components)], ["arm", *CELL]):
        labels = {"arm": arm, **arms.loc[arm].to_dict(), **dict(zip(CELL, cell, strict=True))}
        units, count = _volumes(found)
        described = [
            {"metric": metric} | _pooled(units, count, metric, design) | _per_image(means.loc[(arm, *cell, metric)])
            for metric in design.pooled
        ]
        rows += [labels | one for one in [*map(_noted, described), *_of_means(described)]]
    return pd.DataFrame(rows, columns=["arm", *design.factors.names, *CELL, *NUMBERS])


def ratio_of(volumes: pd.DataFrame, metric: str) -> tuple[pd.Series, pd.Series]:
    """What a score counts in each unit and what it counts that of, in ml: their sums make the pooled score."""
    true, found, shared = volumes[TRUE], volumes[FOUND], volumes[SHARED]
    if metric == "accuracy":
        return volumes[EXTENT] - (true + found - 2 * shared), volumes[EXTENT]
    return {
        "precision": (shared, found),
        "recall": (shared, true),
        "iou": (shared, true + found - shared),
        "dsc": (2 * shared, true + found),
        "f1": (2 * shared, true + found),
    }[metric]


def _volumes(cell: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The volumes of each unit that every seed has, averaged over seeds, and how many units there are in all."""
    grouped = cell.groupby(["subject", "person"], sort=False)
    units = grouped[[TRUE, FOUND, SHARED, *([EXTENT] if EXTENT in cell else [])]].mean(skipna=False)
    return units[grouped.size() == cell["seed"].nunique()].reset_index(), grouped.ngroups


def _pooled(units: pd.DataFrame, count: int, metric: str, design: Design) -> dict[str, Any]:
    """The pooled score of a cell with its interval and its counts."""
    part, whole = ratio_of(units, metric)
    asked = part.notna() & whole.notna() & ((metric == "accuracy") | (units[TRUE] + units[FOUND] > 0))
    part, whole, person = part[asked], whole[asked], units.loc[asked, "person"]
    found = {"n": len(part), "n_patients": person.nunique(), "n_left_out": count - len(part), "note": ""}
    if part.empty:
        why = UNDEFINED.get(metric, "reference and prediction are empty")
        return found | {"note": f"undefined in every unit: {why}"}
    found["pooled"] = part.sum() / whole.sum() if whole.sum() > 0 else 0.0
    if not whole.sum() > 0:
        return found | {"note": "no interval: nothing to divide by, which counts as 0"}
    try:
        interval = ratio_ci(part, whole, person, level=design.confidence, seed=design.seed)
    except (DegenerateDataError, IncompleteDesignError) as error:
        return found | {"note": f"no interval: {error}"}
    return found | {"pooled_low": interval.ci_low, "pooled_high": interval.ci_high}


def _per_image(row: pd.Series) -> dict[str, Any]:
    """The mean per unit, as the table of scores has it."""
    numbers = {"n_per_image": row["n"], "per_image_note": row["note"]}
    return numbers | {"per_image": row["mean"], "per_image_low": row["ci_low"], "per_image_high": row["ci_high"]}


def _noted(row: dict[str, Any]) -> dict[str, Any]:
    """The row with one note that speaks of both kinds."""
    parts = [row["note"], f"per image: {row['per_image_note']}" if row["per_image_note"] else ""]
    if row["n_per_image"] < row["n"]:
        parts.append(f"pooled units without a score of their own in some seed: {row['n'] - row['n_per_image']}")
    return row | {"note": "; ".join(filter(None, parts))}


def _of_means(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The F1 score that follows from precision and recall, where a study has both."""
    found = {row["metric"]: row for row in rows}
    if not {"precision", "recall"} <= set(found):
        return
    precision, recall = found["precision"], found["recall"]
    row = {key: precision[key] for key in ("n", "n_patients", "n_left_out", "n_per_image")}
    for kind in ("pooled", "per_image"):
        row[kind] = _harmonic(*(one.get(kind, float("nan")) for one in (precision, recall)))
    yield row | {"metric": F1_OF_MEANS, "note": "no interval: it follows from precision and recall"}


def _harmonic(a: float, b: float) -> float:
    """The harmonic mean; 0 of two zeros."""
    return 0.0 if a == b == 0 else 2 * a * b / (a + b)
