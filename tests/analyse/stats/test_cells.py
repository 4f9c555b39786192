"""Subjects, levels and gaps."""

import numpy as np
import pandas as pd
import pytest

from crossmod.analyse.stats import IncompleteDesignError
from crossmod.analyse.stats.cells import complete_cells, ordered_levels
from crossmod.job import UserError


def table(subjects=("a", "b", "c"), arms=("pure", "mixed")) -> pd.DataFrame:
    rows = [
        {"case": s, "arm": a, "dsc": 0.9 + i / 100 + j / 50} for i, s in enumerate(subjects) for j, a in enumerate(arms)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pd.Series([120, 40, 80]), [40, 80, 120]),
        (pd.Series(["120", "40", "80"]), ["40", "80", "120"]),
        (pd.Series(["pure", "mixed", "pure"]), ["pure", "mixed"]),
        (pd.Series(pd.Categorical(["b", "a"], categories=["z", "b", "a"], ordered=True)), ["b", "a"]),
    ],
)
def test_levels_keep_the_order_of_the_design(column, expected):
    assert ordered_levels(column) == expected


def test_values_stand_in_their_cells_whatever_the_row_order():
    shuffled = table().sample(frac=1, random_state=1)
    shuffled["arm"] = pd.Categorical(shuffled["arm"], categories=["pure", "mixed"])
    cells = complete_cells(shuffled, "dsc", "case", ["arm"])
    wide = shuffled.pivot(index="case", columns="arm", values="dsc").loc[cells.subjects]
    np.testing.assert_array_equal(cells.values, wide.to_numpy())


def test_duplicates_are_refused_by_name_even_when_one_is_empty():
    twice = pd.concat([table(), pd.DataFrame([{"case": "b", "arm": "mixed", "dsc": np.nan}])])
    with pytest.raises(IncompleteDesignError, match="1 keys have more than one row: b in mixed"):
        complete_cells(twice, "dsc", "case", ["arm"])


def test_ids_that_collide_across_sites_are_told_apart():
    both = pd.concat([table().assign(site="mr"), table().assign(site="ct")])
    cells = complete_cells(both, "dsc", "case", ["arm"])
    assert cells.subjects == ["mr/a", "mr/b", "mr/c", "ct/a", "ct/b", "ct/c"]


def test_colliding_ids_with_gaps_are_not_paired_with_each_other():
    mr, ct = table(("a", "b", "c", "d")).assign(site="mr"), table(("d", "e", "f", "g")).assign(site="ct")
    halves = pd.concat([mr[~((mr.case == "d") & (mr.arm == "mixed"))], ct[~((ct.case == "d") & (ct.arm == "pure"))]])
    cells = complete_cells(halves, "dsc", "case", ["arm"])
    assert cells.dropped == {"ct/d": ["pure"], "mr/d": ["mixed"]}
    assert len(cells.subjects) == 6


def test_a_site_that_follows_a_factor_does_not_split_subjects():
    crossed = table().assign(site=lambda t: t["arm"].map({"pure": "mr", "mixed": "ct"}))
    assert complete_cells(crossed, "dsc", "case", ["arm"]).subjects == ["a", "b", "c"]


def test_subject_of_several_columns():
    kidneys = pd.concat([table().assign(side="left"), table().assign(side="right")])
    assert len(complete_cells(kidneys, "dsc", ["case", "side"], ["arm"]).subjects) == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outcome": "iou"}, "No column 'iou'"),
        ({"subject": "arm"}, "different columns"),
        ({"table": table().assign(dsc="high")}, "not numeric"),
        ({"table": table().assign(dsc=[np.inf, 1, 1, 1, 1, 1])}, "infinite for a"),
        ({"table": table().assign(case=[None, *"abbcc"])}, "'case' is empty in 1 rows"),
        ({"table": table(arms=("pure",))}, "single level 'pure'"),
        ({"table": table().iloc[:0]}, "no rows"),
    ],
)
def test_unusable_tables_are_refused(change, message):
    arguments = {"table": table(), "outcome": "dsc", "subject": "case", "within": ["arm"]} | change
    with pytest.raises(UserError, match=message):
        complete_cells(**arguments)


def test_names_of_several_columns_are_not_run_together():
    table = pd.DataFrame(
        {
            "u": ["a/b", "a", *"wwxxyyzz"],
            "v": ["c", "b/c", *"11223344"],
            "arm": ["m", "p"] * 5,
            "dsc": np.linspace(0.8, 0.9, 10),
        }
    )
    cells = complete_cells(table, "dsc", ["u", "v"], ["arm"])
    assert len(cells.subjects) == 4 and len(cells.dropped) == 2
