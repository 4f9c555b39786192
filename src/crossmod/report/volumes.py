"""Figures of volumes: differences against size, and predicted against reference."""

from collections.abc import Iterator
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crossmod.analyse.stats import Agreement, DegenerateDataError, IncompleteDesignError, agreement
from crossmod.report.results import Results
from crossmod.report.rows import each
from crossmod.report.style import (
    BLACK,
    BLUE,
    GREEN,
    PAGE_MM,
    PURPLE,
    VERMILION,
    NothingToShowError,
    Picture,
    absent,
    heading,
    panels,
    styled,
)
from crossmod.report.tables import signed, units_in_words
from crossmod.report.words import END_TO_END, capital, small

ARM_MARKERS = (("o", BLUE), ("^", VERMILION), ("s", GREEN), ("D", PURPLE))


@styled
def bland_altman(results: Results) -> Picture:
    """Differences of the deployed models' volumes against the mean of both volumes."""
    units, cells, axes, figure = _grid(results, sharex=True, sharey=True)
    margins = results.table("reference_error").set_index(["site", "target"])["margin_ml"].astype(float)
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
    for row, target in zip(axes, _targets(results, cells), strict=True):
        row[0].set_ylabel(f"{target}\nPredicted − reference (ml)")
    for axis in axes[-1]:
        axis.set_xlabel("Mean of both volumes (ml)")
    _legend(figure, axes, results)
    return Picture(
        name="bland_altman",
        title="Volume differences (Bland–Altman)",
        caption=f"Volumes per unit, end to end; unit: {_units(results, units)}. Solid: mean difference; dashed: 95 % "
        "limits of agreement; shading: 95 % intervals that take units of one patient as a cluster"
        f"{'; dotted: a third of the reference method’s error' if margins.notna().any() else ''}. {_whose(results)} "
        f"{_counts(results, units)} {results.provenance}",
        alt="Bland–Altman plots. Mean differences: " + "; ".join(lines) + ".",
        figure=figure,
    )


@styled
def volume_scatter(results: Results) -> Picture:
    """Predicted against reference volume of the deployed models, per site and target."""
    units, cells, axes, figure = _grid(results, sharex=True, sharey=True)
    top = 1.05 * float(units[["volume_predicted_ml", "volume_reference_ml"]].max().max())
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
    for row, target in zip(axes, _targets(results, cells), strict=True):
        row[0].set_ylabel(f"{target}\nPredicted volume (ml)")
    for axis in axes[-1]:
        axis.set_xlabel("Reference volume (ml)")
    _legend(figure, axes, results)
    return Picture(
        name="volume_scatter",
        title="Predicted against reference volume",
        caption=f"Volumes per unit, end to end; unit: {_units(results, units)}. Line of identity; Pearson's r with its "
        f"95 % interval (patients as clusters). {_whose(results)} {_counts(results, units)} {results.provenance}",
        alt="Scatter plots of predicted against reference volume. " + "; ".join(lines) + ".",
        figure=figure,
    )


def _grid(results: Results, **shared: Any) -> tuple[pd.DataFrame, list[list[pd.DataFrame]], list[list[Axes]], Figure]:
    """The deployed models' units with a volume, one table per panel (None where there is nothing), and the panels.

    Raises:
        NothingToShowError: if no volumes were compared.
    """
    scores = results.table("scores")
    compared = set(results.table("volumes")["target"])
    kept = (
        scores["arm"].isin(results.deployed["arm"])
        & scores["region"].isin(END_TO_END)
        & scores["target"].isin(compared)
    )
    units = scores[kept & (scores["volume_reference_ml"] > 0)]
    targets = [target for target in results.targets if (units["target"] == target).any()]
    sites = [site for site in results.sites if (units["site"] == site).any()]
    if not targets:
        raise NothingToShowError("No volumes were compared in this study, so there is no figure of volumes.")
    figure, axes = panels(len(targets), len(sites), PAGE_MM, 16 + 58 * len(targets), **shared)
    cells = [[units[(units["target"] == target) & (units["site"] == site)] for site in sites] for target in targets]
    for axis, site in zip(axes[0], sites, strict=False):
        axis.set_title(heading(results.site_title(site)))
    return units, cells, axes, figure


def _targets(results: Results, cells: list[list[pd.DataFrame]]) -> list[str]:
    """The target of each row of panels, in words."""
    return [results.words.target(next(cell for cell in row if len(cell))["target"].iloc[0]) for row in cells]


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
    for arm, (marker, colour) in zip(results.deployed["arm"], cycle(ARM_MARKERS), strict=False):
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


def _legend(figure: Figure, axes: list[list[Axes]], results: Results) -> None:
    arms = results.deployed["arm"].tolist()
    handles = [
        axes[0][0].plot([], [], linestyle="", marker=marker, color=colour, markersize=4, label=arm)[0]
        for arm, (marker, colour) in zip(arms, cycle(ARM_MARKERS), strict=False)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), title=capital(results.words.arm))


def _name(results: Results, cell: pd.DataFrame) -> str:
    return f"{results.site_title(cell['site'].iloc[0])}, {small(results.words.target(cell['target'].iloc[0]))}:"


def _units(results: Results, units: pd.DataFrame) -> str:
    return units_in_words(results, dict.fromkeys(units["target"]))


def _whose(results: Results) -> str:
    arms, contrast = " and ".join(results.deployed["arm"]), results.words.contrast
    if not contrast:
        return f"Models: {arms}."
    return f"Models: {arms} ({results.words.level(contrast['factor'], contrast['a'])}{results.most})."


def _counts(results: Results, units: pd.DataFrame) -> str:
    units = units.assign(
        subject=units["case"]
        + "/"
        + units["side"].astype(str)
        + units.get("part", pd.Series("", units.index)).astype(str)
    )
    targets = [target for target in results.targets if (units["target"] == target).any()]
    parts = []
    for site, here in each(units, "site"):
        counts = [str(here[here["target"] == target]["subject"].nunique()) for target in targets]
        parts.append(f"{results.site_title(site)} {'/'.join(counts)}")
    order = "/".join(small(results.words.target(target)) for target in targets)
    return f"Units ({order}): {'; '.join(parts)}."
