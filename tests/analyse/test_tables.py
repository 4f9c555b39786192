"""Units, halves, and the tables that hypotheses are tested on."""

import numpy as np
import pandas as pd
import pytest

from crossmod.analyse.design import Design
from crossmod.analyse.scores import read_scores
from crossmod.analyse.stats import annotation_savings, pairwise, rm_anova
from crossmod.analyse.study import Analysis, analyse
from crossmod.analyse.tables import crossed_sites, curves_of, gains_of, replicates_of, subgroups_of, units_of
from crossmod.job import UserError

CASES = {"mr": 8, "ct": 5}


def units(study, rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, Design]:
    job = study.job(rows)
    design = Design.of(job.settings)
    scores = read_scores(job.inputs["scores"], design)
    return units_of(scores, design), scores, design


def tables_of(study, rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Hypothesis → its table, for the hypotheses of the renal study."""
    job = study.job(rows)
    design = Design.of(job.settings)
    found: Analysis = analyse(read_scores(job.inputs["scores"], design), design)
    return {name: table for part in found.tested.values() for name, table in part.tables.items()} | {
        "incomplete": found.tables["incomplete"]
    }


def kidney(table: pd.DataFrame, subject: str, strategy: str, amount: int) -> pd.Series:
    chosen = table[(table.subject == subject) & (table.strategy == strategy) & (table.amount == amount)]
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_a_unit_of_the_pool_is_scored_by_the_other_half_and_others_by_the_mean_of_both(study):
    rows = study.rows(CASES, seeds=(0, 1))
    found, scores, design = units(study, rows)
    assert crossed_sites(scores, design) == {"mr": False, "ct": True}
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
    found, _, _ = units(study, rows)
    gap = kidney(found, "mr/002/both", "pure", 40)
    assert np.isnan(gap["dsc"]) and gap["reason"] == reason
    tables = tables_of(study, rows)
    assert len(tables["incomplete"]) == 1
    row = tables["incomplete"].iloc[0]
    assert (row.subject, row.missing, row.reason) == ("mr/002/both", "pure 40", reason)
    assert "mixed_model" not in row.test and row.test.startswith("rm_anova, pairwise, ranks")
    anova = tables["rm_anova"].query("site == 'mr' and target == 'kidney'")
    assert set(anova.n_dropped) == {1} and set(anova.n_subjects) == {7}
    for name in ("pairwise", "ranks", "noninferiority"):
        assert set(tables[name].query("site == 'mr' and target == 'kidney'").n_dropped) == {1}
    model = tables["mixed_model"].query("site == 'mr' and target == 'kidney'")
    assert set(model.n_rows) == {8 * 6 - 1}, "the mixed model uses every row there is"


def test_an_arm_that_a_site_does_not_validate_is_no_gap_there(study):
    rows = study.rows(CASES)
    pure = [arm for arm in rows["arm"].unique() if "+" not in arm]
    rows = rows[(rows["site"] != "ct") | rows["arm"].isin(pure)]
    job = study.job(rows)
    sites = [site | ({"arms": pure} if site["name"] == "ct" else {}) for site in job.settings["sites"]]
    for given, strategies in ((job.settings["sites"], {"pure", "mixed"}), (sites, {"pure"})):
        design = Design.of(job.settings | {"sites": given})
        found = units_of(read_scores(job.inputs["scores"], design), design)
        assert set(found.loc[found["site"] == "ct", "strategy"]) == strategies
        assert set(found.loc[found["site"] == "mr", "strategy"]) == {"pure", "mixed"}
        assert (found["reason"] == "not scored").any() == (strategies == {"pure", "mixed"})


def test_an_arm_whose_program_is_not_installed_is_no_gap(study):
    rows = study.rows(CASES)
    absent = [arm for arm in rows["arm"].unique() if "+" in arm]
    rows = rows[~rows["arm"].isin(absent)]
    job = study.job(rows)
    for programs, strategies in (({}, {"pure", "mixed"}), (dict.fromkeys(absent, "tool"), {"pure"})):
        design = Design.of(job.settings | {"unavailable": programs})
        found = units_of(read_scores(job.inputs["scores"], design), design)
        assert set(found["strategy"]) == strategies


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
    rows = study.rows(CASES)
    found, _, _ = units(study, rows)
    tables = tables_of(study, rows)
    cell = found[(found.site == "ct") & (found.target == "kidney")].assign(
        strategy=lambda t: pd.Categorical(t["strategy"], categories=["mixed", "pure"])
    )
    expected = rm_anova(cell, "dsc", "subject", ["strategy", "amount"])
    mine = tables["rm_anova"].query("site == 'ct' and target == 'kidney'")
    pd.testing.assert_frame_equal(mine[expected.columns].reset_index(drop=True), expected, check_dtype=False)
    for name, test in (("pairwise", "t"), ("ranks", "wilcoxon")):
        expected = pairwise(cell, "dsc", "subject", "strategy", at="amount", test=test)
        columns = expected.columns.drop(["p_corrected", "verdict", "at"])
        mine = tables[name].query("site == 'ct' and target == 'kidney'")
        pd.testing.assert_frame_equal(mine[columns].reset_index(drop=True), expected[columns], check_dtype=False)
        assert set(mine["a"]) == {"mixed"}
    assert set(tables["pairwise"].query("target == 'kidney'")["verdict"]) == {"greater"}


def test_the_family_is_every_site_target_and_amount_end_to_end(study):
    tables = tables_of(study, study.rows({"mr": 8, "ct": 5, "ct_external": 5}))
    for name in ("pairwise", "ranks", "mixed_model", "noninferiority"):
        sizes = tables[name].groupby("setting")["tests_in_family"].unique()
        assert sizes["end to end"].tolist() == [3 * 3 * 3] and sizes["reference boxes"].tolist() == [3 * 2 * 3], name


def test_replicates_keep_the_subsets_apart(study):
    rows = study.rows(CASES)
    _, scores, design = units(study, rows)
    found = replicates_of(scores, design)
    mr, ct = (found[(found.site == site) & (found.target == "kidney")] for site in ("mr", "ct"))
    assert mr.groupby("subject")["subset"].nunique().eq(1).all()
    assert ct.groupby("subject")["subset"].nunique().eq(2).all() and len(ct) == 5 * 2 * 6
    tables = tables_of(study, rows)
    assert set(tables["three_way"]["site"]) == {"ct"} and "subset:strategy:amount" in set(tables["three_way"]["effect"])
    apart = tables["by_subset"].query("target == 'kidney'")
    assert apart.groupby("site")["n"].unique().map(list).to_dict() == {"ct": [5], "mr": [4]}


def test_gains_and_subgroups(study):
    found, _, design = units(study, study.rows(CASES))
    gains = gains_of(found, design).query("site == 'mr' and target == 'kidney'")
    one = found[(found.subject == "mr/000/both")].groupby("strategy")["dsc"].mean()
    assert gains.set_index("subject").loc["mr/000/both", "gain"] == pytest.approx(one["mixed"] - one["pure"])
    groups = subgroups_of(found, design)
    halves = groups.query("site == 'mr' and target == 'kidney' and grouping == 'organ volume'")
    smaller = halves[halves["group"] == "smaller half"]["volume_reference_ml"]
    assert (
        smaller.max() <= halves[halves["group"] == "larger half"]["volume_reference_ml"].min() or smaller.nunique() == 1
    )
    assert set(groups.query("grouping == 'side'")["target"]) == {
        "parenchyma_with_tumour",
        "parenchyma_without_tumour",
    }
    without = groups.query("target == 'parenchyma_without_tumour' and grouping == 'tumour volume'")
    assert without.empty, "a volume of 0 is no small tumour"


def test_savings_compare_the_curves_of_the_annotated_modality(study):
    rows = study.rows(CASES)
    found, scores, design = units(study, rows)
    curves = curves_of(found, scores, design)
    assert set(curves["site"]) == {"mr"}
    cell = curves[(curves.target == "kidney")]
    wide = {
        s: cell[cell.strategy == s].pivot(index="subject", columns="amount", values="dsc") for s in ("mixed", "pure")
    }
    assert list(wide["mixed"]) == [0, 40, 80, 120]
    expected = annotation_savings(wide["mixed"], wide["pure"])
    mine = tables_of(study, rows)["savings"].query("target == 'kidney'")
    np.testing.assert_allclose(mine["equivalent_unassisted"], expected["equivalent_unassisted"])


def test_one_amount_without_variance_leaves_the_others_tested(study):
    rows = study.rows({"ct": 6})
    for half in "AB":
        pure = rows[(rows.arm == f"mr{half}080")].set_index(["case", "target", "region"])["dsc"]
        mixed = rows.index[rows.arm == f"ct116+mr{half}080"]
        keys = pd.MultiIndex.from_frame(rows.loc[mixed, ["case", "target", "region"]])
        rows.loc[mixed, "dsc"] = pure.loc[keys].to_numpy()
    here = tables_of(study, rows)["pairwise"].query("target == 'kidney'").set_index("at")
    assert "No variance to test between mixed and pure at 80" in here.loc[80, "note"]
    assert np.isnan(here.loc[80, "p"]) and here.loc[80, "verdict"] == ""
    assert here.loc[[40, 120], "p_corrected"].notna().all() and set(here["tests_in_family"]) == {2 * 3}


@pytest.mark.parametrize("kind", ["tiny", "constant"])
def test_untestable_cells_carry_a_reason(study, kind):
    rows = study.rows({"ct": 2 if kind == "tiny" else 5})
    if kind == "constant":
        rows["dsc"] = 1.0
    tables = tables_of(study, rows)
    message = {"tiny": "Only 2 of 2 subjects", "constant": "No error variance"}[kind]
    anova, simple = tables["rm_anova"], tables["pairwise"]
    assert anova["note"].str.contains(message).all() and len(anova) == 5
    assert (simple["note"] != "").all() and simple["p_family"].isna().all() and (simple["verdict"] == "").all()
    for name, table in tables.items():
        if name not in ("volumes", "incomplete"):
            assert table["p_corrected"].isna().all() and (table["note"] != "").all(), name
