"""Figures of scores: by arm and site, and against the amount of annotation."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from crossmod.analyse.stats import DegenerateDataError, IncompleteDesignError, bootstrap_ci
from crossmod.report.results import END_TO_END, REGIONS, STRATEGIES, TARGETS, Results
from crossmod.report.style import (
    GREY,
    PAGE_MM,
    PALE,
    STRATEGY_COLOURS,
    STRATEGY_MARKERS,
    Picture,
    absent,
    heading,
    panels,
    styled,
)

METRICS = {"dsc": "DSC", "surface_dsc": "Surface DSC", "hd95_mm": "95 % Hausdorff distance (mm)"}
VERDICT_MARKS = {"greater": "▲", "equal": "=", "lower": "▼"}


@styled
def scores_by_arm(results: Results, metric: str = "dsc") -> Picture:
    """Spread, mean and interval of a score for every arm, one panel per target and site.

    Args:
        results: of the study.
        metric: ``dsc``, ``surface_dsc`` or ``hd95_mm``.
    """
    units = _end_to_end(results.table("scores"))
    summary = _end_to_end(results.table("dsc"))
    summary = summary[summary["metric"] == metric]
    targets, sites = results.targets, _scored_sites(results, units)
    height_mm = 14 + len(targets) * (6 + 3.6 * len(results.arms))
    figure, axes = panels(len(targets), len(sites), PAGE_MM, height_mm, sharex="row", sharey=True)
    for row, target in enumerate(targets):
        for column, site in enumerate(sites):
            here = [t[(t["target"] == target) & (t["site"] == site)] for t in (units, summary)]
            axis = axes[row][column]
            _spreads(axis, results, *here, metric)
            if here[0].empty:
                absent(axis)
            if row == 0:
                axis.set_title(heading(results.site_title(site)))
        axes[row][0].set_ylabel(f"{TARGETS[target]}\nTraining set")
        _score_limits(axes[row][0], units[units["target"] == target], metric)
    for axis in axes[-1]:
        axis.set_xlabel(METRICS[metric])
    handles = [Patch(color=colour, label=STRATEGIES[key]) for key, colour in STRATEGY_COLOURS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    name = METRICS[metric].split(" (")[0]
    return Picture(
        name=f"{metric}_by_arm",
        title=f"{name} by training set and site",
        caption="Boxes span the quartiles over the units, whiskers the 5th to 95th percentile; dots are means with "
        f"their {_level(results)} % interval (patients resampled), crosses medians where a distance is infinite. "
        f"Parenchyma {REGIONS['predicted_box']}. {_sizes(results, summary)} {results.provenance}",
        alt=f"{name} of {len(results.arms)} training sets at {len(sites)} sites for {len(targets)} targets. "
        f"{_extremes(results, summary)}",
        figure=figure,
    )


@styled
def learning_curves(results: Results) -> Picture:
    """Mean DSC of pure and mixed training against the number of annotated MR patients."""
    units = _end_to_end(results.table("units")).dropna(subset="dsc")
    pairwise = _end_to_end(results.table("pairwise"))
    alone = _end_to_end(results.table("dsc"))
    alone = alone[(alone["metric"] == "dsc") & (alone["strategy"] == "ct")]
    targets, sites = results.targets, _scored_sites(results, units)
    figure, axes = panels(len(targets), len(sites), PAGE_MM, 16 + 46 * len(targets), sharex=True, sharey="row")
    for row, target in enumerate(targets):
        for column, site in enumerate(sites):
            axis = axes[row][column]
            here = [t[(t["target"] == target) & (t["site"] == site)] for t in (units, pairwise, alone)]
            if here[0].empty:
                absent(axis)
            else:
                _curves(axis, results, here[0])
                _baseline(axis, here[2])
                _verdicts(axis, here[1])
            if row == 0:
                axis.set_title(heading(results.site_title(site)))
            axis.set_xticks(sorted(units["amount"].unique()))
        axes[row][0].set_ylabel(f"{TARGETS[target]}\nMean DSC")
        axes[row][0].yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    for axis in axes[-1]:
        axis.set_xlabel("Annotated MR patients")
    figure.legend(handles=_curve_handles(), loc="outside lower center", ncols=3)
    seeds = max(len(seeds) for seeds in results.notes["seeds"].values())
    return Picture(
        name="learning_curves",
        title="Mixed against pure training as annotation grows",
        caption=f"Means over units with {_level(results)} % intervals (patients resampled); seeds per training "
        f"set: {seeds}. Marks above each amount: mixed is significantly greater (▲), not different (=) or "
        "significantly lower (▼) than pure, corrected over all panels; “=” is not equivalence. "
        f"{_sizes(results, units)} {results.provenance}",
        alt="Learning curves. " + _verdict_sentence(pairwise),
        figure=figure,
    )


def _spreads(axis: Axes, results: Results, units: pd.DataFrame, summary: pd.DataFrame, metric: str) -> None:
    """One box, whisker and mean per arm; the first arm on top."""
    summary = summary.set_index("arm")
    for place, arm in enumerate(results.arms):
        values = units.loc[units["arm"] == arm, metric]
        values = values[np.isfinite(values)]
        if values.empty:
            continue
        colour = STRATEGY_COLOURS[results.design["strategy"].iloc[place]]
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
    strategies = results.design["strategy"].tolist()
    for place in range(1, len(strategies)):
        if strategies[place] != strategies[place - 1]:
            axis.axhline(place - 0.5, color="#BDBDBD", linewidth=0.5)
    axis.set_yticks(range(len(results.arms)), results.arms)
    axis.set_ylim(len(results.arms) - 0.4, -0.6)
    axis.grid(visible=False, axis="y")


def _score_limits(axis: Axes, units: pd.DataFrame, metric: str) -> None:
    """Room for every whisker, and no more."""
    finite = units[np.isfinite(units[metric])]
    spread = finite.groupby(["arm", "site"], observed=True)[metric]
    if metric == "hd95_mm":
        axis.set_xlim(0, 1.05 * float(spread.quantile(0.95).max()))
    else:
        lowest = float(spread.quantile(0.05).min())
        axis.set_xlim(max(0.0, np.floor((lowest - 0.01) * 20) / 20), 1.0)
    axis.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axis.xaxis.set_major_formatter("{x:g}")


def _curves(axis: Axes, results: Results, units: pd.DataFrame) -> None:
    """Mean and interval per strategy and amount, strategies a little apart so that no interval hides."""
    amounts = np.sort(units["amount"].unique())
    step = 0.02 * (amounts.max() - amounts.min() or 1)
    for shift, strategy in ((-step, "pure"), (step, "mixed")):
        cells = units[units["strategy"] == strategy].groupby("amount")
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
            color=STRATEGY_COLOURS[strategy],
            marker=STRATEGY_MARKERS[strategy],
            markersize=3,
            elinewidth=0.9,
            capsize=1.8,
        )


def _mean_interval(cell: pd.DataFrame, results: Results) -> tuple[float, float, float]:
    mean = float(cell["dsc"].mean())
    try:
        level = results.study.get("analyse", {}).get("confidence", 0.95)
        interval = bootstrap_ci(cell["dsc"], cell["patient"], level=level)
    except (DegenerateDataError, IncompleteDesignError):
        return mean, np.nan, np.nan
    return mean, interval.ci_low, interval.ci_high


def _baseline(axis: Axes, alone: pd.DataFrame) -> None:
    for found in alone.itertuples():
        axis.axhline(found.mean, color=GREY, linestyle=(0, (4, 2)), linewidth=0.9)
        axis.axhspan(found.ci_low, found.ci_high, color=PALE, zorder=0, linewidth=0)


def _verdicts(axis: Axes, pairwise: pd.DataFrame) -> None:
    axis.margins(y=0.16)
    for found in pairwise.itertuples():
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


def _curve_handles() -> list[Line2D]:
    handles = [
        Line2D([], [], color=STRATEGY_COLOURS[s], marker=STRATEGY_MARKERS[s], markersize=3, label=STRATEGIES[s])
        for s in ("pure", "mixed")
    ]
    return [*handles, Line2D([], [], color=GREY, linestyle=(0, (4, 2)), label=f"{STRATEGIES['ct']}, no MR")]


def _end_to_end(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["region"].isin(END_TO_END)]


def _scored_sites(results: Results, table: pd.DataFrame) -> list[str]:
    return [site for site in results.sites if (table["site"] == site).any()]


def _level(results: Results) -> str:
    return f"{100 * results.study.get('analyse', {}).get('confidence', 0.95):g}"


def _sizes(results: Results, table: pd.DataFrame) -> str:
    """n per site and target, as a sentence; the largest n where arms differ."""
    parts = []
    for site, here in table.groupby("site", observed=True):
        counts = []
        for target, cell in here.groupby("target", observed=True):
            if "subject" in cell:
                counts.append((target, cell["subject"].nunique()))
            else:
                counts.append((target, int(cell["n"].max())))
        parts.append(f"{results.site_title(site)} " + "/".join(str(n) for _, n in counts))
    order = "/".join(TARGETS[target].lower() for target in results.targets)
    return f"Units ({order}): {'; '.join(parts)}."


def _extremes(results: Results, summary: pd.DataFrame) -> str:
    """Highest and lowest mean, in words."""
    known = summary.dropna(subset="mean")
    if known.empty:
        return ""
    ends = [known.loc[known["mean"].idxmax()], known.loc[known["mean"].idxmin()]]
    words = [
        f"{row['mean']:.3f} ({row['arm']}, {results.site_title(row['site'])}, {TARGETS[row['target']].lower()})"
        for row in ends
    ]
    return f"Means range from {words[1]} to {words[0]}."


def _verdict_sentence(pairwise: pd.DataFrame) -> str:
    counts = pairwise["verdict"].value_counts()
    found = ", ".join(f"{key} {int(counts.get(key, 0))} times" for key in VERDICT_MARKS)
    return f"Mixed against pure training: {found}."
