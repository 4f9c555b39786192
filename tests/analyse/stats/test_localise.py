"""Localisation rates, McNemar's test and Cochran's Q against R."""

import inspect
from dataclasses import FrozenInstanceError

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from crossmod.analyse.stats.errors import IncompleteDesignError
from crossmod.analyse.stats.localise import MCNEMAR_COLUMNS, RATE_COLUMNS, localisation
from crossmod.analyse.stats.multiplicity import correct_p
from crossmod.job import UserError

# Made with R 4.2.2 (prop.test, mcnemar.test, binom.test): shared/reference/statistics/*/make.R.
CASE = "localisation_and_tumour_volume_n100"
STATISTIC, P_VALUE = 1e-7, 1e-6
ARMS = ["hit_original", "hit_inverted", "hit_inverted_black"]


def long(data: pd.DataFrame) -> pd.DataFrame:
    return data.melt("case", ARMS, "arm", "hit")


def check_rate(row, r: dict) -> None:
    assert (row["k"], row["n"]) == (r["k"], r["n"])
    found = [row["rate"], row["ci_low"], row["ci_high"]]
    assert found == pytest.approx([r["rate"], *r["wilson"]], rel=STATISTIC, abs=1e-15)


def test_rates_agree_with_r(reference):
    rates, expected = localisation(reference.data(CASE), "localisation").rates, reference.expected(CASE)["rates"]
    assert list(rates.columns) == RATE_COLUMNS
    assert list(rates["outcome"]) == ["correct", "incorrect", "not_detected"]
    for _, row in rates.iterrows():
        check_rate(row, expected[row["outcome"]])
    by_arm = localisation(long(reference.data(CASE)), "hit", "arm", "case").rates
    assert list(by_arm["arm"]) == ARMS
    for arm in ("hit_original", "hit_inverted"):
        check_rate(by_arm[by_arm["arm"] == arm].iloc[0], expected[arm])


@pytest.mark.parametrize(("hit", "key"), [(0, "zero_of_20"), (1, "all_of_20")])
def test_intervals_at_the_edges_agree_with_r_and_stay_inside(reference, hit, key):
    (row,) = localisation(pd.DataFrame({"hit": [hit] * 20}), "hit").rates.to_dict("records")
    check_rate(row, reference.expected(CASE)["rates"][key])
    assert 0 <= row["ci_low"] < row["ci_high"] <= 1


def test_arms_agree_with_r(reference):
    found, expected = localisation(long(reference.data(CASE)), "hit", "arm", "case"), reference.expected(CASE)
    assert list(found.mcnemar.columns) == MCNEMAR_COLUMNS
    pairs = {f"{row['a']} vs {row['b']}": row for _, row in found.mcnemar.iterrows()}
    assert set(pairs) == set(expected["mcnemar"])
    for name, r in expected["mcnemar"].items():
        row = pairs[name]
        assert (row["n"], row["only_a"], row["only_b"]) == (100, r["n10"], r["n01"])
        assert row["rate_difference"] == pytest.approx(-r["diff"], rel=STATISTIC)
        assert row["statistic"] == pytest.approx(r["chi2"], rel=STATISTIC)
        assert [row["p"], row["p_chi2"]] == pytest.approx([r["p_exact"], r["p"]], rel=P_VALUE)
    np.testing.assert_allclose(found.mcnemar["p_corrected"], correct_p(found.mcnemar["p"], "holm"), rtol=1e-12)
    q = expected["cochran_q"]
    assert found.cochran_q == pytest.approx(q["Q"], rel=STATISTIC)
    assert found.cochran_df == q["df"]
    assert found.cochran_p == pytest.approx(q["p"], rel=P_VALUE)
    assert (found.n_subjects, found.note, found.dropped) == (100, "", {})


def outcomes(seed: int = 0, n: int = 30) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    names = np.array(["correct", "incorrect", "not_detected"])
    parts = [
        pd.DataFrame({"case": np.arange(n), "arm": arm, "found": rng.choice(names, n, p=[p, 0.9 - p, 0.1])})
        for arm, p in (("pure", 0.4), ("mixed", 0.6), ("ct", 0.2))
    ]
    return pd.concat(parts)


def test_only_correct_counts_as_a_hit_and_all_outcomes_have_rates():
    table = outcomes()
    found = localisation(table, "found", "arm", "case")
    as_hits = localisation(table.assign(found=(table["found"] == "correct")), "found", "arm", "case")
    pd.testing.assert_frame_equal(found.mcnemar, as_hits.mcnemar)
    assert found.cochran_q == as_hits.cochran_q
    assert list(found.rates["arm"]) == [arm for arm in ("pure", "mixed", "ct") for _ in range(3)]
    assert found.rates.groupby("arm")["k"].sum().eq(30).all()
    correct = found.rates[found.rates["outcome"] == "correct"]
    assert list(correct["k"]) == list(as_hits.rates["k"])


