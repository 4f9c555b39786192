"""The tables of the hypotheses show what the CSVs hold, with n, correction and the rows behind every p."""

import pandas as pd
import pytest

from crossmod.report import sizes, tested
from crossmod.report.tables import Cell, Table

BUILDERS = {
    "comparison": lambda results: tested.comparisons(results)[0],
    "effects": lambda results: tested.anovas(results)[0],
    "three_way": lambda results: tested.anovas(results, "crossed")[0],
    "subsets": lambda results: tested.apart(results, results.declared.compared_on("replicates")[0]),
    "subgroups": lambda results: tested.apart(results, results.declared.compared_on("subgroups")[0]),
    "savings": lambda results: sizes.savings(results)[0],
    "size": sizes.size,
    "tumour": lambda results: sizes.fixed_effects(results)[0],
}


def column(table: Table, name: str) -> list[Cell]:
    place = table.columns.index(name)
    return [row[place] for row in table.rows]


@pytest.fixture(scope="module")
def csv(folder):
    def read(name: str) -> pd.DataFrame:
        table = pd.read_csv(folder / "analyse" / f"{name}.csv")
        return table[table["region"] != "reference_box"]

    return read


def test_three_roads_and_a_margin_stand_side_by_side(results, csv):
    table = tested.comparisons(results)[0]
    pairwise = csv("pairwise")
    assert [c.value for c in column(table, "Difference")] == pairwise["mean_difference"].tolist()
    roads = {"p (t)": "pairwise", "p (ranks)": "ranks", "p (model)": "mixed_model", "p (margin)": "noninferiority"}
    for name, file in roads.items():
        cells = column(table, name)
        expected = csv(file)
        assert [c.value for c in cells if c.value is not None] == expected["p_corrected"].dropna().tolist(), name
        assert all(c.source in ("", f"analyse/{file}.csv") for c in cells)
    assert [c.text for c in column(table, "Margin") if c.text not in ("–",)]
    assert sum(span for _, span in table.groups) == len(table.columns)


@pytest.mark.parametrize("name", list(BUILDERS))
def test_rows_are_as_wide_as_their_header_and_every_caption_is_complete(results, name):
    table = BUILDERS[name](results)
    assert table.rows and all(len(row) == len(table.columns) for row in table.rows)
    assert "imulated" in table.caption
    for fact in ("Unit: the ", "n ", "left out", "correct"):
        assert fact in table.caption, fact


@pytest.mark.parametrize("name", list(BUILDERS))
def test_every_p_leads_to_its_rows(results, folder, name):
    table = BUILDERS[name](results)
    shown = [row[place] for place, head in enumerate(table.columns) if head.split(" ")[0] == "p" for row in table.rows]
    known = [cell for cell in shown if cell.value is not None]
    assert known or name in ("savings", "three_way"), "too few CT in so small a study"
    for cell in known:
        assert cell.rows and (folder / "analyse" / cell.rows).is_file()


def test_the_anova_shows_ranks_and_assumptions(results, csv):
    table, anova = tested.anovas(results)[0], csv("rm_anova")
    shown = {"F": "F", "p": "p_gg", "p corrected": "p_corrected", "p (ranks)": "rank_p", "p (sphericity)": "mauchly_p"}
    for name, source in shown.items():
        expected = anova[source].dropna().tolist()
        assert [c.value for c in column(table, name) if c.value is not None] == expected, name


def test_savings_beyond_the_curve_are_not_read_off(edit):
    def beyond(table):
        table["extrapolates"] = [True, True, False, *([False] * (len(table) - 3))]
        table.loc[0, "equivalent_unassisted"] = 1e-30
        table.loc[1, "equivalent_unassisted"] = 1e30
        table.loc[2, ["equivalent_unassisted", "saved", "ci_low", "ci_high", "mean_assisted"]] = [5, 3, 4, 6, 0.9]
        return table

    rows = sizes.savings(edit("savings.csv", beyond))[0].rows
    assert rows[0][-2].text == "fewer than 2" and rows[0][-2].value is None
    assert rows[1][-2].text == "more than 6"
    assert (rows[2][-2].text, rows[2][-2].detail, rows[2][-1].text) == ("5", "4 to 6", "+3")


def test_an_untested_cell_shows_its_reason(edit):
    def forget(table):
        lost = table.index == 0
        numbers = ["mean_difference", "ci_low", "ci_high", "statistic", "p_corrected", "cohen_dz", "verdict"]
        table = table.astype(object)
        table.loc[lost, numbers] = None
        table.loc[lost, "note"] = "too few units"
        return table

    table = tested.comparisons(edit("pairwise.csv", forget))[0]
    assert column(table, "Difference")[0].text == "–" and column(table, "Verdict")[0].text == "too few units"
