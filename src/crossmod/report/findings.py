"""The headline of a study, written from its tables by rule: what helps, what does not, what cannot be said."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from crossmod.report.columns import in_regions
from crossmod.report.declared import Comparison
from crossmod.report.results import Results
from crossmod.report.rows import each, filled, highest, lowest, rows_of
from crossmod.report.tables import signed
from crossmod.report.tested import margins_of
from crossmod.report.words import END_TO_END, capital, listed, metric_name, short, small

MOST = 6  # cells that are named in one sentence


@dataclass(frozen=True)
class Finding:
    """A sentence or two, and the table (relative to the results) that they were read from."""

    text: str
    source: str


def findings(results: Results) -> list[Finding]:
    """All findings of a study in the order a reader wants them; never fewer because they are unwelcome."""
    found = [
        _best(results),
        _at_zero(results),
        *_verdicts(results),
        _claims(results),
        _threshold(results),
        _savings(results),
        _volumes(results),
        _left_out(results),
        _seeds(results),
    ]
    return [finding for finding in found if finding is not None]


def _best(results: Results) -> Finding | None:
    """What each arm of a study without a contrast reaches, on its first target."""
    if results.words.contrast:
        return None
    means = _means(results)
    means = means[means["target"] == results.targets[0]].dropna(subset="mean")
    if means.empty:
        return None
    parts = []
    for site, here in each(means, "site"):
        high, low = highest(here, "mean"), lowest(here, "mean")
        low_words = f" (lowest {low['mean']:.3f}, {low['arm']})" if len(here) > 1 else ""
        parts.append(f"{high['mean']:.3f} on {results.site_title(site)} with {high['arm']}{low_words}")
    text = (
        f"The highest mean {_metric(results)} of the {_first_target(results)} is {'; '.join(parts)} (means, not a "
        "test)."
    )
    return Finding(text, "analyse/dsc.csv")


def _at_zero(results: Results) -> Finding | None:
    """How far training without any dose gets at each site, against the deployed models."""
    zero = (results.study.get("analyse", {}).get("dose") or {}).get("zero")
    if not zero or not set(zero) <= set(results.factors):
        return None
    means = _means(results)
    means = means[means["target"] == results.targets[0]]
    alone = means[np.all([means[factor].map(str) == str(level) for factor, level in zero.items()], axis=0)]
    if alone.empty:
        return None
    deployed = means[means["arm"].isin(results.deployed["arm"])].groupby("site", observed=True)["mean"].mean()
    most = results.most.removeprefix(", ")
    parts = [
        f"{row.mean:.3f} on {results.site_title(row.site)} (with {most} {deployed.get(row.site, np.nan):.3f})"
        for row in rows_of(alone)
    ]
    text = (
        f"With {results.words.levels(zero)}, the mean {_metric(results)} of the {_first_target(results)} is "
        f"{'; '.join(parts)}."
    )
    return Finding(text, "analyse/dsc.csv")


def _verdicts(results: Results) -> list[Finding]:
    """How often one level was greater than, equal to or lower than another, for each pair of the study's comparison."""
    asked = results.comparison
    if asked is None or asked.main is asked.margin:
        return []
    table = _end_to_end(results.tested(asked.main))
    untested = table[~filled(table["a"])]
    pairs = table[["a", "b"]].drop(untested.index).drop_duplicates().itertuples(index=False)
    cells = [(a, b, table[(table["a"] == a) & (table["b"] == b)]) for a, b in pairs]
    return [_verdict(results, asked, pd.concat([rows, untested]), a, b) for a, b, rows in cells]


def _verdict(results: Results, asked: Comparison, table: pd.DataFrame, a: str, b: str) -> Finding:
    tested = table[table["verdict"].isin(["greater", "equal", "lower"])]
    counts = tested["verdict"].value_counts()
    labels = [name for name in asked.each if name not in ("region", "setting")] + ([asked.at] if asked.at else [])
    first, second = (results.words.level(asked.factor, level) for level in (a, b))
    text = (
        f"In {len(tested)} comparisons of {first} with {second} ({' × '.join(map(short, labels))}), {short(a)} was "
        f"significantly greater in {counts.get('greater', 0)}, not shown to differ in {counts.get('equal', 0)} and "
        f"significantly lower in {counts.get('lower', 0)}."
    )
    lower = tested[tested["verdict"] == "lower"]
    text += (
        _lower(results, asked, lower, labels) if len(lower) else f" {capital(short(a))} was never significantly lower."
    )
    if len(tested) < len(table):
        text += f" {len(table) - len(tested)} comparisons could not be tested."
    return Finding(text, f"analyse/{asked.main['name']}.csv")


