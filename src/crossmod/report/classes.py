"""Figure of the classes of a stage: the mean score of each class, level by level."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from crossmod.report.columns import in_regions
from crossmod.report.figures import scored_sites
from crossmod.report.results import Results
from crossmod.report.rivals import Rivals, level_title, rivals_of, seeds_in_words
from crossmod.report.rows import each, highest, lowest, rows_of
from crossmod.report.style import (
    GREY,
    PAGE_MM,
    Picture,
    absent,
    colours_of,
    heading,
    markers_of,
    panels,
    styled,
)
from crossmod.report.tables import span, units_in_words
from crossmod.report.words import END_TO_END, as_words, metric_label, metric_name, small

BAND = "#F4F4F4"
LEVEL_MM, CLASS_MM = 1.15, 3.6  # height of a level within a class, and of a class of few levels


@dataclass(frozen=True)
class Shown:
    """What one figure of classes shows.

    Attributes:
        group: the declared target of each class of a stage.
        targets: its classes that have scores, in order.
        rivals: the arms side by side.
    """

    group: str
    targets: list[str]
    rivals: Rivals

    @property
    def name(self) -> str:
        """Of the file."""
        return "_".join(filter(None, ("classes", self.group, self.rivals.name)))


def shown(results: Results) -> list[Shown]:
    """One figure for each group of classes and each set of arms that differ in the contrast's factor alone."""
    table = _of_classes(results)
    return [
        Shown(group, targets, rivals)
        for group, targets in results.class_groups.items()
        for rivals in rivals_of(results, results.colour_factor, set(table.loc[table["target"].isin(targets), "arm"]))
    ]


@styled
def scores_by_class(results: Results, asked: Shown) -> Picture:
    """Mean and interval of the score of each class, a dot for each level, one panel per site."""
    table = _of_classes(results)
    table = table[table["target"].isin(asked.targets) & table["arm"].isin(asked.rivals.arms.values())]
    overall = in_regions(results.table("classes"), END_TO_END)
    overall = overall[(overall["group"] == asked.group) & (overall["over"] == "classes")]
    sites = scored_sites(results, table.dropna(subset="mean"))
    row_mm = max(CLASS_MM, LEVEL_MM * len(asked.rivals.arms))
    height_mm = 24 + row_mm * (len(asked.targets) + 1)
    figure, axes = panels(1, len(sites), PAGE_MM, height_mm, sharex=True, sharey=True)
    for axis, site in zip(axes[0], sites, strict=True):
        _bands(axis, len(asked.targets))
        _dots(axis, results, asked, table[table["site"] == site], overall[overall["site"] == site])
        axis.set_title(heading(results.site_title(site)))
        axis.set_xlabel(f"Mean {metric_label(results.metric)}")
    labels = [*map(results.words.target, asked.targets), "All classes"]
    axes[0][0].set_yticks(range(len(labels)), labels)
    axes[0][0].set_ylabel("Class")
    axes[0][0].set_ylim(len(asked.targets) + 0.5, -0.5)
    axes[0][0].set_xlim(-0.02, 1.0)
    _legend(figure, results, asked.rivals)
    return _picture(results, asked, figure, table)


def _of_classes(results: Results) -> pd.DataFrame:
    """The means of every target, end to end, of the metric that findings speak of."""
    table = in_regions(results.table("dsc"), END_TO_END)
    return table[table["metric"] == results.metric]


def _bands(axis: Axes, classes: int) -> None:
    """A tint behind every other class, and a line above the mean of all."""
    for place in range(1, classes, 2):
        axis.axhspan(place - 0.5, place + 0.5, color=BAND, linewidth=0, zorder=0)
    axis.axhline(classes - 0.5, color=GREY, linewidth=0.6)
    axis.grid(visible=False, axis="y")
    axis.tick_params(axis="y", length=0)


def _dots(axis: Axes, results: Results, asked: Shown, means: pd.DataFrame, overall: pd.DataFrame) -> None:
    """The mean of each class with its interval; levels lie one below the other, the means over all classes last."""
    drawn = means.dropna(subset="mean")
    if drawn.empty:
        absent(axis)
        return
    places = {target: place for place, target in enumerate(asked.targets)}
    count = len(asked.rivals.arms)
    for number, (level, arm) in enumerate(asked.rivals.arms.items()):
        rows = [(places[row.target], row) for row in rows_of(drawn[drawn["arm"] == arm])]
        rows += [(len(places), row) for row in rows_of(overall[overall["arm"] == arm])]
        if not rows:
            continue
        look = _look(results, asked.rivals, level)
        shift = 0.84 * ((number + 0.5) / count - 0.5)
        for place, row in rows:
            axis.plot([row.ci_low, row.ci_high], [place + shift] * 2, color=look["color"], linewidth=0.8)
        axis.plot([row.mean for _, row in rows], [place + shift for place, _ in rows], linestyle="", **look)


def _look(results: Results, rivals: Rivals, level: str) -> dict:
    """Colour and marker of a level; those that only stand beside the contrast are hollow."""
    factor = rivals.factor
    if factor is None:
        return {"color": GREY, "marker": "o", "markersize": 2.6}
    levels, contrast = results.levels(factor), results.words.contrast
    colour = colours_of(levels)[level]
    beside = contrast is not None and contrast["factor"] == factor and level not in (contrast["a"], contrast["b"])
    return {
        "color": colour,
        "marker": markers_of(levels)[level],
        "markersize": 2.6,
        "markeredgewidth": 0.7,
        "markerfacecolor": "white" if beside else colour,
    }


def _legend(figure: Figure, results: Results, rivals: Rivals) -> None:
    if rivals.factor is None:
        return
    handles = [
        Line2D([], [], linewidth=0.8, label=level_title(results, rivals, level), **_look(results, rivals, level))
        for level in rivals.arms
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)


def _picture(results: Results, asked: Shown, figure: Figure, table: pd.DataFrame) -> Picture:
    metric, arms = metric_name(results.metric), asked.rivals.arms.values()
    model = f", {asked.rivals.title}" if asked.rivals.title else ""
    sizes = "; ".join(f"{results.site_title(site)} {span(here['n'])}" for site, here in each(table, "site"))
    return Picture(
        name=asked.name,
        title=f"{metric} of every class of {as_words(asked.group)}{model}",
        caption=f"Mean {metric} of each class, end to end, with its {results.level} % interval (patients resampled). "
        f"Last row: mean over the classes and its interval over them. Unit: {units_in_words(results, asked.targets)}; "
        f"{sizes} per class; {seeds_in_words(results, list(arms))} per {results.words.arm}. No test. "
        f"{results.provenance}",
        alt=f"Mean {metric} of {len(asked.targets)} classes for {len(asked.rivals.arms)} levels. "
        f"{_extremes(results, asked, table)}",
        figure=figure,
    )


def _extremes(results: Results, asked: Shown, table: pd.DataFrame) -> str:
    """The best and the worst class of every level, all sites together, in words."""
    parts = []
    for level, arm in asked.rivals.arms.items():
        known = table[(table["arm"] == arm) & np.isfinite(table["mean"])].reset_index()
        if len(known):
            ends = (lowest(known, "mean"), highest(known, "mean"))
            low, high = (f"{end['mean']:.2f} ({small(results.words.target(end['target']))})" for end in ends)
            parts.append(f"{level_title(results, asked.rivals, level)}: {low} to {high}")
    return f"From the worst to the best class, {'; '.join(parts)}." if parts else "No class was scored."
