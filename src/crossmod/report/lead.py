"""The first paragraph of a page: what the contrast did on simulated scans, and what on real ones."""

import pandas as pd

from crossmod.report.columns import in_regions
from crossmod.report.declared import Comparison, outcome_of
from crossmod.report.findings import Finding
from crossmod.report.results import Results
from crossmod.report.rows import each
from crossmod.report.tables import signed, span
from crossmod.report.words import END_TO_END, as_words, listed, metric_name

MOST = 4  # single results of a site that are said one by one; of more, the first one is


def lead(results: Results) -> Finding | None:
    """What became of the contrast; None in a study without one, or without a test of it."""
    contrast, asked = results.words.contrast, results.comparison
    if not contrast or asked is None:
        return None
    first, second = (results.words.level(contrast["factor"], contrast[key]) for key in "ab")
    rows = _rows(results, asked)
    simulated, real = ([site for site in results.sites if _is(results, site) == kind] for kind in (True, False))
    dose = f", {results.most.removeprefix(', ')}" if asked.at else ""
    sentences = [
        f"“{first}” against “{second}”{dose}: difference of the mean "
        f"{metric_name(outcome_of(asked.table, asked.main))} with its {results.level} % interval.",
        _of_kind(results, rows, simulated, "simulated") if simulated else "",
        _of_kind(results, rows, real, "real") if real else "No real scan was scored.",
        _smoke(results),
    ]
    return Finding(" ".join(filter(None, sentences)), f"analyse/{asked.main['name']}.csv")


def _rows(results: Results, asked: Comparison) -> pd.DataFrame:
    """The cells of the contrast, end to end and at the largest dose; ``difference`` is NaN where none was estimated."""
    contrast = results.words.contrast or {}
    table = in_regions(results.tested(asked.main), END_TO_END)
    # A cell that could not be tested names no levels.
    named = (table["a"].map(str) == contrast["a"]) & (table["b"].map(str) == contrast["b"])
    table = table[named | ~table["a"].map(bool)]
    if asked.at and asked.at == results.words.dose:
        table = table[table["at"] == results.deployed[asked.at].max()]
    value = "estimate" if asked.main is asked.margin else "mean_difference"
    group_of = {target: group for group, targets in results.class_groups.items() for target in targets}
    labels = [group_of.get(str(target), str(target)) for target in table["target"]]
    return table.assign(difference=table[value], group=labels)


def _of_kind(results: Results, rows: pd.DataFrame, sites: list[str], kind: str) -> str:
    """One sentence about the sites of simulated, or of real scans."""
    parts = [
        f"{results.words.site(site)}: {_of_site(results, here)}" for site, here in each(rows, "site") if site in sites
    ]
    beside = [results.words.site(site) for site in sites if not (rows["site"] == site).any()]
    if beside:
        parts.append(f"{listed(beside)}: scored, and not part of this comparison")
    return f"On {kind} scans, {'; '.join(parts)}."


def _of_site(results: Results, rows: pd.DataFrame) -> str:
    """The differences at one site: of a target in full, of the classes of a stage and of several cells in sum."""
    parts = [(group, rows[rows["group"] == group]) for group in dict.fromkeys(rows["group"])]
    shown = parts if len(parts) <= MOST else parts[:1]
    words = [_of_cell(results, here) if len(here) == 1 else _in_sum(results, group, here) for group, here in shown]
    if len(shown) < len(parts):
        words.append(_counted(pd.concat([here for _, here in parts[1:]]), "further targets"))
    return ", ".join(words)


def _of_cell(results: Results, rows: pd.DataFrame) -> str:
    """``kidney +0.041 (+0.035 to +0.047; n 116)``."""
    row = rows.iloc[0]
    name = results.words.target_in_text(str(row["target"]))
    if pd.isna(row["difference"]):
        return f"{name} not tested"
    interval = "" if pd.isna(row["ci_low"]) else f"{signed(row['ci_low'], 3)} to {signed(row['ci_high'], 3)}; "
    return f"{name} {signed(row['difference'], 3)} ({interval}{span(rows['n'])})"


def _in_sum(results: Results, group: str, rows: pd.DataFrame) -> str:
    """``24 classes of organs +0.31 on average, from −0.01 to +0.64 (n 40), significantly greater in 20 and …``."""
    classes = group in results.class_groups
    name = f"classes of {as_words(group)}" if classes else f"cells of {results.words.target_in_text(group)}"
    return _counted(rows, name)


def _counted(rows: pd.DataFrame, name: str) -> str:
    known = rows.dropna(subset="difference")
    if known.empty:
        return f"{len(rows)} {name} not tested"
    found = known["difference"]
    mean, low, high = (signed(value, 3) for value in (found.mean(), found.min(), found.max()))
    verdicts = known["verdict"].value_counts()
    text = (
        f"{len(known)} {name} {mean} on average, from {low} to {high} ({span(known['n'])}), significantly greater in "
        f"{verdicts.get('greater', 0)} and lower in {verdicts.get('lower', 0)}"
    )
    return text if len(known) == len(rows) else f"{text}, {len(rows) - len(known)} not tested"


def _is(results: Results, site: str) -> bool:
    return bool(results.notes["simulated"].get(site))


def _smoke(results: Results) -> str:
    return "At the scale “smoke” these numbers mean nothing." if results.study.get("scale") == "smoke" else ""
