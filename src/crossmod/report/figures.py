"""Figures of scores by arm and site."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from crossmod.report.results import Results
from crossmod.report.rows import each, highest, lowest
from crossmod.report.style import GREY, PAGE_MM, Picture, absent, colours_of, heading, panels, styled
from crossmod.report.words import END_TO_END, capital, is_distance, metric_label, metric_name, small

# A page of A4 holds a figure of the first height and its caption; the second one has room for one arm, axis and legend.
HIGHEST_MM, LOWEST_MM = 240, 45
AROUND_MM, TARGET_MM, ARM_MM = 14, 6, 3.6


def pages_of_targets(results: Results) -> list[list[str]]:
    """The targets that share a figure of scores: neighbours that the same arms segment, as many as one page holds."""
    units = end_to_end(results.table("scores"))
    pages: list[list[str]] = []
    before: set[str] = set()
    for target in _targets(results):
        arms = set(units.loc[units["target"] == target, "arm"])
        if pages and arms == before and _height_mm(len(pages[-1]) + 1, len(arms)) <= HIGHEST_MM:
            pages[-1].append(target)
        else:
            pages.append([target])
        before = arms
    return pages


def names_of_scores(results: Results, metric: str) -> list[str]:
    """The names of the figures of one metric, in order."""
    return [_name(results, metric, targets) for targets in pages_of_targets(results)]


def _name(results: Results, metric: str, targets: Sequence[str]) -> str:
    return "_".join([f"{metric}_by_arm", *(targets if set(targets) != set(_targets(results)) else ())])


def _height_mm(targets: int, arms: int) -> float:
    return max(LOWEST_MM, AROUND_MM + targets * (TARGET_MM + ARM_MM * arms))


@styled
def scores_by_arm(results: Results, metric: str = "dsc", targets: Sequence[str] = ()) -> Picture:
    """Spread, mean and interval of a score for every arm, one panel per target and site.

    Args:
        results: of the study.
        metric: one of the study's.
        targets: some of the study's; none: all but the classes of a stage, which have a figure of their own.
    """
    units = end_to_end(results.table("scores"))
    summary = end_to_end(results.table("dsc"))
    summary = summary[summary["metric"] == metric]
    targets = targets or _targets(results)
    units, summary = (table[table["target"].isin(targets)] for table in (units, summary))
    sites = scored_sites(results, units)
    colours = {arm: colour for arm, colour in _arm_colours(results).items() if (units["arm"] == arm).any()}
    height_mm = _height_mm(len(targets), len(colours))
    figure, axes = panels(len(targets), len(sites), PAGE_MM, height_mm, sharex="row", sharey=True)
    for row, target in enumerate(targets):
        for column, site in enumerate(sites):
            here, means = (t[(t["target"] == target) & (t["site"] == site)] for t in (units, summary))
            axis = axes[row][column]
            _spreads(axis, colours, here, means, metric)
            if here.empty:
                absent(axis)
            if row == 0:
                axis.set_title(heading(results.site_title(site)))
        axes[row][0].set_ylabel(f"{results.words.target(target)}\n{capital(results.words.arm)}")
        _score_limits(axes[row][0], units[units["target"] == target], metric)
    for axis in axes[-1]:
        axis.set_xlabel(metric_label(metric))
    _level_legend(figure, results)
    name = capital(metric_name(metric))
    every = set(targets) == set(_targets(results))
    of = "" if every else f" of {', '.join(small(results.words.target(target)) for target in targets)}"
    return Picture(
        name=_name(results, metric, targets),
        title=f"{name}{of} by {results.words.arm} and site",
        caption="Boxes span the quartiles over the units, whiskers the 5th to 95th percentile; dots are means with "
        f"their {results.level} % interval (patients resampled), crosses medians where a distance is infinite. "
        f"End to end. {sizes_in_words(results, summary)} {results.provenance}",
        alt=f"{name} of {len(colours)} {results.words.arm}s at {len(sites)} sites for {len(targets)} targets. "
        f"{_extremes(results, summary)}",
        figure=figure,
    )


def _targets(results: Results) -> list[str]:
    """The targets without the classes of a stage, which have a figure of their own; all of them if none is left."""
    classes = {target for own in results.class_groups.values() for target in own}
    return [target for target in results.targets if target not in classes] or results.targets


def _arm_colours(results: Results) -> dict[str, str]:
    """Arm → its colour, by the level of the factor that figures tell apart; arms of one level stand together."""
    factor = results.colour_factor
    if factor is None:
        return dict.fromkeys(results.arms, GREY)
    colours = colours_of(results.levels(factor))
    return {arm: colours[str(level)] for arm, level in zip(results.arms, results.design[factor], strict=True)}


def _level_legend(figure: Figure, results: Results) -> None:
    factor = results.colour_factor
    if factor is None:
        return
    colours = colours_of(results.levels(factor))
    handles = [Patch(color=colour, label=results.words.level(factor, level)) for level, colour in colours.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)


def _spreads(axis: Axes, colours: dict[str, str], units: pd.DataFrame, summary: pd.DataFrame, metric: str) -> None:
    """One box, whisker and mean per arm; the first arm on top."""
    summary = summary.set_index("arm")
    for place, (arm, colour) in enumerate(colours.items()):
        values = units.loc[units["arm"] == arm, metric]
        values = values[np.isfinite(values)]
        if values.empty:
            continue
        low, first, third, high = np.percentile(values, [5, 25, 75, 95])
        axis.plot([low, high], [place, place], color=colour, linewidth=0.6, alpha=0.7)
        axis.barh(place, third - first, left=first, height=0.66, color=colour, alpha=0.35, linewidth=0)
        found = summary.loc[arm]
        if np.isfinite(found["mean"]):
            if np.isfinite(found["ci_low"]):
                axis.plot([found["ci_low"], found["ci_high"]], [place, place], color=colour, linewidth=2)
            axis.plot(found["mean"], place, "o", color=colour, markersize=2.6)
        else:
            axis.plot(found["median"], place, "x", color=colour, markersize=3.5)
    shades = list(colours.values())
    for place in range(1, len(shades)):
        if shades[place] != shades[place - 1]:
            axis.axhline(place - 0.5, color="#BDBDBD", linewidth=0.5)
    axis.set_yticks(range(len(colours)), list(colours))
    axis.set_ylim(len(colours) - 0.4, -0.6)
    axis.grid(visible=False, axis="y")


def _score_limits(axis: Axes, units: pd.DataFrame, metric: str) -> None:
    """Room for every whisker, and no more; where no unit has a finite value, from 0 to 1."""
    finite = units[np.isfinite(units[metric])]
    spread = finite.groupby(["arm", "site"], observed=True)[metric]
    if finite.empty:
        axis.set_xlim(0.0, 1.0)
    elif is_distance(metric):
        axis.set_xlim(0, 1.05 * float(spread.quantile(0.95).max()) or 1.0)
    else:
        lowest = float(spread.quantile(0.05).min())
        axis.set_xlim(max(0.0, np.floor((lowest - 0.01) * 20) / 20), 1.0)
    axis.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axis.xaxis.set_major_formatter("{x:g}")


def end_to_end(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the cascade as a user gets it."""
    return table[table["region"].isin(END_TO_END)]