def test_synonyms_are_the_same_outcomes():
    table = outcomes()
    names = {"correct": "detected", "incorrect": "misplaced", "not_detected": "missed"}
    renamed = localisation(table.assign(found=table["found"].map(names)), "found", "arm", "case")
    pd.testing.assert_frame_equal(renamed.rates, localisation(table, "found", "arm", "case").rates)


def test_two_arms_have_the_same_q_as_mcnemar():
    table = outcomes()
    found = localisation(table[table["arm"] != "ct"], "found", "arm", "case")
    row = found.mcnemar.iloc[0]
    assert found.cochran_q == pytest.approx(row["statistic"])
    assert found.cochran_p == pytest.approx(row["p_chi2"])


def test_missing_pairs_are_listed_and_count_only_in_rates():
    table = outcomes().reset_index(drop=True)
    table.loc[table["case"].eq(4) & table["arm"].eq("ct"), "found"] = None
    table = table[~(table["case"].eq(7) & table["arm"].ne("ct"))]
    found = localisation(table, "found", "arm", "case")
    assert found.dropped == {4: ["ct"], 7: ["pure", "mixed"]}
    assert found.n_subjects == 28 and set(found.mcnemar["n"]) == {28}
    assert list(found.rates.groupby("arm", sort=False)["n"].first()) == [29, 29, 29]


def test_missing_outcomes_without_arms_are_listed():
    table = pd.DataFrame({"site": list("aabb"), "case": [1, 2, 1, 2], "hit": [1, np.nan, 0, 1]})
    assert localisation(table, "hit").dropped == {1: []}
    found = localisation(table, "hit", subject=["site", "case"])
    assert found.dropped == {"a/2": []} and found.n_subjects == 3
    assert found.rates["n"].tolist() == [3] and found.mcnemar.empty and found.note == "no arms to compare"


def test_no_discordance_is_stated_and_leaves_holms_family():
    hits = np.array([[1, 1, 0], [0, 0, 1], [1, 1, 0], [1, 1, 0], [0, 0, 0]])
    table = pd.DataFrame(hits, columns=["a", "b", "c"]).reset_index(names="case").melt("case", var_name="arm")
    found = localisation(table, "value", "arm", "case")
    same = found.mcnemar.iloc[0]
    assert "no discordant pair: each of the 5 cases" in same["note"]
    assert same[["statistic", "p", "p_chi2", "p_corrected"]].isna().all()
    assert found.mcnemar["p_corrected"][1] == pytest.approx(min(1, 2 * found.mcnemar["p"][1]))
    alike = localisation(table[table["arm"] != "c"], "value", "arm", "case")
    assert np.isnan([alike.cochran_q, alike.cochran_df, alike.cochran_p]).all()
    assert "no discordance: each case is correct in all of a, b or in none" in alike.note


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"outcome": "hit"}, UserError, "No column 'hit'"),
        ({"arm": "model"}, UserError, "No column 'model'"),
        ({"subject": None}, UserError, "name the column of the cases as subject="),
        ({"level": 95}, UserError, "between 0 and 1"),
        ({"arm": None}, IncompleteDesignError, "30 cases have more than one row: 0, 1"),
        ({"table": outcomes().assign(found="lost")}, UserError, "unknown values 'lost'; use correct"),
        ({"table": outcomes().assign(found=2)}, UserError, "unknown values 2"),
        ({"table": outcomes().assign(found=[*[1] * 45, *["missed"] * 45])}, UserError, "unknown values 1"),
        ({"table": outcomes().assign(found=np.nan)}, IncompleteDesignError, "None of the 90 rows"),
        ({"table": outcomes().assign(arm="pure")}, IncompleteDesignError, "more than one row: 0 in pure"),
        ({"table": outcomes().query("arm == 'pure'")}, UserError, "single level 'pure'"),
        ({"table": outcomes(n=2)}, IncompleteDesignError, "Only 2 of 2"),
    ],
)
def test_refusals(change, error, message):
    arguments = {"table": outcomes(), "outcome": "found", "arm": "arm", "subject": "case"} | change
    with pytest.raises(error, match=message):
        localisation(**arguments)


def test_result_is_frozen_and_the_interface_is_the_one_scripts_rely_on():
    assert list(inspect.signature(localisation).parameters) == ["table", "outcome", "arm", "subject", "level"]
    found = localisation(outcomes(), "found", "arm", "case")
    with pytest.raises(FrozenInstanceError):
        found.cochran_q = 0


@hypothesis_settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_invariant_to_row_order_and_relabelling(seed):
    table = outcomes(seed)
    table["arm"] = pd.Categorical(table["arm"], categories=["ct", "pure", "mixed"], ordered=True)
    before = localisation(table, "found", "arm", "case")
    changed = table.sample(frac=1, random_state=seed)
    changed["case"] = changed["case"].map("patient {}".format)
    after = localisation(changed, "found", "arm", "case")
    pd.testing.assert_frame_equal(after.rates, before.rates)
    pd.testing.assert_frame_equal(after.mcnemar, before.mcnemar)
    assert after.cochran_q == pytest.approx(before.cochran_q, nan_ok=True)
    assert before.rates["rate"].between(before.rates["ci_low"], before.rates["ci_high"]).all()
