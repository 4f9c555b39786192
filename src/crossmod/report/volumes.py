"""Figures of volumes: differences against size, and predicted against reference."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from crossmod.analyse.stats import Agreement, DegenerateDataError, IncompleteDesignError, agreement
from crossmod.report.results import TARGETS, Results
from crossmod.report.style import BLACK, BLUE, PAGE_MM, VERMILION, Picture, absent, heading, panels, styled
from crossmod.report.tables import signed

REGION = "predicted_box"
SUBSET_MARKERS = (("o", BLUE), ("^", VERMILION), ("s", "#009E73"), ("D", "#CC79A7"))


@styled
def bland_altman(results: Results) -> Picture:
    """Differences of the deployed models' parenchyma volumes against the mean of both volumes."""
    kidneys, cells, axes, figure = _grid(results, sharex=True, sharey=True)
    margins = results.table("reference_error").set_index(["site", "target"])["margin_ml"]
    lines = []
    for axis, cell, found in _each(cells, axes):
        difference = cell["volume_difference_ml"]
        middle = (cell["volume_predicted_ml"] + cell["volume_reference_ml"]) / 2
        _points(axis, results, cell, middle, difference)
        axis.axhline(0, color=BLACK, linewidth=0.4)
        margin = margins.get((cell["site"].iloc[0], cell["target"].iloc[0]), np.nan)
        for side in (-margin, margin):
            axis.axhline(side, color=BLACK, linestyle=(0, (1, 2)), linewidth=0.8)
        if found:
            _limits(axis, found)
            lines.append(f"{_name(results, cell)} {signed(found.mean_difference, 1)} ml")
    # Headroom for the numbers in the corner.
    axes[0][0].set_ylim(*np.array([-1.1, 1.35]) * max(np.abs(axes[0][0].get_ylim())))
    for row, target in zip(axes, _targets(cells), strict=True):
        row[0].set_ylabel(f"{target}\nPredicted − reference (ml)")
    for axis in axes[-1]:
        axis.set_xlabel("Mean of both volumes (ml)")
    _legend(figure, axes, results)
    return Picture(
        name="bland_altman",
        title="Volume differences (Bland–Altman)",
        caption="Renal parenchyma per kidney, end to end. Solid: mean difference; dashed: 95 % limits of agreement; "
        "shading: 95 % intervals that take kidneys of one patient as a cluster; dotted: a third of the reference "
        f"method's error. {_whose(results)} {_counts(results, kidneys)} {results.provenance}",
        alt="Bland–Altman plots. Mean differences: " + "; ".join(lines) + ".",
        figure=figure,
    )


@styled
def volume_scatter(results: Results) -> Picture:
    """Predicted against reference parenchyma volume of the deployed models, per site and stratum."""
    kidneys, cells, axes, figure = _grid(results, sharex=True, sharey=True)
    top = 1.05 * float(kidneys[["volume_predicted_ml", "volume_reference_ml"]].max(axis=None))
    lines = []
    for axis, cell, found in _each(cells, axes):
        axis.plot([0, top], [0, top], color=BLACK, linewidth=0.5)
        _points(axis, results, cell, cell["volume_reference_ml"], cell["volume_predicted_ml"])
        axis.set_xlim(0, top)
        axis.set_ylim(0, top)
        axis.set_aspect("equal")
        if found and np.isfinite(found.pearson_r):
            low, r, high = (signed(v, 3, plus=False) for v in (found.r_ci_low, found.pearson_r, found.r_ci_high))
            text = f"r = {r} ({low} to {high})"
            axis.text(0.04, 0.96, text, transform=axis.transAxes, va="top", fontsize=6.5)
            lines.append(f"{_name(results, cell)} r = {found.pearson_r:.3f}")
    for row, target in zip(axes, _targets(cells), strict=True):
        row[0].set_ylabel(f"{target}\nPredicted volume (ml)")
    for axis in axes[-1]:
        axis.set_xlabel("Reference volume (ml)")
    _legend(figure, axes, results)
    return Picture(
        name="volume_scatter",
        title="Predicted against reference volume",
        caption="Renal parenchyma per kidney, end to end; line of identity; Pearson's r with its 95 % interval (patients as "
        f"clusters). {_whose(results)} {_counts(results, kidneys)} {results.provenance}",
        alt="Scatter plots of predicted against reference volume. " + "; ".join(lines) + ".",
        figure=figure,
    )