def scored_sites(results: Results, table: pd.DataFrame) -> list[str]:
    """The sites that a table has rows of, in order."""
    return [site for site in results.sites if (table["site"] == site).any()]


def sizes_in_words(results: Results, table: pd.DataFrame) -> str:
    """n per site and target, as a sentence; the largest n where arms differ."""
    parts = []
    for site, here in each(table, "site"):
        counts = []
        for target, cell in each(here, "target"):
            if "subject" in cell:
                counts.append((target, cell["subject"].nunique()))
            else:
                counts.append((target, int(cell["n"].max())))
        parts.append(f"{results.site_title(site)} " + "/".join(str(n) for _, n in counts))
    targets = [target for target in results.targets if (table["target"] == target).any()]
    order = "/".join(small(results.words.target(target)) for target in targets)
    return f"Units ({order}): {'; '.join(parts)}."


def _extremes(results: Results, summary: pd.DataFrame) -> str:
    """Highest and lowest mean, in words."""
    known = summary.dropna(subset="mean")
    if known.empty:
        return ""
    ends = [highest(known, "mean"), lowest(known, "mean")]
    words = [
        f"{row['mean']:.3f} ({row['arm']}, {results.site_title(row['site'])}, "
        f"{small(results.words.target(row['target']))})"
        for row in ends
    ]
    return f"Means range from {words[1]} to {words[0]}."
