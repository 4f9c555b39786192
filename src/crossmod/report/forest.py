"""Figure of subgroups: for whom does mixed training help?"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from crossmod.report.results import END_TO_END, TARGETS, Results
from crossmod.report.style import BLUE, GREY, PAGE_MM, VERMILION, Picture, absent, heading, panels, styled

ALL = "all"
# Subgroup as the tables name it → as the axis does.
GROUPS = {
    ALL: "all",
    "organ volume: smaller half": "organ: smaller half",
    "organ volume: larger half": "larger half",
    "tumour volume: smaller half": "tumour: smaller half",
    "tumour volume: larger half": "larger half",
    "side: right": "side: right",
    "side: left": "left",
}


@styled
def subgroup_forest(results: Results) -> Picture:
    """Mixed - pure with its interval in all units and in each subgroup, at the largest amount of annotation."""
    rows = _rows(results)
    targets = [target for target in results.targets if (rows["target"] == target).any()] or results.targets
    sites = [site for site in results.sites if (rows["site"] == site).any()] or results.sites
    counts = [
        sum(((rows["target"] == target) & (rows["label"] == label)).any() for label in GROUPS) for target in targets
    ]
    figure, axes = panels(
        len(targets),
        len(sites),
        PAGE_MM,
        18 + sum(7 + 4.2 * count for count in counts),
        sharex="col",
        sharey="row",
        gridspec_kw={"height_ratios": [max(count, 1) for count in counts]},
    )
    margin = results.study.get("analyse", {}).get("margin_dsc")
    for line, target in zip(axes, targets, strict=True):
        shown = [label for label in GROUPS if ((rows["target"] == target) & (rows["label"] == label)).any()]
        for axis, site in zip(line, sites, strict=True):
            here = rows[(rows["target"] == target) & (rows["site"] == site)].set_index("label")
            _panel(axis, here, shown, margin)
            if target == targets[0]:
                axis.set_title(heading(results.site_title(site)))
            if target == targets[-1]:
                axis.set_xlabel("DSC, mixed − pure")
        line[0].set_ylabel(TARGETS[target].replace(", ", ",\n"))
        line[0].set_yticks(range(len(shown)), [GROUPS[label] for label in shown])
        line[0].set_ylim(len(shown) - 0.4, -0.6)
    figure.legend(handles=_handles(margin), loc="outside lower center", ncols=3)
    most = results.deployed["amount"].max()
    units = rows[rows["label"] == ALL]
    sizes = f"{units['n'].min():.0f} to {units['n'].max():.0f}" if len(units) else "0"
    return Picture(
        name="subgroup_forest",
        title=f"Mixed against pure training in subgroups, {most} MR patients",
        caption="Difference of mean DSC, end to end, with its 95 % interval (patients as clusters; not widened for the number "
        "of subgroups). Halves are split at the median volume of a site and target; numbers at the right are units. Units in all: "
        f"{sizes} per site and target. {results.provenance}",
        alt=f"Forest plot of mixed minus pure training. {_sentence(results, units)}",
        figure=figure,
    )


def _rows(results: Results) -> pd.DataFrame:
    """Differences of all units and of each subgroup, ``label`` a key of ``GROUPS``."""
    most = results.deployed["amount"].max()
    parts = []
    for name in ("pairwise", "subgroups"):
        table = results.tested(name)
        table = table[table["region"].isin(END_TO_END) & (table["at"] == most)].dropna(subset="ci_low")
        label = ALL if name == "pairwise" else table["grouping"] + ": " + table["group"]
        parts.append(table.assign(label=label))
    return pd.concat(parts, ignore_index=True)


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
        f"{results.site_title(row['site'])}, {TARGETS[row['target']].lower()}: {row['mean_difference']:+.3f}"
        for row in units.to_dict("records")
    ]
    return f"In all units: {'; '.join(parts)}."
