"""Figure of learning curves: scores of both levels of the contrast against the dose."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from crossmod.analyse.stats import DegenerateDataError, IncompleteDesignError, bootstrap_ci
from crossmod.job import Plain
from crossmod.report.figures import end_to_end, scored_sites, sizes_in_words
from crossmod.report.results import Results
from crossmod.report.rows import rows_of
from crossmod.report.style import (
    GREY,
    PAGE_MM,
    PALE,
    NothingToShowError,
    Picture,
    absent,
    colours_of,
    heading,
    markers_of,
    panels,
    styled,
)
from crossmod.report.words import capital, metric_name, short

VERDICT_MARKS = {"greater": "▲", "equal": "○", "lower": "▼"}


@styled
def learning_curves(results: Results) -> Picture:
    """Mean score of both levels of the contrast against the dose, e.g. the number of annotated patients.

    Raises:
        NothingToShowError: if the study has no dose or no contrast.
    """
    contrast, dose = results.words.contrast, results.words.dose
    if not contrast or dose is None or dose not in results.factors:
        raise NothingToShowError("This study declares no contrast with a dose, so there are no learning curves.")
    metric = results.metric
    units = end_to_end(results.table("units")).dropna(subset=metric)
    differences = _differences(results, contrast)
    targets, sites = results.targets, scored_sites(results, units)
    figure, axes = panels(len(targets), len(sites), PAGE_MM, 16 + 46 * len(targets), sharex=True, sharey="row")
    for row, target in enumerate(targets):
        for column, site in enumerate(sites):
            axis = axes[row][column]
            here = [t[(t["target"] == target) & (t["site"] == site)] for t in (units, differences, _at_zero(results))]
            if here[0].empty:
                absent(axis)
            else:
                _curves(axis, results, here[0], contrast, dose)
                _baseline(axis, here[2])
                _verdicts(axis, here[1])
            if row == 0:
                axis.set_title(heading(results.site_title(site)))
            axis.set_xticks(sorted(units[dose].unique()))
        axes[row][0].set_ylabel(f"{results.words.target(target)}\nMean {metric_name(metric)}")
        axes[row][0].yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    for axis in axes[-1]:
        axis.set_xlabel(capital(results.words.factor(dose)))
    figure.legend(handles=_curve_handles(results, contrast, dose), loc="outside lower center", ncols=3)
    first, second = (results.words.level(contrast["factor"], contrast[key]) for key in "ab")
    return Picture(
        name="learning_curves",
        title=f"{first} and {second} by {results.words.factor(dose)}",
        caption=f"Means over units with {results.level} % intervals (patients resampled); seeds per "
        f"{results.words.arm}: {max(len(seeds) for seeds in results.notes['seeds'].values())}. "
        f"{_marks(contrast, differences)}{sizes_in_words(results, units)} {results.provenance}",
        alt=f"Learning curves. {_verdict_sentence(contrast, differences)}",
        figure=figure,
    )


def _differences(results: Results, contrast: Plain) -> pd.DataFrame:
    """The rows of the study's comparison on its contrast, end to end; none where it declares none."""
    asked = results.comparison
    table = end_to_end(results.tested(asked.main if asked else None))
    return table[(table["a"] == contrast["a"]) & (table["b"] == contrast["b"])]


def _at_zero(results: Results) -> pd.DataFrame:
    """The scores without any dose."""
    zero = (results.study["analyse"]["dose"].get("zero")) or {}
    table = end_to_end(results.table("dsc"))
    table = table[table["metric"] == results.metric]
    chosen = pd.Series(bool(zero), index=table.index)
    for factor, level in zero.items():
        chosen &= table[factor].map(str) == str(level)
    return table[chosen]


def _marks(contrast: dict, differences: pd.DataFrame) -> str:
    if differences.empty:
        return ""
    a, b = short(contrast["a"]), short(contrast["b"])
    return (
        f"Marks above each amount: {a} is significantly greater (▲), not shown to differ (○) or significantly lower "
        f"(▼) than {b}, corrected over its family. "
    )


def _curves(axis: Axes, results: Results, units: pd.DataFrame, contrast: Plain, dose: str) -> None:
    """Mean and interval per level and dose, levels a little apart so that no interval hides."""
    levels = results.levels(contrast["factor"])
    colours, markers = colours_of(levels), markers_of(levels)
    amounts = np.sort(units[dose].unique())
    step = 0.02 * (amounts.max() - amounts.min() or 1)
    for shift, level in ((-step, contrast["b"]), (step, contrast["a"])):
        cells = units[units[contrast["factor"]] == level].groupby(dose)
        found = np.array([(amount, *_mean_interval(cell, results)) for amount, cell in cells])
        if not len(found):
            continue
        x, mean = found[:, 0] + shift, found[:, 1]
        # An exact or skewed interval may touch the mean: rounding must not make a length negative.
        lengths = np.clip([mean - found[:, 2], found[:, 3] - mean], 0, None)
        axis.errorbar(
            x,
            mean,
            yerr=lengths,
            color=colours[level],
            marker=markers[level],
            markersize=3,
            elinewidth=0.9,
            capsize=1.8,
        )


def _mean_interval(cell: pd.DataFrame, results: Results) -> tuple[float, float, float]:
    mean = float(cell[results.metric].mean())
    try:
        level = results.study.get("analyse", {}).get("confidence", 0.95)
        interval = bootstrap_ci(cell[results.metric], cell["patient"], level=level)
    except (DegenerateDataError, IncompleteDesignError):
        return mean, np.nan, np.nan
    return mean, interval.ci_low, interval.ci_high


def _baseline(axis: Axes, alone: pd.DataFrame) -> None:
    for found in rows_of(alone):
        axis.axhline(found.mean, color=GREY, linestyle=(0, (4, 2)), linewidth=0.9)
        axis.axhspan(found.ci_low, found.ci_high, color=PALE, zorder=0, linewidth=0)


def _verdicts(axis: Axes, pairwise: pd.DataFrame) -> None:
    axis.margins(y=0.16)
    for found in rows_of(pairwise):
        mark = VERDICT_MARKS.get(found.verdict)
        if mark:
            axis.annotate(
                mark,
                (float(found.at), 1),
                xycoords=("data", "axes fraction"),
                ha="center",
                va="top",
                fontsize=7,
                color="#333333",
            )


def _curve_handles(results: Results, contrast: Plain, dose: str) -> list[Line2D]:
    factor, levels = contrast["factor"], results.levels(contrast["factor"])
    colours, markers = colours_of(levels), markers_of(levels)
    handles = [
        Line2D([], [], color=colours[s], marker=markers[s], markersize=3, label=results.words.level(factor, s))
        for s in (contrast["b"], contrast["a"])
    ]
    zero = results.study["analyse"]["dose"].get("zero")
    if zero:
        label = f"{results.words.levels(zero)} (no {results.words.factor(dose)})"
        handles.append(Line2D([], [], color=GREY, linestyle=(0, (4, 2)), label=label))
    return handles


def _verdict_sentence(contrast: dict, differences: pd.DataFrame) -> str:
    counts = differences["verdict"].value_counts()
    found = ", ".join(f"{key} {int(counts.get(key, 0))} times" for key in VERDICT_MARKS)
    return f"{capital(short(contrast['a']))} against {short(contrast['b'])}: {found}."
