"""The tables of the report: every number keeps its full value and the file it comes from."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from crossmod.report.results import END_TO_END, REGIONS, TARGETS, Results

MINUS = "−"


@dataclass(frozen=True)
class Cell:
    """What a reader sees (the detail smaller, below), and the value behind it (None for words)."""

    text: str
    value: float | None = None
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.text} ({self.detail})" if self.detail else self.text


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


def scores(results: Results, metric: str = "dsc", regions: Iterable[str] = END_TO_END) -> Table:
    """Mean score of every arm (rows) at every site and target (columns), with intervals.

    Args:
        results: of the study.
        metric: ``dsc``, ``surface_dsc`` or ``hd95_mm`` (then medians: a missed organ is infinitely far).
        regions: of the rows to show.
    """
    table = _in_regions(results.table("dsc"), regions)
    table = table[table["metric"] == metric]
    keys = [
        (site, target)
        for site in results.sites
        for target in results.targets
        if ((table["site"] == site) & (table["target"] == target)).any()
    ]
    found = {(row.arm, row.site, row.target): row for row in table.itertuples()}
    rows = []
    for arm in results.arms:
        cells = [_score(found.get((arm, *key)), metric) for key in keys]
        rows.append([Cell(arm), *cells])
    groups = [("", 1)]
    for site in dict.fromkeys(site for site, _ in keys):
        groups.append((results.site_name(site), sum(key[0] == site for key in keys)))
    what = "Median 95 % Hausdorff distance in mm" if metric == "hd95_mm" else f"Mean {_metric_name(metric)}"
    brackets = "" if metric == "hd95_mm" else " with its interval (patients resampled)"
    return Table(
        name=f"{what.split(' in ')[0]}, {_where(regions)}",
        caption=f"{what}{brackets} of every training set. {results.provenance}",
        source="analyse/dsc.csv",
        columns=["Training set", *(TARGETS[target] for _, target in keys)],
        rows=rows,
        groups=groups,
    )


def comparisons(results: Results, regions: Iterable[str] = END_TO_END) -> Table:
    """Mixed minus pure at every amount, site and target: the simple effects with their verdicts."""
    table = _in_regions(results.table("pairwise"), regions)
    rows = []
    for row in table.itertuples():
        rows.append(
            [
                *_place(results, row),
                Cell(f"{row.at}", float(row.at)),
                number(row.n, "d"),
                signed_interval(row.mean_difference, row.ci_low, row.ci_high, 4),
                number(row.statistic, ".2f"),
                p_value(row.p_corrected),
                number(row.cohen_dz, ".2f"),
                Cell(row.verdict or row.note),
            ]
        )
    return Table(
        name=f"Mixed against pure training, {_where(regions)}",
        caption="Difference of mean DSC, mixed − pure, paired by unit, with its interval; p corrected over the amounts of "
        f"one site, target and region ({results.notes['correction'].split(' ')[0]}). “equal” means no significant "
        f"difference, not equivalence. {results.provenance}",
        source="analyse/pairwise.csv",
        columns=["Site", "Target", "MR patients", "n", "Difference", "t", "p", "dz", "Verdict"],
        rows=rows,
    )


def anova(results: Results, regions: Iterable[str] = END_TO_END) -> Table:
    """The repeated-measures ANOVA of every site and target."""
    effects = {"strategy": "strategy", "amount": "amount", "strategy:amount": "strategy × amount"}
    rows = []
    for row in _in_regions(results.table("rm_anova"), regions).itertuples():
        rows.append(
            [
                *_place(results, row),
                Cell(effects.get(row.effect, row.effect)),
                number(row.F, ".2f"),
                Cell(row.note) if math.isnan(row.F) and row.note else Cell(f"{row.df1:g}, {row.df2:g}"),
                number(row.epsilon_gg, ".3f"),
                p_value(row.p_gg),
                number(row.eta_sq_generalised, ".3f"),
                number(row.n_subjects, "d"),
                number(row.n_dropped, "d"),
            ]
        )
    return Table(
        name=f"Repeated-measures ANOVA, {_where(regions)}",
        caption="DSC by strategy (pure, mixed) and amount of annotated MR patients, within units; p with the correction "
        f"of Greenhouse and Geisser (ε); generalised η². {results.provenance}",
        source="analyse/rm_anova.csv",
        columns=["Site", "Target", "Effect", "F", "df", "ε", "p", "η²", "n", "left out"],
        rows=rows,
    )


def volumes(results: Results, arms: Iterable[str], regions: Iterable[str] = END_TO_END) -> Table:
    """Agreement of parenchyma volumes of some arms."""
    table = _in_regions(results.table("volumes"), regions)
    rows = []
    for row in table[table["arm"].isin(list(arms))].itertuples():
        rows.append(
            [
                Cell(row.arm),
                *_place(results, row),
                number(row.n_units, "d"),
                signed_interval(row.mean_difference, row.ci_low, row.ci_high, 1),
                number(row.mean_absolute_difference, ".1f"),
                Cell(f"{signed(row.loa_low, 1)} to {signed(row.loa_high, 1)}"),
                signed_interval(row.pearson_r, row.r_ci_low, row.r_ci_high, 3, plus=False),
                number(row.margin_ml, ".1f"),
                p_value(row.p_below_margin_corrected),
                p_value(row.p_tost_corrected),
                Cell(row.verdict or row.note),
            ]
        )
    return Table(
        name=f"Volume agreement, {_where(regions)}",
        caption="Predicted − reference parenchyma volume per kidney in ml: mean with its interval, mean of |difference|, 95 % "
        "limits of agreement, Pearson's r with its interval. p: is the mean |difference|, or the mean difference "
        "(equivalence), below the margin, a third of the reference method's error? Corrected over the sites and targets "
        f"of one training set. {results.provenance}",
        source="analyse/volumes.csv",
        columns=[
            *("Training set", "Site", "Target", "n", "Difference (ml)", "|Difference| (ml)"),
            *(
                "Limits of agreement (ml)",
                "Pearson's r",
                "Margin (ml)",
                "p (|d| < margin)",
                "p (equivalence)",
                "Verdict",
            ),
        ],
        rows=rows,
    )


def reference_errors(results: Results) -> Table:
    """The error that the volumes are held against."""
    rows = [
        [
            Cell(results.site_name(row.site)),
            Cell(TARGETS[row.target]),
            number(row.reference_error_ml, ".1f"),
            number(row.margin_ml, ".1f"),
            number(row.n_kidneys, "d"),
            Cell(row.source),
        ]
        for row in results.table("reference_error").itertuples()
    ]
    return Table(
        name="Error of the reference method",
        caption="Mean |error| of the reference method and a third of it, the margin of the volume tests. "
        f"{results.provenance}",
        source="analyse/reference_error.csv",
        columns=["Site", "Target", "Error (ml)", "Margin (ml)", "Kidneys", "Source"],
        rows=rows,
    )


def incomplete(results: Results) -> Table:
    """Every unit that a test left out, and why."""
    rows = [
        [
            Cell(row.subject),
            Cell(row.test),
            *_place(results, row),
            Cell(REGIONS[row.region]),
            Cell("" if pd.isna(row.arm) else str(row.arm)),
            Cell(row.missing),
            Cell(row.reason),
        ]
        for row in results.table("incomplete").itertuples()
    ]
    return Table(
        name="Left out of a test",
        caption="Units that lack a value; a test uses complete units only.",
        source="analyse/incomplete.csv",
        columns=["Unit", "Test", "Site", "Target", "Region", "Training set", "Missing", "Reason"],
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


def p_value(value: float) -> Cell:
    """A p-value to three decimals; very small ones as a bound."""
    if math.isnan(value):
        return Cell("–")
    return Cell("< 0.001" if value < 0.001 else f"{value:.3f}", float(value))


def _minus(text: str) -> str:
    return text.replace("-", MINUS)


def _place(results: Results, row) -> list[Cell]:
    """Site and target in words."""
    return [Cell(results.site_name(row.site)), Cell(TARGETS[row.target])]


def _in_regions(table: pd.DataFrame, regions: Iterable[str]) -> pd.DataFrame:
    return table[table["region"].isin(list(regions))]


def _where(regions: Iterable[str]) -> str:
    return "end to end" if tuple(regions) == END_TO_END else " and ".join(REGIONS[region] for region in regions)


def _metric_name(metric: str) -> str:
    return {"dsc": "DSC", "surface_dsc": "surface DSC"}[metric]


def _score(row, metric: str) -> Cell:
    if row is None:
        return Cell("–")
    if metric == "hd95_mm":
        return number(row.median, ".1f")
    if math.isnan(row.mean):
        return Cell(row.note or "–")
    if math.isnan(row.ci_low):
        return Cell(f"{row.mean:.3f}", float(row.mean))
    return Cell(f"{row.mean:.3f}", float(row.mean), f"{row.ci_low:.3f}–{row.ci_high:.3f}")
