"""The tables of what a study may score beside its metrics.

Means over many classes with both intervals, what was found in its place, and small against large.
"""

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

from crossmod.job import Plain
from crossmod.report.columns import Column, built, facts, in_regions, pair_in_words, places, test_p, verdict
from crossmod.report.results import Results
from crossmod.report.rows import rows_of
from crossmod.report.tables import Cell, Table, number, place, signed, signed_interval, span, units_in_words
from crossmod.report.words import END_TO_END, as_words, capital, listed, metric_name, volume_name, where

FOUND = {"correct": "in its place", "incorrect": "elsewhere", "not_detected": "not at all"}


def over_classes(results: Results, regions: Iterable[str] = END_TO_END) -> list[Table]:
    """Means over the classes of a stage, with the interval over classes and that over patients; a table per stage."""
    regions = tuple(regions)
    table = in_regions(results.table("classes"), regions)
    return [_over_classes(results, str(group), rows, regions) for group, rows in table.groupby("group", sort=False)]


def _over_classes(results: Results, group: str, table: pd.DataFrame, regions: tuple[str, ...]) -> Table:
    found = {(row.arm, row.site, row.over): row for row in rows_of(table)}
    sites = [site for site in results.sites if site in set(table["site"].astype(str))]
    rows = []
    for arm in results.arms:
        if arm in set(table["arm"].astype(str)):
            pairs = [(found.get((arm, site, "classes")), found.get((arm, site, "patients"))) for site in sites]
            rows.append([Cell(arm), *(cell for pair in pairs for cell in map(_mean, pair))])
    metric = metric_name(str(table["metric"].iloc[0]))
    counts = {over: span(table.loc[table["over"] == over, "n"]) for over in ("classes", "patients")}
    return Table(
        name=f"Mean {metric} over {as_words(group)}, {where(regions)}",
        caption=f"The mean {metric} over classes and its interval, twice. Over classes: how far another class may lie "
        f"({counts['classes']}). Over patients: how far another sample of patients may lie ({counts['patients']}). "
        "Both are mean ± t · SD / √n, and they differ. A class that neither reference nor prediction has is left out "
        f"of that patient. No test, nothing corrected. {results.provenance}",
        source="analyse/classes.csv",
        columns=[capital(results.words.arm), *(over for _ in sites for over in ("Over classes", "Over patients"))],
        rows=rows,
        groups=[("", 1), *((results.site_name(site), 2) for site in sites)],
    )


def _mean(row: Any) -> Cell:
    if row is None or math.isnan(row.mean):
        return Cell("–")
    detail = "" if math.isnan(row.ci_low) else f"{signed(row.ci_low, 3, False)} to {signed(row.ci_high, 3, False)}"
    return Cell(f"{row.mean:.3f}", float(row.mean), detail)


def located_targets(results: Results) -> list[str]:
    """Targets of which a hypothesis asks whether they were found; all that have rates where none says which."""
    asked: list[str] = []
    for _, hypothesis in results.declared:
        if hypothesis["test"] == "localisation":
            named = (hypothesis.get("where") or {}).get("target") or results.targets
            asked += named if isinstance(named, list) else [named]
    return [target for target in results.targets if target in (asked or results.targets)]


def rates(results: Results, regions: Iterable[str] = END_TO_END) -> Table:
    """How often a lesion was found in its place, elsewhere, or not at all, with Wilson's intervals."""
    regions = tuple(regions)
    targets = located_targets(results)
    table = in_regions(results.table("located"), regions)
    table = table[table["target"].isin(targets)]
    rows = []
    for (arm, site, target), cell in table.groupby(["arm", "site", "target"], observed=True):
        by_outcome = {row.outcome: row for row in rows_of(cell)}
        cells = [_rate(by_outcome.get(outcome)) for outcome in FOUND]
        rows.append([Cell(str(arm)), *place(results, str(site), str(target)), number(cell["n"].max(), "d"), *cells])
    above = results.study.get("located_above_dsc", 0.0)
    criterion = f"with a DSC above {above:g}" if above else "with at least one voxel of the reference"
    return Table(
        name=f"Found or not, {where(regions)}",
        caption=f"Shares of units that were found {listed(FOUND.values(), 'or')}, with Wilson's interval. Found in its "
        f"place: predicted {criterion}; not at all: nothing was predicted. Of several trainings most decide; where "
        f"they do not agree, it counts as elsewhere. Unit: {units_in_words(results, targets)}; {span(table['n'])}; no "
        f"test, nothing corrected. {results.provenance}",
        source="analyse/located.csv",
        columns=[capital(results.words.arm), "Site", "Target", "n", *map(capital, FOUND.values())],
        rows=rows,
    )


