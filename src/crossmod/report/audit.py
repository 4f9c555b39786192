"""Audit: every number that the page prints, once more from the rows of the evaluate step."""

import math
import tempfile
from collections.abc import Sequence
from html.parser import HTMLParser
from itertools import zip_longest
from pathlib import Path

import pandas as pd

from crossmod.analyse.design import Design
from crossmod.analyse.scores import read_scores
from crossmod.analyse.study import analyse
from crossmod.job import Plain, UserError, whole
from crossmod.report.claim import claim
from crossmod.report.page import render
from crossmod.report.results import Results

AGREE = 1e-9
COLUMNS = ["place", "printed", "value", "recomputed", "recomputed_value", "agrees"]


class Printed(HTMLParser):
    """What a page prints: each cell of each table with the full value behind it, and each sentence that holds numbers.

    Attributes:
        cells: (place, text, value as text), in the order of the page.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[tuple[str, str, str]] = []
        self.table, self.row, self.column, self.open, self.value = "", 0, 0, "", ""
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Enter a table, a list of sentences, a row, a cell or a sentence."""
        found = dict(attrs)
        if tag == "table":
            self.table, self.row = str(found.get("aria-labelledby")), 0
        elif tag == "ul":
            self.table, self.row = str(found.get("class") or ""), 0
        elif tag in ("tr", "li"):
            self.row, self.column = self.row + 1, 0
        if tag in ("td", "th", "li"):
            self.open, self.words, self.value = tag, [], found.get("data-value") or ""
            self.column += 1

    def handle_data(self, data: str) -> None:
        """Collect the words of an open cell."""
        self.words.append(data)

    def handle_endtag(self, tag: str) -> None:
        """Leave a cell."""
        if tag == self.open and (self.table.startswith(("table-", "said-")) or self.table == "findings"):
            place = f"{self.table}, row {self.row}, column {self.column}"
            self.cells.append((place, " ".join("".join(self.words).split()), self.value))
        if tag == self.open:
            self.open = ""


def audit(page: Path, scores: Sequence[str | Path], settings: Plain, study: Plain, table: Path) -> pd.DataFrame:
    """Analyse the score files anew, render the page from that, and hold every cell and finding against the page.

    Args:
        page: ``<results>/report/index.html``.
        scores: CSV files of the evaluate step.
        settings: of the analyse step.
        study: the whole config, stages in order.
        table: CSV to write: ``place`` on the page, what is ``printed`` there and the full ``value`` behind it, both
            ``recomputed``, and whether they agree (the text in full, the value to nine digits).

    Raises:
        UserError: a number does not agree; the table is written first, under ``<table>.failed``.
    """
    recomputed = page_again(page.resolve().parents[1], scores, settings, study)
    rows = _compare(Printed(page.read_text(encoding="utf-8")).cells, Printed(recomputed).cells)
    wrong = rows[~rows["agrees"]]
    target = table.with_name(f"{table.name}.failed") if len(wrong) else table
    with whole(target) as partial:
        rows.to_csv(partial, index=False, lineterminator="\n")
    if len(wrong):
        first = wrong.iloc[0]
        raise UserError(
            f"{len(wrong)} of {len(rows)} entries of {page} do not follow from the scores; the first: {first['place']} "
            f"prints {first['printed']!r}, the rows give {first['recomputed']!r}. All: {target}. Write the page anew."
        )
    return rows


def page_again(results: Path, scores: Sequence[str | Path], settings: Plain, study: Plain) -> str:
    """The page without figures, from the score files and from everything in the results but their analysis."""
    design = Design.of(settings)
    found = analyse(read_scores(scores, design), design)
    with tempfile.TemporaryDirectory() as place:
        again = Path(place) / results.parent.name / results.name
        (again / "analyse").mkdir(parents=True)
        if study.get("adds_to"):
            (Path(place) / study["adds_to"]).symlink_to(results.parents[1] / study["adds_to"])
        for child in results.iterdir():
            if child.name != "analyse":
                (again / child.name).symlink_to(child)
        found.write(again / "analyse")
        fresh = Results(again, study)
        return render(fresh, [], claim(fresh))


def _compare(printed: list[tuple[str, str, str]], recomputed: list[tuple[str, str, str]]) -> pd.DataFrame:
    nothing = ("", "", "")
    pairs = zip_longest(printed, recomputed, fillvalue=nothing)
    rows = [(a[0] or b[0], *a[1:], *b[1:], a[:2] == b[:2] and _same(a[2], b[2])) for a, b in pairs]
    return pd.DataFrame(rows, columns=COLUMNS)


def _same(value: str, other: str) -> bool:
    """Whether two values agree to nine digits: another machine's last bits are no fault."""
    if not (value and other):
        return value == other
    return math.isclose(float(value), float(other), rel_tol=AGREE, abs_tol=0.0)