def _lower(results: Results, asked: Comparison, lower: pd.DataFrame, labels: list[str]) -> str:
    """Where a level was lower; of many cells those with the largest differences. The table has all of them."""
    cells = [(rows["mean_difference"].min(), key, rows) for key, rows in _by(lower, labels, asked.at)]
    shown = cells if len(cells) <= MOST else sorted(cells, key=lambda cell: cell[0])[:MOST]
    words = [_cells(results, asked, dict(zip(labels, key, strict=False)), rows) for _, key, rows in shown]
    if len(shown) < len(cells):
        return f" Lower, largest differences first: {'; '.join(words)}; and {len(cells) - len(shown)} more."
    return f" Lower: {'; '.join(words)}."


def _claims(results: Results) -> Finding | None:
    """Where "not worse" is shown, and whether ranks and the mixed model say what t says."""
    asked = results.comparison
    if asked is None:
        return None
    text, source = _not_worse(results, asked), asked.margin or asked.main
    if asked.t:
        for other, words in ((asked.ranks, "Signed ranks give"), (asked.model, "The mixed model gives")):
            text += _agreeing(results, asked, other, words) if other else ""
    return Finding(text.strip(), f"analyse/{source['name']}.csv") if text else None


def _not_worse(results: Results, asked: Comparison) -> str:
    test = asked.margin
    claims = _end_to_end(results.tested(test))
    if test is None or claims.empty:
        return ""
    shown = claims[claims["verdict"] == "non-inferior"]
    margin = " or ".join(f"{margin:g}" for margin in margins_of(results, asked))
    by_site = [
        f"{int((shown['site'] == site).sum())} of {len(cells)} on {results.site_title(site)}"
        for site, cells in each(claims, "site")
    ]
    return (
        f"That {short(test['a'])} is not worse than {short(test['b'])} by {margin} {_metric(results)} "
        f"is shown in {len(shown)} of {len(claims)} cells ({'; '.join(by_site)}); elsewhere it is not shown, which is "
        "no proof of the opposite."
    )


def _agreeing(results: Results, asked: Comparison, other: dict, words: str) -> str:
    """In how many cells another test has the verdict of t."""
    keys = [*asked.each, "a", "b", *(["at"] if asked.at else [])]
    t, beside = (results.tested(test)[[*keys, "verdict"]] for test in (asked.t, other))
    both = _end_to_end(t.merge(beside, on=keys, suffixes=("", "_other")))
    same = int((both["verdict"] == both["verdict_other"]).sum())
    return f" {words} the verdict of t in {same} of {len(both)}."


def _threshold(results: Results) -> Finding | None:
    """Whether every arm of the contrast's first level reaches the study's own bar at every site and target."""
    good, contrast = results.study.get("analyse", {}).get("good_dsc"), results.words.contrast
    table = _means(results, "dsc")
    if contrast and contrast["factor"] in table:
        table = table[table[contrast["factor"]] == contrast["a"]]
    if good is None or table.empty:
        return None
    parts = []
    for target, cells in each(table, "target"):
        short_of = cells[~(cells["mean"] >= good)]
        name = small(results.words.target(target))
        if short_of.empty:
            least = lowest(cells, "mean")
            where = f"lowest {least['mean']:.3f}, {least['arm']} on {results.site_title(least['site'])}"
            parts.append(f"{name}: all {len(cells)} ({where})")
        else:
            sites = ", ".join(results.site_title(site) for site in short_of["site"].unique())
            parts.append(f"{name}: {len(cells) - len(short_of)} of {len(cells)} (short on {sites})")
    whose = f" of {results.words.level(contrast['factor'], contrast['a'])}" if contrast else ""
    return Finding(
        f"Arms{whose} with a mean DSC of at least {good:.2f}, arm by arm and site by site: {'; '.join(parts)}.",
        "analyse/dsc.csv",
    )


def _savings(results: Results) -> Finding | None:
    """The smallest dose with the contrast's first level against the largest with its second, in plain means."""
    contrast, dose = results.words.contrast, results.words.dose
    if not contrast or dose not in results.factors:
        return None
    metric = results.metric
    units = _end_to_end(results.table("units").dropna(subset=metric))
    units = units[(units["target"] == results.targets[0]) & units["site"].isin(_graded_sites(results))]
    if units.empty:
        return None
    least, most = units[dose].min(), units[dose].max()
    a, b = (results.words.level(contrast["factor"], contrast[key]) for key in "ab")
    parts = []
    for site, here in each(units, "site"):
        means = here.groupby([contrast["factor"], dose])[metric].mean()
        ends = (contrast["a"], least), (contrast["b"], most)
        if all(end in means for end in ends):
            assisted, alone = (means[end] for end in ends)
            parts.append(
                f"{assisted:.3f} for {a} with {results.words.doses([least])}, {alone:.3f} for {b} with {short(most)}, "
                f"on {results.site_title(site)}"
            )
    if not parts:
        return None
    text = (
        f"Annotation: the mean {_metric(results)} of the {_first_target(results)} is {'; '.join(parts)} (means, not a "
        "test)."
    )
    return Finding(text, "analyse/units.csv")