def _grid(results: Results, **shared: object):
    """The deployed models' kidneys, one table per panel (None where there is nothing), and the panels."""
    scores = results.table("scores")
    kept = scores["arm"].isin(results.deployed["arm"]) & (scores["region"] == REGION) & (scores["unit"] == "kidney")
    kidneys = scores[kept & (scores["volume_reference_ml"] > 0)]
    targets = [target for target in results.targets if (kidneys["target"] == target).any()]
    sites = [site for site in results.sites if (kidneys["site"] == site).any()]
    figure, axes = panels(len(targets), len(sites), PAGE_MM, 16 + 58 * len(targets), **shared)
    cells = [
        [kidneys[(kidneys["target"] == target) & (kidneys["site"] == site)] for site in sites] for target in targets
    ]
    for axis, site in zip(axes[0] if axes else [], sites, strict=False):
        axis.set_title(heading(results.site_title(site)))
    return kidneys, cells, axes, figure


def _targets(cells: list[list[pd.DataFrame]]) -> list[str]:
    """The target of each row of panels, in words."""
    return [TARGETS[next(cell for cell in row if len(cell))["target"].iloc[0]] for row in cells]


def _each(
    cells: list[list[pd.DataFrame]], axes: list[list[Axes]]
) -> Iterator[tuple[Axes, pd.DataFrame, Agreement | None]]:
    for row, tables in zip(axes, cells, strict=True):
        for axis, cell in zip(row, tables, strict=True):
            if len(cell):
                yield axis, cell, _agreement(cell)
            else:
                absent(axis)


def _agreement(cell: pd.DataFrame) -> Agreement | None:
    try:
        return agreement(cell["volume_reference_ml"], cell["volume_predicted_ml"], cell["patient"])
    except (DegenerateDataError, IncompleteDesignError):
        return None


def _points(axis: Axes, results: Results, cell: pd.DataFrame, x: pd.Series, y: pd.Series) -> None:
    for arm, (marker, colour) in zip(results.deployed["arm"], SUBSET_MARKERS, strict=False):
        here = cell["arm"] == arm
        axis.plot(
            x[here], y[here], linestyle="", marker=marker, color=colour, alpha=0.6, markersize=2.2, markeredgewidth=0
        )


def _limits(axis: Axes, found: Agreement) -> None:
    axis.axhline(found.mean_difference, color=BLACK, linewidth=0.9)
    axis.axhspan(found.ci_low, found.ci_high, color=BLACK, alpha=0.12, linewidth=0)
    for name in ("loa_low", "loa_high"):
        axis.axhline(getattr(found, name), color=BLACK, linestyle=(0, (4, 2)), linewidth=0.9)
        axis.axhspan(
            getattr(found, f"{name}_ci_low"), getattr(found, f"{name}_ci_high"), color=BLACK, alpha=0.08, linewidth=0
        )
    low, mean, high = (signed(value, 1) for value in (found.loa_low, found.mean_difference, found.loa_high))
    text = f"{mean} ml ({low} to {high})"
    axis.text(0.98, 0.97, text, transform=axis.transAxes, ha="right", va="top", fontsize=6.5)


def _legend(figure, axes: list[list[Axes]], results: Results) -> None:
    arms = results.deployed["arm"].tolist()
    handles = [
        axes[0][0].plot([], [], linestyle="", marker=marker, color=colour, markersize=4, label=arm)[0]
        for arm, (marker, colour) in zip(arms, SUBSET_MARKERS, strict=False)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), title="Training set")


def _name(results: Results, cell: pd.DataFrame) -> str:
    return f"{results.site_title(cell['site'].iloc[0])}, {TARGETS[cell['target'].iloc[0]].lower()}:"


def _whose(results: Results) -> str:
    return f"Models: {' and '.join(results.deployed['arm'])}, the mixed training with the most annotated patients."


def _counts(results: Results, kidneys: pd.DataFrame) -> str:
    parts = []
    for site, here in kidneys.groupby("site", observed=True):
        counts = [str(cell["subject"].nunique()) for _, cell in _with_subject(here).groupby("target", observed=True)]
        parts.append(f"{results.site_title(site)} {'/'.join(counts)}")
    order = "/".join(
        TARGETS[target].split(", ")[-1] for target in kidneys["target"].cat.categories if target != "kidney"
    )
    return f"Kidneys ({order}): {'; '.join(parts)}."


def _with_subject(kidneys: pd.DataFrame) -> pd.DataFrame:
    return kidneys.assign(subject=kidneys["case"] + "/" + kidneys["side"].astype(str))
