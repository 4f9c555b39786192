"""The tables of the report: every number keeps its full value and the file it comes from."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from crossmod.report.results import Results
from crossmod.report.rows import rows_of
from crossmod.report.words import END_TO_END, REGIONS, as_words, capital, is_distance, listed, metric_name, small, where

MINUS = "−"


@dataclass(frozen=True)
class Cell:
    """What a reader sees, and what lies behind it.

    Attributes:
        text: shown.
        value: the number in full; None for words.
        detail: shown smaller, below.
        rows: file of the rows a p-value came from, relative to the analyse step's folder.
        source: CSV of the value where it is not the table's.
    """

    text: str
    value: float | None = None
    detail: str = ""
    rows: str = ""
    source: str = ""

    def __str__(self) -> str:
        return f"{self.text} ({self.detail})" if self.detail else self.text

    def of(self, source: str) -> "Cell":
        """The cell as a value of another CSV."""
        return replace(self, source=source)


@dataclass(frozen=True)
class Table:
    """A table for readers.

    Attributes:
        name: of the table.
        caption: one or two sentences: what is shown, and what the brackets hold.
        source: the CSV its values come from, relative to the results.
        columns: headers, the first one for the row headers.
        rows: one list of cells per row, the first one its header.
        groups: headers above the columns as (text, how many columns), or none.
    """

    name: str
    caption: str
    source: str
    columns: list[str]
    rows: list[list[Cell]]
    groups: list[tuple[str, int]] | None = None

    def to_frame(self) -> pd.DataFrame:
        """The texts, for display in a notebook."""
        columns: list[str] | pd.MultiIndex = self.columns
        if self.groups:
            above = [text for text, span in self.groups for _ in range(span)]
            columns = pd.MultiIndex.from_arrays([above, self.columns])
        return pd.DataFrame([[str(cell) for cell in row] for row in self.rows], columns=columns)


def scores(
    results: Results,
    metric: str = "dsc",
    regions: Iterable[str] = END_TO_END,
    targets: Iterable[str] | None = None,
) -> Table:
    """Mean score of every arm (rows) at every site and target (columns), with intervals.

    Args:
        results: of the study.
        metric: one of the study's; of a distance medians are shown, for a missed organ is infinitely far.
        regions: of the rows to show.
        targets: of the columns to show; all where None.
    """
    chosen = results.targets if targets is None else list(targets)
    table = _in_regions(results.table("dsc"), regions)
    table = table[(table["metric"] == metric) & table["target"].isin(chosen)]
    keys = [
        (site, target)
        for site in results.sites
        for target in chosen
        if ((table["site"] == site) & (table["target"] == target)).any()
    ]
    found = {(row.arm, row.site, row.target): row for row in rows_of(table)}
    rows = []
    for arm in results.arms:
        scored = [found.get((arm, *key)) for key in keys]
        if any(row is not None for row in scored):
            rows.append([Cell(arm), *(_score(row, metric) for row in scored)])
    groups = [("", 1)]
    for site in dict.fromkeys(site for site, _ in keys):
        groups.append((results.site_name(site), sum(key[0] == site for key in keys)))
    distance = is_distance(metric)
    what = f"Median {metric_name(metric)} in mm" if distance else f"Mean {metric_name(metric)}"
    brackets = "" if distance else " with its BCa interval (whole patients resampled)"
    undefined = int(table["n_undefined"].max()) if len(table) else 0
    left = f"up to {undefined} with two empty masks left out" if undefined else "none left out"
    arm = results.words.arm
    return Table(
        name=f"{what.split(' in ')[0]}, {where(regions)}",
        caption=f"{what}{brackets} of every {arm}. Unit: {units_in_words(results, [target for _, target in keys])}; "
        f"{span(table['n'])}, {left}; no test, nothing corrected. {results.provenance}",
        source="analyse/dsc.csv",
        columns=[capital(arm), *(results.words.target(target) for _, target in keys)],
        rows=rows,
        groups=groups,
    )


def volumes(results: Results, arms: Iterable[str], regions: Iterable[str] = END_TO_END) -> Table:
    """Agreement of volumes of some arms; the columns of the margin stand where there is one."""
    table = _in_regions(results.table("volumes"), regions)
    shown = table[table["arm"].isin(list(arms))]
    held = bool(shown["margin_ml"].notna().any())
    rows = [
        [
            Cell(row.arm),
            *place(results, row.site, row.target),
            number(row.n_units, "d"),
            signed_interval(row.mean_difference, row.ci_low, row.ci_high, 1),
            number(row.mean_absolute_difference, ".1f"),
            Cell(f"{signed(row.loa_low, 1)} to {signed(row.loa_high, 1)}"),
            signed_interval(row.pearson_r, row.r_ci_low, row.r_ci_high, 3, plus=False),
            *(_held(row) if held else []),
            Cell(row.verdict or row.note),
        ]
        for row in rows_of(shown)
    ]
    margin = ("Margin (ml)", "p (|d| < margin)", "p (equivalence)") if held else ()
    return Table(
        name=f"Volume agreement, {where(regions)}",
        caption=_volumes_caption(results, shown, held),
        source="analyse/volumes.csv",
        columns=[
            capital(results.words.arm),
            "Site",
            "Target",
            "n",
            "Difference (ml)",
            "|Difference| (ml)",
            "Limits of agreement (ml)",
            "Pearson's r",
            *margin,
            "Verdict",
        ],
        rows=rows,
    )


def _held(row: Any) -> list[Cell]:
    """The margin of a row, and both tests against it."""
    p = [p_value(row.p_below_margin_corrected, row.rows), p_value(row.p_tost_corrected, row.rows)]
    return [number(row.margin_ml, ".1f"), *p]


def _volumes_caption(results: Results, shown: pd.DataFrame, held: bool) -> str:
    units = units_in_words(results, dict.fromkeys(shown["target"]))
    text = (
        "Predicted − reference volume per unit in ml: mean with its interval, mean of |difference|, 95 % limits of "
        "agreement, Pearson's r with its interval. "
    )
    tests = (
        "p: is the mean |difference|, or the mean difference (equivalence), below the margin, a third of the reference "
        "method's error? One-sided t with patients as clusters (CR2). "
    )
    corrected = (
        f"Bonferroni over the sites and targets of one {results.words.arm}" if held else "no test, nothing corrected"
    )
    return (
        f"{text}{tests if held else ''}Unit: {units}, every seed a row; {_sizes(shown)}; {corrected}. "
        f"{results.provenance}"
    )


def reference_errors(results: Results) -> Table:
    """The error that the volumes are held against."""
    rows = [
        [
            Cell(results.site_name(row.site)),
            Cell(results.words.target(row.target)),
            number(row.reference_error_ml, ".1f"),
            number(row.margin_ml, ".1f"),
            number(row.n_kidneys, "d"),
            Cell(row.source),
        ]
        for row in rows_of(results.table("reference_error"))
    ]
    return Table(
        name="Error of the reference method",
        caption="Mean |error| of the reference method and a third of it, the margin of the volume tests. "
        f"{results.provenance}",
        source="analyse/reference_error.csv",
        columns=["Site", "Target", "Error (ml)", "Margin (ml)", "Units", "Source"],
        rows=rows,
    )


def incomplete(results: Results) -> Table:
    """Every unit that a test left out, and why."""
    rows = [
        [
            Cell(row.subject),
            Cell(row.test),
            *place(results, row.site, row.target),
            Cell(REGIONS.get(row.region, as_words(row.region))),
            Cell("" if pd.isna(row.arm) else str(row.arm)),
            Cell(row.missing),
            Cell(row.reason),
        ]
        for row in rows_of(results.table("incomplete"))
    ]
    return Table(
        name="Left out of a test",
        caption="Units that lack a value; a test uses complete units only.",
        source="analyse/incomplete.csv",
        columns=["Unit", "Test", "Site", "Target", "Region", capital(results.words.arm), "Missing", "Reason"],
        rows=rows,
    )


def plain(frame: pd.DataFrame, name: str, caption: str, source: str) -> Table:
    """A frame of words and counts as a table."""
    rows = [[Cell(str(value)) for value in row] for row in frame.itertuples(index=False, name=None)]
    return Table(name, caption, source, list(frame.columns), rows)


def number(value: float, form: str) -> Cell:
    """A number in a format; a dash where there is none."""
    if value is None or math.isnan(value):
        return Cell("–")
    text = f"{int(value)}" if form == "d" else _minus(format(value, form))
    return Cell(text.replace("inf", "∞"), float(value))


def signed(value: float, digits: int, plus: bool = True) -> str:
    """A number with its sign (none where it rounds to zero); a dash where there is no number."""
    if math.isnan(value):
        return "–"
    rounded = round(value, digits)
    return _minus(f"{rounded:{'+' if plus and rounded else ''}.{digits}f}") if rounded else f"{0:.{digits}f}"


def signed_interval(value: float, low: float, high: float, digits: int, plus: bool = True) -> Cell:
    """A number and, as detail, ``−0.3 to +2.7``."""
    if math.isnan(value):
        return Cell("–")
    detail = "" if math.isnan(low) else f"{signed(low, digits, plus)} to {signed(high, digits, plus)}"
    return Cell(signed(value, digits, plus), float(value), detail)


def p_value(value: float, rows: str = "") -> Cell:
    """A p-value to three decimals, very small ones as a bound; it leads to its rows."""
    if math.isnan(value):
        return Cell("–")
    return Cell("< 0.001" if value < 0.001 else f"{value:.3f}", float(value), rows=rows)


def _minus(text: str) -> str:
    return text.replace("-", MINUS)


def units_in_words(results: Results, targets: Iterable[str]) -> str:
    """``the image (kidney) or the kidney (parenchyma)``: what is scored, for each target."""
    units: dict[str, list[str]] = {}
    for target in dict.fromkeys(targets):
        units.setdefault(results.unit_of.get(target, "image"), []).append(small(results.words.target(target)))
    if len(units) < 2:
        return f"the {as_words(next(iter(units), 'image'))}"
    return listed((f"the {as_words(unit)} ({'; '.join(names)})" for unit, names in units.items()), "or")


def place(results: Results, site: str | None, target: str | None) -> list[Cell]:
    """Site and target in words; ``all`` where a test does not tell them apart."""
    words = [
        results.site_name(site) if site is not None else "all",
        results.words.target(target) if target is not None else "all",
    ]
    return [Cell(word) for word in words]


def _sizes(table: pd.DataFrame) -> str:
    most = table["n_dropped"].max()
    left = f"up to {most:.0f} without a volume left out (listed below)" if most > 0 else "none left out"
    return f"{span(table['n'])}, {left}"


def span(sizes: pd.Series) -> str:
    """``n 65 to 240``, or ``n 65`` where all are the same."""
    known = sizes.dropna()
    return "n " + " to ".join(f"{n:.0f}" for n in sorted({known.min(), known.max()})) if len(known) else "n 0"


def _in_regions(table: pd.DataFrame, regions: Iterable[str]) -> pd.DataFrame:
    return table[table["region"].isin(list(regions))]


def _score(row: Any, metric: str) -> Cell:
    if row is None:
        return Cell("–")
    if is_distance(metric):
        return number(row.median, ".1f")
    if math.isnan(row.mean):
        return Cell(row.note or "–")
    if math.isnan(row.ci_low):
        return Cell(f"{row.mean:.3f}", float(row.mean))
    return Cell(f"{row.mean:.3f}", float(row.mean), f"{row.ci_low:.3f}–{row.ci_high:.3f}")