def _rate(row: Any) -> Cell:
    if row is None:
        return Cell("–")
    return Cell(f"{row.rate:.0%} ({row.k})", float(row.rate), f"{row.ci_low:.0%} to {row.ci_high:.0%}")


def mcnemar(results: Results, hypothesis: Plain, regions: Iterable[str] = END_TO_END) -> Table:
    """Whether two levels differ in how often a lesion is found in its place."""
    regions = tuple(regions)
    table = in_regions(results.tested(hypothesis), regions)
    columns = [
        *places(results, hypothesis),
        Column("Compared", lambda row: Cell(pair_in_words(row))),
        Column("n", lambda row: number(row["n"], "d")),
        Column("Found by the first alone", lambda row: number(row["only_a"], "d")),
        Column("By the second alone", lambda row: number(row["only_b"], "d")),
        Column("Difference", lambda row: signed_interval(row["rate_difference"], math.nan, math.nan, 3)),
        Column("p", lambda row: test_p(row, column="p")),
        Column("p corrected", test_p),
        Column("Note", lambda row: verdict({"note": row.get("note")})),
    ]
    return built(
        name=f"Found in its place: {as_words(hypothesis['arm'])}, {where(regions)}",
        caption="McNemar's exact test of the same units under two levels. "
        f"{facts(results, table, 'n')} {results.provenance}",
        source=f"analyse/{hypothesis['name']}.csv",
        columns=columns,
        rows=table.to_dict("records"),
    )


def halves(results: Results, hypothesis: Plain, regions: Iterable[str] = END_TO_END) -> Table:
    """Small against large, by Welch's test, with the others beside it."""
    regions = tuple(regions)
    table = in_regions(results.tested(hypothesis), regions)
    columns = [
        *places(results, hypothesis),
        Column("n", lambda row: number(row["n"], "d")),
        Column("Median (ml)", lambda row: number(row["median_volume"], ".1f")),
        Column("Smaller half", lambda row: number(row["mean_small"], ".3f")),
        Column("Larger half", lambda row: number(row["mean_large"], ".3f")),
        Column("Difference", lambda row: signed_interval(row["difference"], row["ci_low"], row["ci_high"], 3)),
        Column("p (Welch), corrected", test_p),
        Column("p (Mann–Whitney)", lambda row: test_p(row, column="mann_whitney_p")),
        Column("ρ", lambda row: number(row["spearman_rho"], ".2f")),
        Column("p (ρ)", lambda row: test_p(row, column="spearman_p")),
    ]
    oddity = ""
    if hypothesis.get("rank_paired"):
        columns.append(Column("p (paired by rank)", lambda row: test_p(row, column="rank_paired_p")))
        oddity = (
            "Paired by rank is an oddity: the paired t of the source study, of halves that have no pairs but the order "
            "of their volumes. It means nothing and decides nothing. "
        )
    columns.append(Column("Verdict", verdict))
    metric = metric_name(hypothesis.get("outcome") or results.metric)
    return built(
        name=f"Small against large ({volume_name(hypothesis['volume'])}), {where(regions)}",
        caption=f"Mean {metric} below and from the median {volume_name(hypothesis['volume'])} on: different patients, "
        "so Welch's test decides, with Mann and Whitney's and Spearman's correlation beside it, uncorrected. "
        f"{oddity}{facts(results, table, 'n')} {results.provenance}",
        source=f"analyse/{hypothesis['name']}.csv",
        columns=columns,
        rows=table.to_dict("records"),
    )
