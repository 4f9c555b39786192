"""The first paragraph of a page: what the contrast did on simulated scans, and what on real ones."""

from dataclasses import dataclass

import pandas as pd

from crossmod.report.columns import in_regions
from crossmod.report.declared import Comparison, outcome_of
from crossmod.report.results import Results
from crossmod.report.rows import each, filled
from crossmod.report.tables import signed, span
from crossmod.report.words import END_TO_END, as_words, listed, metric_name

MOST = 4  # results of a site that are said one by one; of more, the first one is
VERDICTS = {"greater": "significantly greater", "lower": "significantly lower", "non-inferior": "shown not to be worse"}


@dataclass(frozen=True)
class Lead:
    """What became of the contrast.

    Attributes:
        question: what was compared, and which number follows.
        answers: what it is of (simulated or real scans) → what happened there.
        source: table (relative to the results) that the numbers were read from.
    """

    question: str
    answers: dict[str, str]
    source: str


def lead(results: Results) -> Lead | None:
    """What became of the contrast on simulated and on real scans; None in a study without a test of one."""
    contrast, asked = results.words.contrast, results.comparison
    if not contrast or asked is None:
        return None
    first, second = (results.words.level(contrast["factor"], contrast[key]) for key in "ab")
    dose = f" with {results.most.removeprefix(', ')}" if asked.at else ""
    metric = metric_name(outcome_of(asked.table, asked.main))
    question = (
        f"“{first}” against “{second}”{dose}: difference of the mean {metric}, with its {results.level} % interval."
    )
    if results.study.get("scale") == "smoke":
        question += " At the scale “smoke” these numbers mean nothing."
    rows, answers = _rows(results, asked), {}
    for kind, simulated in (("Simulated scans", True), ("Real scans", False)):
        sites = [site for site in results.sites if bool(results.notes["simulated"].get(site)) == simulated]
        answers[kind] = _of_sites(results, rows, sites) if sites else "none was scored."
    return Lead(question, answers, f"analyse/{asked.main['name']}.csv")


def _rows(results: Results, asked: Comparison) -> pd.DataFrame:
    """The cells of the contrast, end to end and at the largest dose; ``difference`` is NaN where none was estimated."""
    contrast = results.words.contrast or {}
    table = in_regions(results.tested(asked.main), END_TO_END)
    # A cell that could not be tested names neither levels nor dose.
    untested = ~filled(table["a"])
    named = (table["a"].map(str) == contrast["a"]) & (table["b"].map(str) == contrast["b"])
    if asked.at and asked.at == results.words.dose:
        named &= table["at"] == results.deployed[asked.at].max()
    table = table[named | untested]
    value = "estimate" if asked.main is asked.margin else "mean_difference"
    group_of = {target: group for group, targets in results.class_groups.items() for target in targets}
    labels = [group_of.get(str(target), str(target)) for target in table["target"]]
    return table.assign(difference=table[value], group=labels)


def _of_sites(results: Results, rows: pd.DataFrame, sites: list[str]) -> str:
    """The differences at some sites, as one sentence."""
    parts = [
        f"{results.words.site(site)}, {_of_site(results, here)}" for site, here in each(rows, "site") if site in sites
    ]
    beside = [results.words.site(site) for site in sites if not (rows["site"] == site).any()]
    if beside:
        parts.append(f"{listed(beside)}, scored but not part of this comparison")
    return f"{'; '.join(parts)}."


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
    """How several differences lie, and how many of them were significant."""
    known, judged = rows["difference"].dropna(), filled(rows["verdict"])
    if known.empty:
        return f"{len(rows)} {name} not tested"
    mean, low, high = (signed(value, 3) for value in (known.mean(), known.min(), known.max()))
    verdicts = rows["verdict"].value_counts()
    counts = [f"{words} in {verdicts[verdict]}" for verdict, words in VERDICTS.items() if verdicts.get(verdict)]
    if not counts:
        counts = ["significant in none"] if judged.any() else []
    if not judged.all():
        counts.append(f"not tested in {len(rows) - judged.sum()}")
    return f"{len(rows)} {name} {mean} on average, from {low} to {high} ({span(rows['n'])}; {', '.join(counts)})"
