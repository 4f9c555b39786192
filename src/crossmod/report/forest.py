"""Figure of subgroups: for whom does the contrast make a difference?"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from crossmod.job import Plain
from crossmod.report.declared import Comparison
from crossmod.report.results import Results
from crossmod.report.style import (
    BLUE,
    GREY,
    PAGE_MM,
    VERMILION,
    NothingToShowError,
    Picture,
    absent,
    heading,
    panels,
    styled,
)
from crossmod.report.tested import margins_of
from crossmod.report.words import END_TO_END, metric_name, short, small

ALL = "all"
# Groups in the order of their axis; others follow as the table has them.
ORDER = ("smaller half", "larger half", "right", "left")


@styled
def subgroup_forest(results: Results) -> Picture:
    """The contrast's difference with its interval in all units and in each subgroup, at the largest dose.

    Raises:
        NothingToShowError: if the study declares no comparison of its contrast.
    """
    contrast, asked = results.words.contrast, results.comparison
    if not contrast or asked is None:
        raise NothingToShowError("This study declares no comparison of a contrast, so there are no subgroups to show.")
    rows = _rows(results, contrast, asked)
    labels = _labels(rows)
    targets = [target for target in results.targets if (rows["target"] == target).any()] or results.targets
    sites = [site for site in results.sites if (rows["site"] == site).any()] or results.sites
    shown = {
        target: [label for label in labels if ((rows["target"] == target) & (rows["label"] == label)).any()]
        for target in targets
    }
    figure, axes = panels(
        len(targets),
        len(sites),
        PAGE_MM,
        18 + sum(7 + 4.2 * len(found) for found in shown.values()),
        sharex="col",
        sharey="row",
        gridspec_kw={"height_ratios": [max(len(found), 1) for found in shown.values()]},
    )
    margin = next(iter(margins_of(results, asked)), None)
    pair, metric = f"{short(contrast['a'])} − {short(contrast['b'])}", metric_name(results.metric)
    for line, target in zip(axes, targets, strict=True):
        for axis, site in zip(line, sites, strict=True):
            here = rows[(rows["target"] == target) & (rows["site"] == site)].set_index("label")
            _panel(axis, here, shown[target], margin)
            if target == targets[0]:
                axis.set_title(heading(results.site_title(site)))
            if target == targets[-1]:
                axis.set_xlabel(f"{metric}, {pair}")
        line[0].set_ylabel(results.words.target(target).replace(", ", ",\n"))
        line[0].set_yticks(range(len(shown[target])), _ticks(shown[target]))
        line[0].set_ylim(len(shown[target]) - 0.4, -0.6)
    figure.legend(handles=_handles(margin), loc="outside lower center", ncols=3)
    return _picture(results, figure, rows[rows["label"] == ALL], contrast, asked)


def _picture(results: Results, figure: Figure, units: pd.DataFrame, contrast: Plain, asked: Comparison) -> Picture:
    first, second = (results.words.level(contrast["factor"], contrast[key]) for key in "ab")
    sizes = f"{units['n'].min():.0f} to {units['n'].max():.0f}" if len(units) else "0"
    dose = results.most if asked.at else ""
    return Picture(
        name="subgroup_forest",
        title=f"{first} against {second} in subgroups{dose}",
        caption=f"Difference of the mean {metric_name(results.metric)}, end to end, with its {results.level} % "
        "interval (patients as clusters; not widened for the number of subgroups). Halves are split at the median "
        f"volume of a site and target; numbers at the right are units. Units in all: {sizes} per site and target. "
        f"{results.provenance}",
        alt=f"Forest plot of {short(contrast['a'])} minus {short(contrast['b'])}. {_sentence(results, units)}",
        figure=figure,
    )


def _rows(results: Results, contrast: Plain, asked: Comparison) -> pd.DataFrame:
    """Differences of all units and of each subgroup, ``label`` says which: ``all``, or ``grouping: group``."""
    groups = [c for c in results.declared.compared_on("subgroups") if c.factor == asked.factor]
    parts = []
    for comparison in (asked, *groups[:1]):
        table = results.tested(comparison.main)
        table = table[table["region"].isin(END_TO_END) & (table["a"] == contrast["a"]) & (table["b"] == contrast["b"])]
        if comparison.at and results.words.dose == comparison.at and len(table):
            table = table[table["at"] == results.deployed[comparison.at].max()]
        if comparison.main is comparison.margin:
            table = table.assign(mean_difference=table["estimate"])
        table = table.dropna(subset="ci_low")
        label = table["grouping"] + ": " + table["group"] if comparison is not asked else ALL
        parts.append(table.assign(label=label))
    return pd.concat(parts, ignore_index=True)


def _labels(rows: pd.DataFrame) -> list[str]:
    """All units, then the groups of each grouping in their order."""
    groups = rows[rows["label"] != ALL].drop_duplicates("label")
    order = [*ORDER, *(group for group in groups["group"] if group not in ORDER)]
    groupings = list(dict.fromkeys(groups["grouping"]))
    ordered = sorted(groups.to_dict("records"), key=lambda g: (groupings.index(g["grouping"]), order.index(g["group"])))
    return [ALL, *(row["label"] for row in ordered)]


def _ticks(labels: list[str]) -> list[str]:
    """The labels of an axis; a grouping is named at its first group only."""
    ticks, before = [], ""
    for label in labels:
        grouping, _, group = label.partition(": ")
        ticks.append(group if grouping == before else label.replace(" volume:", ":"))
        before = grouping
    return ticks


def _panel(axis: Axes, here: pd.DataFrame, shown: list[str], margin: float | None) -> None:
    if here.empty:
        absent(axis)
        return
    axis.axvline(0, color=GREY, linewidth=0.7)
    if margin:
        axis.axvline(-margin, color=VERMILION, linewidth=0.7, linestyle=(0, (3, 2)))
    for place, label in enumerate(shown):
        if label not in here.index:
            continue
        row = here.loc[label]
        whole = label == ALL
        axis.plot([row["ci_low"], row["ci_high"]], [place, place], color=BLUE, linewidth=1.8 if whole else 1.0)
        axis.plot(row["mean_difference"], place, "D" if whole else "o", color=BLUE, markersize=3.6 if whole else 2.8)
        axis.text(
            1.01,
            place,
            f"{row['n']:.0f}",
            transform=axis.get_yaxis_transform(),
            ha="left",
            va="center",
            fontsize=6,
            color=GREY,
        )
    axis.margins(x=0.12)
    axis.grid(visible=False, axis="y")
    axis.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))


def _handles(margin: float | None) -> list[Line2D]:
    handles = [
        Line2D([], [], color=BLUE, marker="D", markersize=3.6, linewidth=1.8, label="all units"),
        Line2D([], [], color=BLUE, marker="o", markersize=2.8, linewidth=1.0, label="subgroup"),
    ]
    if margin:
        line = Line2D([], [], color=VERMILION, linestyle=(0, (3, 2)), linewidth=0.7)
        line.set_label(f"margin of non-inferiority, −{margin:g}")
        handles.append(line)
    return handles


def _sentence(results: Results, units: pd.DataFrame) -> str:
    """The whole-group differences in words."""
    if units.empty:
        return "No difference could be estimated."
    parts = [
        f"{results.site_title(row['site'])}, {small(results.words.target(row['target']))}: "
        f"{row['mean_difference']:+.3f}"
        for row in units.to_dict("records")
    ]
    return f"In all units: {'; '.join(parts)}."
