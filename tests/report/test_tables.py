import math

import pandas as pd
import pytest

from crossmod.report import tables


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1.26, "+1.3"), (-1.26, "−1.3"), (-0.04, "0.0"), (0.0, "0.0"), (math.nan, "–")],
)
def test_signed(value, expected):
    assert tables.signed(value, 1) == expected


def test_p_values():
    assert tables.p_value(0.0004).text == "< 0.001"
    assert tables.p_value(0.0499).text == "0.050"
    assert tables.p_value(math.nan) == tables.Cell("–")
    assert tables.p_value(1e-300).value == 1e-300
    assert tables.p_value(0.2, "rows/units/some.csv").rows == "rows/units/some.csv"


def test_numbers():
    assert tables.number(12.0, "d").text == "12"
    assert tables.number(math.inf, ".1f").text == "∞"
    assert tables.number(-2.0, ".1f").text == "−2.0"


def test_scores_are_those_of_the_csv(results, folder):
    csv = pd.read_csv(folder / "analyse" / "dsc.csv", keep_default_na=False, na_values={"mean": [""]})
    csv = csv[(csv["metric"] == "dsc") & (csv["region"] != "reference_box")].set_index(["arm", "site", "target"])
    table = tables.scores(results)
    keys = [
        (site, target)
        for site in results.sites
        for target in results.targets
        if (results.arms[0], site, target) in csv.index
    ]
    assert len(table.columns) == 1 + len(keys) and sum(span for _, span in table.groups) == len(table.columns)
    for arm, row in zip(results.arms, table.rows, strict=True):
        assert row[0].text == arm
        assert [cell.value for cell in row[1:]] == [csv.loc[(arm, *key), "mean"] for key in keys]
        assert all(cell.text == f"{cell.value:.3f}" for cell in row[1:])


def test_distances_are_medians(results):
    table = tables.scores(results, "hd95_mm")
    values = [cell.value for row in table.rows for cell in row[1:]]
    expected = results.table("dsc")
    expected = expected[(expected["metric"] == "hd95_mm") & (expected["region"] != "reference_box")]["median"]
    assert sorted(values) == sorted(expected)


def test_volumes_of_some_arms(results, folder):
    csv = pd.read_csv(folder / "analyse" / "volumes.csv")
    arms = results.deployed["arm"].tolist()
    csv = csv[csv["arm"].isin(arms) & (csv["region"] == "predicted_box")]
    rows = tables.volumes(results, arms).rows
    assert [row[4].value for row in rows] == csv["mean_difference"].tolist()
    assert [row[7].value for row in rows] == csv["pearson_r"].tolist()
    everything = tables.volumes(results, results.arms, ["predicted_box", "reference_box"])
    assert len(everything.rows) == len(pd.read_csv(folder / "analyse" / "volumes.csv"))


def test_every_caption_says_simulated(results):
    made = [
        tables.scores(results),
        tables.reference_errors(results),
    ]
    made.append(tables.volumes(results, results.arms))
    assert all("imulated" in table.caption for table in made)


def test_left_out_units_are_listed(edit):
    def add(table):
        one = {"test": "volumes", "site": "mr", "target": "parenchyma_with_tumour", "region": "predicted_box"}
        one |= {
            "arm": "ct3",
            "subject": "mr/mr000/left",
            "patient": "pmr000",
            "missing": "seed 0",
            "reason": "reference empty",
        }
        return pd.DataFrame([one], columns=table.columns)

    (row,) = tables.incomplete(edit("incomplete.csv", add)).rows
    assert row[0].text == "mr/mr000/left" and row[-1].text == "reference empty"


def test_a_frame_for_notebooks(results):
    frame = tables.scores(results).to_frame()
    assert frame.columns.nlevels == 2 and len(frame) == 13
    assert "(" in frame.iloc[0, 1]