def _graded_sites(results: Results) -> list[str]:
    """Sites of the cohorts that are drawn in amounts; all sites in a study that does not say."""
    graded = {pool["cohort"] for pool in (results.study.get("pools") or {}).values() if pool.get("amounts")}
    sites = results.study.get("sites") or {}
    return [site for site in results.sites if not graded or sites.get(site, {}).get("cohort") in graded]


def _volumes(results: Results) -> Finding | None:
    """What the margin tests say about the deployed models, and how well volumes correlate."""
    table = _end_to_end(results.table("volumes"))
    table = table[table["arm"].isin(results.deployed["arm"])]
    if table.empty:
        return None
    margins, whose = table["margin_ml"].dropna(), " and ".join(results.deployed["arm"])
    text = f"Volumes ({whose}): {_held(table, margins)}" if len(margins) else f"Volumes ({whose}): {_differ(table)}"
    correlations = table["pearson_r"].dropna()
    if len(correlations):
        low, high = (signed(value, 3, plus=False) for value in (correlations.min(), correlations.max()))
        text += f" Pearson's r lies between {low} and {high}."
    return Finding(text, "analyse/volumes.csv")


def _held(table: pd.DataFrame, margins: pd.Series) -> str:
    counts = table["verdict"].value_counts()
    below, equivalent = counts.get("below margin", 0), counts.get("equivalent", 0)
    neither = len(table) - below - equivalent
    return (
        f"in {below} of {len(table)} cells of arm, site and target the mean absolute difference is significantly below "
        f"a third of the reference method's error ({margins.min():.1f} to {margins.max():.1f} ml); in {equivalent} "
        f"more only the mean (signed) difference is; in {neither} neither is shown."
    )


def _differ(table: pd.DataFrame) -> str:
    differences = table["mean_difference"].dropna()
    if differences.empty:
        return "no difference could be estimated."
    low, high = (signed(value, 1) for value in (differences.min(), differences.max()))
    return f"the mean difference lies between {low} and {high} ml in {len(table)} cells of arm, site and target."


def _left_out(results: Results) -> Finding | None:
    notes = results.notes
    dropped, untested = notes.get("dropped", 0), len(notes.get("untested", []))
    absent = notes.get("unavailable", {})
    missing = [arm for arm in notes.get("arms_without_scores", []) if arm not in absent]
    if not (dropped or untested or missing or absent):
        return None
    parts = []
    if missing:
        parts.append(f"no scores for {', '.join(missing)}")
    for program in dict.fromkeys(absent.values()):
        arms = listed(arm for arm, needed in absent.items() if needed == program)
        parts.append(f"the program {program} is not installed here, so there is nothing of {arms}")
    if dropped:
        parts.append(f"{dropped} entries of units left out of a test, each listed below")
    if untested:
        parts.append(f"numbers missing from the tables for {untested} reason{'s' * (untested > 1)}, each in the notes")
    return Finding(f"Incomplete: {'; '.join(parts)}.", "analyse/incomplete.csv")


def _seeds(results: Results) -> Finding:
    counts = {len(seeds) for seeds in results.notes["seeds"].values()}
    if counts == {1}:
        text = (
            "Every arm was trained once. Differences between arms therefore include the luck of a single training; "
            "a claim about arms needs several seeds."
        )
    else:
        number = " to ".join(str(count) for count in sorted({min(counts), max(counts)}))
        once = " Differences from an arm that was trained once include the luck of that training." * (1 in counts)
        text = f"Every arm was trained with {number} seeds; tests use their means per unit.{once}"
    return Finding(text, "analyse/notes.json")


def _means(results: Results, metric: str | None = None) -> pd.DataFrame:
    table = results.table("dsc")
    return _end_to_end(table[table["metric"] == (metric or results.metric)])


def _end_to_end(table: pd.DataFrame) -> pd.DataFrame:
    return in_regions(table, END_TO_END)


def _metric(results: Results) -> str:
    return metric_name(results.metric)


def _first_target(results: Results) -> str:
    return small(results.words.target(results.targets[0]))


def _by(rows: pd.DataFrame, labels: list[str], at: str | None) -> Iterator[tuple[tuple, pd.DataFrame]]:
    """The rows of each cell, all doses together."""
    keys = [name for name in labels if name != at]
    return iter(rows.groupby(keys, observed=True, sort=False)) if keys else iter([((), rows)] if len(rows) else [])


def _cells(results: Results, asked: Comparison, cell: dict[str, str], rows: pd.DataFrame) -> str:
    """Differences of one cell, and at which dose."""
    words = {"site": results.site_title, "target": results.words.target_small}
    names = [words[name](value) if name in words else results.words.level(name, value) for name, value in cell.items()]
    if asked.at and asked.at == results.words.dose:
        names.append(results.words.doses(rows["at"]))
    differences = ", ".join(f"{difference:+.4f}" for difference in rows["mean_difference"]).replace("-", "−")
    return f"{', '.join(names)} ({differences})"
