"""Tables of pooled scores beside means per unit, and in a sentence where the two differ."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from crossmod.analyse.pooled import F1_OF_MEANS
from crossmod.report.columns import in_regions
from crossmod.report.results import Results
from crossmod.report.rivals import level_title, rivals_of
from crossmod.report.rows import filled, highest, rows_of
from crossmod.report.tables import Cell, Table, number, span
from crossmod.report.words import END_TO_END, as_words, capital, metric_name

# ASSUME: scores are printed and compared to two decimals, so a hundredth is a difference that a reader sees.
NOTABLE = 0.01
PIECES = ("plane", "tile")


@dataclass(frozen=True)
class Shown:
    """The rows of one table.

    Attributes:
        target: of all rows.
        arms: title → arm, side by side.
        chosen: how these arms were chosen, where it was by their scores; else empty.
        rows: of the table ``pooled``, of these arms and this target, end to end.
    """

    target: str
    arms: dict[str, str]
    chosen: str
    rows: pd.DataFrame


def tables_of(results: Results) -> list[Table]:
    """One table for each target: the levels of the contrast, or without one the best arm."""
    return [_table(results, one) for one in _shown(results)]


def every_arm(results: Results) -> list[Table]:
    """The same of all arms, where there are more of them than are shown."""
    shown = _shown(results)
    arms = {arm: arm for arm in results.arms}
    if all(set(one.arms.values()) == set(arms) for one in shown):
        return []
    return [_table(results, Shown(one.target, arms, "", _rows(results, one.target))) for one in shown]


def sentences(results: Results) -> list[str]:
    """For each table where the two kinds of figure differ, and what becomes of the F1 score."""
    return [
        f"{results.words.target(one.target)}: {_differ(results, one)}{_f1(results, one)}" for one in _shown(results)
    ]


def _rows(results: Results, target: str) -> pd.DataFrame:
    table = in_regions(results.table("pooled"), END_TO_END)
    return table[table["target"] == target]


def _shown(results: Results) -> list[Shown]:
    """What is compared, target by target; a target in components has no rows."""
    found = []
    for target in results.targets:
        rows = _rows(results, target)
        if rows.empty:
            continue
        arms, chosen = _contrasted(results), ""
        if not arms:
            arms, chosen = _best(results, rows)
        found.append(Shown(target, arms, chosen, rows[rows["arm"].isin(arms.values())]))
    return [one for one in found if len(one.rows)]


def _contrasted(results: Results) -> dict[str, str]:
    """Title → arm of the two levels of the contrast, as a user would deploy them; empty without a contrast."""
    contrast = results.words.contrast
    if not contrast or contrast["factor"] not in results.factors:
        return {}
    deployed = set(results.deployed["arm"])
    groups = [one for one in rivals_of(results, contrast["factor"], results.arms) if deployed & {*one.arms.values()}]
    return {
        ", ".join(filter(None, (level_title(results, one, contrast[key]), one.title))): one.arms[contrast[key]]
        for one in groups
        for key in "ba"
        if contrast[key] in one.arms
    }


def _best(results: Results, rows: pd.DataFrame) -> tuple[dict[str, str], str]:
    """The arm with the highest mean of a target at any site, and that it was chosen by these scores."""
    known = rows[(rows["metric"] == results.metric) & rows["per_image"].notna()].reset_index(drop=True)
    if known.empty:
        return {results.arms[0]: results.arms[0]}, ""
    arm, count = str(highest(known, "per_image")["arm"]), known["arm"].nunique()
    if count < 2:
        return {arm: arm}, ""
    return {arm: arm}, (
        f"Shown is the one {results.words.arm} of {count} with the highest mean {metric_name(results.metric)} of these "
        "very units, so its scores are flattered. "
    )


def _table(results: Results, shown: Shown) -> Table:
    unit = as_words(results.unit_of.get(shown.target, "image"))
    found = {(row.arm, row.site, row.metric): row for row in rows_of(shown.rows)}
    rows = []
    for site, metric in dict.fromkeys(zip(shown.rows["site"], shown.rows["metric"], strict=True)):
        each = [found.get((arm, site, metric)) for arm in shown.arms.values()]
        cells = [cell for row in each for cell in (_cell(row, "per_image"), _cell(row, "pooled"))]
        rows.append([Cell(capital(metric_name(metric))), Cell(results.site_name(site)), *cells])
    return Table(
        name=f"{results.words.target(shown.target)}: mean per {unit}, and pooled",
        caption=f"Per {unit}: the mean, in which every {unit} weighs the same. Pooled: of the volumes of all of them, "
        "in which every voxel does. Both with their BCa interval (whole patients resampled), where there is one. "
        f"{_counts(results, shown, unit)} {shown.chosen}No test, nothing corrected. {results.provenance}",
        source="analyse/pooled.csv",
        columns=["Score", "Site", *(kind for _ in shown.arms for kind in (f"Per {unit}", "Pooled"))],
        rows=rows,
        groups=[("", 2), *((title, 2) for title in shown.arms)],
    )


def _counts(results: Results, shown: Shown, unit: str) -> str:
    """How many units and patients there are, and what is left out."""
    left, rows = shown.rows["n_left_out"].max(), shown.rows
    text = f"Unit: the {unit}; {span(rows['n'])}, patients {span(rows['n_patients']).removeprefix('n ')}; "
    text += f"up to {left:.0f} with two empty masks or without some seed left out." if left > 0 else "none left out."
    fewer = (rows["n"] - rows["n_per_image"]).max()
    if fewer > 0:
        text += f" Up to {fewer:.0f} are pooled and have no score of their own."
    declared = (results.study.get("units") or {}).get(results.unit_of.get(shown.target, "image"))
    if declared and declared["apart"] in PIECES:
        text += f" A {unit} counts where the reference shows something: what is found elsewhere counts in whole images."
    return text


def _cell(row: Any, kind: str) -> Cell:
    """A score with its interval; a dash, or why there is none."""
    value = float("nan") if row is None else getattr(row, kind)
    if pd.isna(value):
        return Cell("–" if row is None or not row.note else row.note)
    low, high = (getattr(row, f"{kind}_{end}") for end in ("low", "high"))
    cell = number(value, ".3f")
    return cell if pd.isna(low) else Cell(cell.text, cell.value, f"{low:.3f}–{high:.3f}")


def _differ(results: Results, shown: Shown) -> str:
    """Where mean and pooled score differ by more than a hundredth, and where most."""
    unit = as_words(results.unit_of.get(shown.target, "image"))
    rows = shown.rows[(shown.rows["metric"] != F1_OF_MEANS)]
    rows = rows[rows["pooled"].notna() & rows["per_image"].notna()].reset_index(drop=True)
    if rows.empty:
        return "no score is known both ways."
    rows = rows.assign(off=(rows["pooled"] - rows["per_image"]).abs())
    many = int((rows["off"] > NOTABLE).sum())
    text = f"mean per {unit} and pooled score differ by more than {NOTABLE:g} in {many or 'none'} of {len(rows)} scores"
    most = highest(rows, "off")
    return (
        f"{text}, most in {metric_name(most['metric'])} {_at(results, shown, most)} ({most['per_image']:.3f} per "
        f"{unit}, {most['pooled']:.3f} pooled)."
    )


def _f1(results: Results, shown: Shown) -> str:
    """That the F1 score of the two means is not the mean F1 score, by the case where they differ most."""
    keys, own = ["arm", "site", "region"], "f1" if (shown.rows["metric"] == "f1").any() else "dsc"
    both = [shown.rows[shown.rows["metric"] == metric] for metric in (own, F1_OF_MEANS)]
    pairs = both[0].merge(both[1], on=keys, suffixes=("", "_of_means"))
    pairs = pairs[filled(pairs["per_image"]) & filled(pairs["per_image_of_means"])].reset_index(drop=True)
    if pairs.empty:
        return ""
    most = highest(pairs.assign(off=(pairs["per_image"] - pairs["per_image_of_means"]).abs()), "off")
    mean, of_means, pooled = (f"{most[name]:.3f}" for name in ("per_image", "per_image_of_means", "pooled"))
    where = _at(results, shown, most)
    if mean == of_means:
        return (
            f" The {metric_name(F1_OF_MEANS)} is the mean {metric_name(own)} to three decimals here ({mean} {where})."
        )
    return (
        f" The {metric_name(F1_OF_MEANS)} is not the mean {metric_name(own)}: {of_means} against {mean} {where}; "
        f"pooled, both are {pooled}."
    )


def _at(results: Results, shown: Shown, row: pd.Series) -> str:
    """Of which arm, and at which site where there are several."""
    title = next(title for title, arm in shown.arms.items() if arm == row["arm"])
    place = f", {results.site_name(str(row['site']))}" if shown.rows["site"].nunique() > 1 else ""
    return f"with “{title}{place}”"
