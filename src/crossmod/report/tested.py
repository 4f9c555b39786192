"""The tables of the study's hypotheses.

Every test stands beside its assumptions and its alternatives, and every p leads to its rows.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd

from crossmod.job import Plain
from crossmod.report.columns import (
    Column,
    Row,
    built,
    by_cell,
    cell_of,
    facts,
    in_regions,
    pair_in_words,
    places,
    test_p,
    verdict,
)
from crossmod.report.declared import Comparison, outcome_of
from crossmod.report.results import Results
from crossmod.report.rows import filled
from crossmod.report.tables import Cell, Table, number, signed_interval
from crossmod.report.words import END_TO_END, capital, listed, metric_name, short, small, where

WAYS = {1: "One-way", 2: "Two-way", 3: "Three-way"}
# What each test of a comparison is and takes for granted, in a caption.
ROADS = {
    "t": "paired t, which takes the differences for normal (p of Shapiro and Wilk)",
    "ranks": "Wilcoxon's signed ranks, which take them for symmetric (skewness)",
    "model": "a linear mixed model of every row",
}


def comparisons(results: Results, regions: Iterable[str] = END_TO_END) -> list[Table]:
    """Every comparison of levels within units, by each of the tests that are declared for it."""
    return [comparison(results, asked, regions) for asked in results.declared.compared_on("units")]


def comparison(results: Results, asked: Comparison, regions: Iterable[str] = END_TO_END) -> Table:
    """Differences of levels by t, by ranks and by a mixed model, and held against a margin.

    Tests that are not declared are left out.
    """
    regions = tuple(regions)
    main = in_regions(results.tested(asked.main), regions)
    columns = [*places(results, asked.main), *_of_levels(results, asked, main)]
    # Values of the main test come from its own CSV: the others name theirs.
    columns += [*_differences(results, asked, main), *_roads(results, asked)]
    return built(
        name=f"{_against(results, asked)}, {where(regions)}",
        caption=_comparison_caption(results, asked, main),
        source=f"analyse/{asked.main['name']}.csv",
        columns=columns,
        rows=main.to_dict("records"),
    )


def apart(results: Results, asked: Comparison, regions: Iterable[str] = END_TO_END) -> Table:
    """Differences of levels in parts of the units (subgroups), or of each replicate of the training by itself."""
    regions = tuple(regions)
    main = in_regions(results.tested(asked.main), regions)
    columns = [*places(results, asked.main), *_of_levels(results, asked, main), *_differences(results, asked, main)]
    columns += [Column("p", test_p), Column("Verdict", verdict)]
    name, what = {
        "replicates": (
            "each replicate by itself",
            "Models of different subsets are replicates of the training: where they disagree, the luck of one training "
            "is larger than the effect. At a site of the subsets' own pool each unit is scored by models that have not "
            "seen it.",
        ),
        "subgroups": (
            "in subgroups",
            "Units are split at the median volume of the organ, or of a fact such as the tumour, of their site and "
            "target, and by side.",
        ),
    }.get(asked.table, (f"on {asked.table}", ""))
    caption = f"{what} {_test_in_words(asked)} {facts(results, main, 'n')} {results.provenance}"
    title = f"{_against(results, asked)}, {name}, {where(regions)}"
    return built(title, caption.strip(), f"analyse/{asked.main['name']}.csv", columns, main.to_dict("records"))


def anovas(results: Results, table: str = "units", regions: Iterable[str] = END_TO_END) -> list[Table]:
    """Every repeated-measures ANOVA on a table."""
    return [effects(results, hypothesis, regions) for hypothesis in results.declared.on(table, "rm_anova")]


def effects(results: Results, hypothesis: Plain, regions: Iterable[str] = END_TO_END) -> Table:
    """A repeated-measures ANOVA of every cell, rank tests and assumptions beside it."""
    regions = tuple(regions)
    table = in_regions(results.tested(hypothesis), regions)
    several = len(hypothesis["within"]) > 1 or bool((table["df1"] > 1).any())
    columns = [
        *places(results, hypothesis),
        Column("Effect", lambda row: Cell(row["effect"].replace(":", " × "))),
        Column("F", lambda row: number(row["F"], ".2f")),
        Column("df", _degrees),
        Column("p", lambda row: test_p(row, column="p_gg")),
        Column("p corrected", test_p),
        Column("p (ranks)", lambda row: test_p(row, column="rank_p")),
        *([Column("ε", lambda row: number(row["epsilon_gg"], ".3f"))] if several else []),
        *([Column("p (sphericity)", lambda row: test_p(row, column="mauchly_p"))] if several else []),
        Column("p (normal)", lambda row: test_p(row, column="normality_p")),
        Column("η²", lambda row: number(row["eta_sq_generalised"], ".3f")),
        Column("n", lambda row: number(row["n_subjects"], "d")),
        Column("left out", lambda row: number(row["n_dropped"], "d")),
    ]
    factors = listed(_factor_in_words(results, factor) for factor in hypothesis["within"])
    crossed = hypothesis in results.declared.on("crossed")
    scored = ", at the sites whose units the models of every subset score" if crossed else ""
    metric = metric_name(outcome_of("units", hypothesis))
    return built(
        name=f"{WAYS[len(hypothesis['within'])]} repeated-measures ANOVA, {where(regions)}",
        caption=f"The {metric} by {factors}, within units{scored}; a patient's units are averaged. p with the "
        "correction of Greenhouse and Geisser (ε); beside it rank tests (Wilcoxon for two levels, Friedman for more; "
        "interactions as differences), Mauchly's test of sphericity and the normality of the contrasts (Shapiro–Wilk, "
        f"Henze–Zirkler); η² generalised. {facts(results, table, 'n_subjects')} {results.provenance}",
        source=f"analyse/{hypothesis['name']}.csv",
        columns=columns,
        rows=table.to_dict("records"),
    )


def other(results: Results, hypothesis: Plain, regions: Iterable[str] = END_TO_END) -> Table:
    """A hypothesis of a kind without a table of its own: what was compared, n, p and verdict."""
    regions = tuple(regions)
    table = in_regions(results.tested(hypothesis), regions)
    columns = places(results, hypothesis)
    if filled(table["a"]).any():
        columns.append(Column("Compared", lambda row: Cell(pair_in_words(row))))
    if table["mean_difference"].notna().any():
        columns.append(Column("Difference", lambda row: number(row["mean_difference"], ".4f")))
    columns += [Column("n", lambda row: number(row["n"], "d")), Column("p", test_p), Column("Verdict", verdict)]
    name = f"{capital(hypothesis['test'])} ({hypothesis['name']}), {where(regions)}"
    caption = f"{facts(results, table, 'n')} {results.provenance}"
    return built(name, caption, f"analyse/{hypothesis['name']}.csv", columns, table.to_dict("records"))


def _of_levels(results: Results, asked: Comparison, main: pd.DataFrame) -> list[Column]:
    """At which dose, of how many units, and which levels where a cell compares several pairs."""
    columns = []
    if len(_pairs(main)) > 1:
        columns.append(Column("Compared", lambda row: Cell(pair_in_words(row))))
    at = asked.at
    if at:
        columns.append(Column(capital(results.words.factor(at)), lambda row: _level(results, at, row["at"])))
    return [*columns, Column("n", lambda row: number(row["n"], "d"))]


def _differences(results: Results, asked: Comparison, main: pd.DataFrame) -> list[Column]:
    pairs = _pairs(main)
    value = "mean_difference" if main["mean_difference"].notna().any() else "estimate"

    def cell(row: Row) -> Cell:
        return signed_interval(row[value], row["ci_low"], row["ci_high"], 4)

    above = capital(pair_in_words(pairs[0])) if len(pairs) == 1 else ""
    return [Column("Difference", cell, above if asked.table == "units" else "")]


def _pairs(main: pd.DataFrame) -> list[Row]:
    """The pairs of levels that any cell compares; cells that could not be tested name none."""
    named = main[filled(main["a"])]
    return named[["a", "b"]].drop_duplicates().to_dict("records")


def _roads(results: Results, asked: Comparison) -> list[Column]:
    """p of each test that is declared, the assumptions of paired tests, and the margin."""
    main, margin = asked.main, asked.margin
    columns = []
    for test, head in ((asked.t, "p (t)"), (asked.ranks, "p (ranks)"), (asked.model, "p (model)")):
        if test:
            rows = {} if test is main else by_cell(test, results.tested(test))
            columns.append(Column(head, _p_of(test, main, rows), "Corrected p"))
    if main in (asked.t, asked.ranks):
        above = "Of the differences"
        columns.append(Column("skewness", lambda row: number(row["skewness"], ".1f"), above))
        columns.append(Column("p (normal)", lambda row: test_p(row, column="normality_p"), above))
        columns.append(Column("dz", lambda row: number(row["cohen_dz"], ".2f"), above))
    if main is not margin:
        columns.append(Column("Verdict", verdict))
    if margin:
        claims = by_cell(margin, results.tested(margin))
        columns.append(Column("p (margin)", _p_of(margin, None, claims), "Not worse"))
        columns.append(Column("Margin", lambda row: verdict(claims.get(cell_of(margin, row), {})), "Not worse"))
    return columns


def _p_of(test: Plain, main: Plain | None, rows: dict[tuple, Row]) -> Callable[[Row], Cell]:
    """The cell of a test's corrected p: of the row itself, or of the row of the same cell in the test's own CSV."""
    if test is main:
        return test_p
    return lambda row: test_p(rows.get(cell_of(test, row), {}), test)


def _against(results: Results, asked: Comparison) -> str:
    """``CT + MR (mixed) against MR only (pure)``, or the factor where several levels are compared."""
    if len(asked.levels) != 2:
        return f"{capital(results.words.factor(asked.factor))}: differences between levels"
    first, second = (results.words.level(asked.factor, level) for level in asked.levels)
    return f"{first} against {second}"


def _comparison_caption(results: Results, asked: Comparison, main: pd.DataFrame) -> str:
    metric = metric_name(outcome_of(asked.table, asked.main))
    pair = f", {short(asked.levels[0])} − {short(asked.levels[1])}" if len(asked.levels) == 2 else ""
    roads = [ROADS[road] for road in ROADS if getattr(asked, road)]
    tests = f"Tested by {'; '.join(roads)}. No test is chosen by another's result. " if roads else ""
    equal = "“Not shown to differ” is no evidence of equality. " if roads else ""
    return (
        f"Difference of the mean {metric}{pair}, paired by unit, with its interval (patients as clusters). "
        f"{tests}{equal}{_margin_caption(results, asked)}{facts(results, main, 'n')} {results.provenance}"
    )


def _margin_caption(results: Results, asked: Comparison) -> str:
    if not asked.margin:
        return ""
    margins = margins_of(results, asked)
    return (
        f"“non-inferior” is shown against a margin of {' or '.join(f'{margin:g}' for margin in margins)} "
        f"{metric_name(outcome_of(asked.table, asked.margin))} (p two-sided, twice the one-sided). "
    )


def margins_of(results: Results, asked: Comparison | None) -> list[float]:
    """The margins that were tested, as the test's own CSV holds them."""
    if asked is None or not asked.margin:
        return []
    tested = results.tested(asked.margin)["margin"].dropna().unique()
    return sorted(float(margin) for margin in tested) or [float(asked.margin["margin"])]


def _test_in_words(asked: Comparison) -> str:
    road = {
        "t": "Paired t",
        "ranks": "Wilcoxon's signed ranks",
        "model": "Linear mixed model",
        "margin": "Non-inferiority",
    }
    kind = next(kind for kind in road if getattr(asked, kind) is asked.main)
    return f"{road[kind]} with patients as clusters."


def _factor_in_words(results: Results, factor: str) -> str:
    """``strategy (pure, mixed)``: a factor with the levels that enter tests."""
    contrast = results.words.contrast
    if contrast and factor == contrast["factor"]:
        return f"{factor} ({short(contrast['b'])}, {short(contrast['a'])})"
    return small(results.words.factor(factor))


def _degrees(row: Row) -> Cell:
    if math.isnan(row["F"]):
        return Cell(row["note"])
    return Cell(f"{row['df1']:g},\N{NO-BREAK SPACE}{row['df2']:g}")


def _level(results: Results, factor: str, value: Any) -> Cell:
    return Cell(results.words.level(factor, value)) if isinstance(value, str) else number(value, "g")
