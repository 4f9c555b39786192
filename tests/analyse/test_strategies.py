"""Units, halves and the tests of pure against mixed."""

import numpy as np
import pandas as pd
import pytest

from crossmod.analyse import pairwise, rm_anova
from crossmod.analyse.scores import Plan, read_scores
from crossmod.analyse.strategies import compare_strategies, crossed_sites, units_of
from crossmod.job import UserError

CASES = {"mr": 8, "ct": 5}


def units(study, rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, Plan]:
    job = study.job(rows)
    plan = Plan.of(job.settings)
    scores = read_scores(job.inputs["scores"], plan)
    return units_of(scores, plan), scores, plan


def kidney(table: pd.DataFrame, subject: str, strategy: str, amount: int) -> pd.Series:
    chosen = table[(table.subject == subject) & (table.strategy == strategy) & (table.amount == amount)]
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_a_unit_of_the_pool_is_scored_by_the_other_half_and_others_by_the_mean_of_both(study):
    rows = study.rows(CASES, seeds=(0, 1))
    found, scores, plan = units(study, rows)
    assert crossed_sites(scores, plan) == {"mr": False, "ct": True}
    first = kidney(found, "mr/000/both", "pure", 80)  # half A
    assert first["arms"] == "mrB080"
    mine = rows[(rows.site == "mr") & (rows.case == "000") & (rows.arm == "mrB080") & (rows.target == "kidney")]
    assert len(mine) == 2 and first["dsc"] == pytest.approx(mine["dsc"].mean())
    other = kidney(found, "ct/000/both", "mixed", 40)
    assert other["arms"] == "ct116+mrA040 ct116+mrB040"
    both = rows[(rows.site == "ct") & (rows.case == "000") & rows.arm.isin(other["arms"].split())]
    assert other["dsc"] == pytest.approx(both[both.target == "kidney"]["dsc"].mean())


def test_the_grid_is_full_and_in_order(study):
    found, _, _ = units(study, study.rows(CASES))
    assert len(found) == (8 + 5) * (1 + 2 * 2) * 6
    one = found[(found.subject == "mr/000/both")]
    assert list(zip(one.strategy, one.amount, strict=True)) == [
        (s, a) for s in ("pure", "mixed") for a in (40, 80, 120)
    ]
    assert list(found["site"].unique()) == ["mr", "ct"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("undefined", "DSC undefined: reference and prediction empty"),
        ("absent", "not scored"),
        ("one seed absent", "not scored in every seed"),
    ],
)
def test_gaps_are_empty_with_their_reason(study, change, reason):
    rows = study.rows(CASES, seeds=(0, 1))
    cell = (rows.site == "mr") & (rows.case == "002") & (rows.arm == "mrB040") & (rows.target == "kidney")
    if change == "undefined":
        rows.loc[cell & (rows.seed == 0), "dsc"] = np.nan
    else:
        rows = rows[~(cell & ((rows.seed == 1) | (change == "absent")))]
    found, _, plan = units(study, rows)
    gap = kidney(found, "mr/002/both", "pure", 40)
    assert np.isnan(gap["dsc"]) and gap["reason"] == reason
    anova, simple, incomplete = compare_strategies(found, plan)
    assert len(incomplete) == 1
    row = incomplete.iloc[0]
    assert (row.subject, row.missing, row.reason) == ("mr/002/both", "pure 40", reason)
    tested = anova[(anova.site == "mr") & (anova.target == "kidney")]
    assert set(tested.n_dropped) == {1} and set(tested.n_subjects) == {7}
    assert set(simple[(simple.site == "mr") & (simple.target == "kidney")].n_dropped) == {1}


def test_a_missing_half_on_a_crossed_site_is_a_gap_not_a_mean_of_one(study):
    rows = study.rows(CASES)
    rows = rows[~((rows.site == "ct") & (rows.case == "001") & (rows.arm == "mrA080") & (rows.target == "kidney"))]
    found, _, _ = units(study, rows)
    gap = kidney(found, "ct/001/both", "pure", 80)
    assert np.isnan(gap["dsc"]) and gap["reason"] == "scored by the models of one subset only"


def test_a_case_scored_by_its_own_half_is_refused(study):
    rows = study.rows(CASES)
    leak = rows[(rows.site == "mr") & (rows.case == "001") & (rows.arm == "mrB040")].assign(arm="mrA040")
    with pytest.raises(UserError, match=r"mr/001/both.*may have been in training"):
        units(study, pd.concat([rows, leak]))


def test_tests_are_those_of_the_public_functions(study):
    found, _, plan = units(study, study.rows(CASES))
    anova, simple, _ = compare_strategies(found, plan)
    cell = found[(found.site == "ct") & (found.target == "kidney")].assign(
        strategy=lambda t: pd.Categorical(t["strategy"], categories=["mixed", "pure"])
    )
    expected = rm_anova(cell, "dsc", "subject", ["strategy", "amount"])
    mine = anova[(anova.site == "ct") & (anova.target == "kidney")]
    pd.testing.assert_frame_equal(mine[expected.columns].reset_index(drop=True), expected, check_dtype=False)
    expected = pairwise(cell, "dsc", "subject", "strategy", at="amount")
    mine = simple[(simple.site == "ct") & (simple.target == "kidney")]
    pd.testing.assert_frame_equal(mine[expected.columns].reset_index(drop=True), expected, check_dtype=False)
    assert set(mine["a"]) == {"mixed"} and set(mine["verdict"]) == {"greater"}


def test_one_amount_without_variance_leaves_the_others_tested(study):
    rows = study.rows({"ct": 6})
    for half in "AB":
        pure = rows[(rows.arm == f"mr{half}080")].set_index(["case", "target", "region"])["dsc"]
        mixed = rows.index[rows.arm == f"ct116+mr{half}080"]
        keys = pd.MultiIndex.from_frame(rows.loc[mixed, ["case", "target", "region"]])
        rows.loc[mixed, "dsc"] = pure.loc[keys].to_numpy()
    found, _, plan = units(study, rows)
    _, simple, _ = compare_strategies(found, plan)
    here = simple[simple.target == "kidney"].set_index("at")
    assert "No variance to test between mixed and pure at 80" in here.loc[80, "note"]
    assert np.isnan(here.loc[80, "p"]) and here.loc[80, "verdict"] == ""
    smaller, larger = sorted(here.loc[[40, 120], "p"])
    assert sorted(here.loc[[40, 120], "p_corrected"]) == pytest.approx(sorted([2 * smaller, max(larger, 2 * smaller)]))


@pytest.mark.parametrize("kind", ["tiny", "constant"])
def test_untestable_cells_carry_a_reason(study, kind):
    rows = study.rows({"ct": 2 if kind == "tiny" else 5})
    if kind == "constant":
        rows["dsc"] = 1.0
    found, _, plan = units(study, rows)
    anova, simple, _ = compare_strategies(found, plan)
    message = {"tiny": "Only 2 of 2 subjects", "constant": "No error variance"}[kind]
    assert anova["note"].str.contains(message).all() and anova["F"].isna().all()
    assert (simple["note"] != "").all() and simple["p"].isna().all() and (simple["verdict"] == "").all()
    assert len(anova) == len(simple) == 5 * 3
