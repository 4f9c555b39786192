"""Figure of scores against size: the units that a dependence on size was tested on."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from crossmod.job import Plain
from crossmod.report.columns import in_regions
from crossmod.report.declared import outcome_of
from crossmod.report.results import Results
from crossmod.report.rivals import seeds_in_words
from crossmod.report.rows import rows_of
from crossmod.report.sizes import of_largest_dose
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
    wrapped,
)
from crossmod.report.tables import p_value, signed, span, units_in_words
from crossmod.report.words import END_TO_END, capital, metric_label, metric_name, small, volume_name
from crossmod.tables import read_own

PERSON = "person"
PLACES = ("site", "target", "region", "setting")
# The largest score of a panel lies here, so that the numbers of the test have room above it.
TOP = 1.4


@dataclass(frozen=True)
class Shown:
    """What one figure of size shows: one dependence on size, of one target."""

    hypothesis: Plain
    target: str
    name: str


def shown(results: Results) -> list[Shown]:
    """One figure for each target of each dependence of a score on size that was tested in any cell."""
    found = []
    hypotheses = results.declared.on("units", "size_dependence")
    for hypothesis in hypotheses:
        targets = set(_cells(results, hypothesis)["target"])
        own = f"size_{hypothesis['name']}" if len(hypotheses) > 1 else "size"
        found += [Shown(hypothesis, one, f"{own}_{one}") for one in results.targets if one in targets]
    return found


@styled
def score_by_size(results: Results, asked: Shown) -> Picture:
    """Score against volume of the tested units, a row for each site and a column for each level, with Spearman's ρ."""
    cells = _cells(results, asked.hypothesis)
    cells = cells[cells["target"] == asked.target]
    sites = [site for site in results.sites if (cells["site"] == site).any()]
    columns = cells["column"].drop_duplicates().tolist()
    shared: dict[str, Any] = {"sharex": True, "sharey": True}
    figure, axes = panels(len(sites), len(columns), PAGE_MM, 16 + 36 * len(sites), **shared)
    outcome, size = outcome_of("units", asked.hypothesis), _size(asked.hypothesis)
    for line, site in zip(axes, sites, strict=True):
        for axis, column in zip(line, columns, strict=True):
            here = cells[(cells["site"] == site) & (cells["column"] == column)]
            _panel(axis, results, asked, here)
        line[0].set_ylabel(f"{heading(results.site_title(site))}\n{capital(metric_label(outcome))}")
    for axis, column in zip(axes[0], columns, strict=True):
        axis.set_title(wrapped(column, len(columns)), fontsize=6.5)
    for axis in axes[-1]:
        axis.set_xlabel(f"{capital(size)} (ml)")
    axes[0][0].set_xscale("log")
    axes[0][0].xaxis.set_major_formatter("{x:g}")
    if outcome in ("dsc", "surface_dsc"):
        axes[0][0].set_ylim(-0.04, TOP)
        axes[0][0].set_yticks(np.linspace(0, 1, 5))
    metric = metric_name(outcome)
    return Picture(
        name=asked.name,
        title=f"{metric} against {size}: {small(results.words.target(asked.target))}",
        caption=f"Each mark is a patient: mean {metric} of the units, end to end, against the {size} (log "
        f"axis). ρ: Spearman's, with its corrected p as tested. Dotted: the median volume. Unit: "
        f"{units_in_words(results, [asked.target])}; {span(cells['n'])}; "
        f"{seeds_in_words(results, results.arms)} per {results.words.arm}. {results.provenance}",
        alt=f"Scatter plots of {metric} against {size}. {_sentence(results, cells)}",
        figure=figure,
    )


def _cells(results: Results, hypothesis: Plain) -> pd.DataFrame:
    """The cells that were tested at the largest dose; ``column`` and ``level`` say which panel they are of."""
    table = in_regions(of_largest_dose(results, hypothesis), END_TO_END).dropna(subset="spearman_rho")
    contrast = results.words.contrast
    factor = contrast["factor"] if contrast and contrast["factor"] in hypothesis["each"] else None
    told = [name for name in hypothesis["each"] if name not in (*PLACES, results.words.dose)]
    titles = [results.words.levels({name: row[name] for name in told}) for row in table.to_dict("records")]
    levels = [str(level) for level in table[factor]] if factor else [""] * len(table)
    return table.assign(column=titles, level=levels, target=table["target"].astype(str))


def _panel(axis: Axes, results: Results, asked: Shown, cells: pd.DataFrame) -> None:
    """The patients of one cell, and what the test says of them."""
    if cells.empty:
        absent(axis)
        return
    row = next(rows_of(cells))
    volumes, scores = _points(results, asked.hypothesis, row.rows)
    levels = results.levels(results.colour_factor) if row.level and results.colour_factor else []
    colour, marker = colours_of(levels).get(row.level, GREY), markers_of(levels).get(row.level, "o")
    axis.plot(volumes, scores, linestyle="", marker=marker, color=colour, alpha=0.7, markersize=2.8, markeredgewidth=0)
    axis.axvline(float(np.median(volumes)), color=GREY, linewidth=0.7, linestyle=(0, (1, 2)))
    text = f"ρ = {signed(row.spearman_rho, 2, plus=False)}\np {_p(row.p_corrected)}"
    axis.text(0.03, 0.97, text, transform=axis.transAxes, va="top", fontsize=6)


def _points(results: Results, hypothesis: Plain, rows: str) -> tuple[pd.Series, pd.Series]:
    """Volume and score of each patient of a cell, from the rows that its p-value leads to."""
    columns = [hypothesis["volume"], outcome_of("units", hypothesis)]
    table = read_own(results.place(f"analyse/{rows}"), (PERSON,)).dropna(subset=columns)
    means = table.groupby(PERSON, sort=False)[columns].mean()
    return means.iloc[:, 0], means.iloc[:, 1]


def _p(value: float) -> str:
    text = p_value(value).text
    return text if text.startswith("<") else f"= {text}"


def _size(hypothesis: Plain) -> str:
    """The size in words; that of the reference may be of an organ or of a lesion."""
    column = hypothesis["volume"]
    return "reference volume" if column == "volume_reference_ml" else volume_name(column)


def _sentence(results: Results, cells: pd.DataFrame) -> str:
    parts = [
        f"{results.site_title(row.site)}{f', {row.column}' if row.column else ''}: {signed(row.spearman_rho, 2)}"
        for row in rows_of(cells)
    ]
    return f"Spearman's ρ: {'; '.join(parts)}."
