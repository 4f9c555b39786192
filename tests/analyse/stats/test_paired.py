"""pairwise against R, and the verdicts."""

import inspect

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from crossmod.analyse.stats import DegenerateDataError, IncompleteDesignError, pairwise
from crossmod.analyse.stats.paired import COLUMNS
from crossmod.job import UserError

# Made with R 4.2.2 (stats::t.test, wilcox.test, p.adjust): shared/reference/statistics/*/make.R.
STATISTIC, P_VALUE = 1e-7, 1e-6
ONE_WAY = {
    "rm1_nonspherical_n120": "pairwise",
    "near_ceiling_ties_n79": "pairwise",
    "missing_cells_oneway_n30": "pairwise_listwise",
    "classic_field_bushtucker": "pairwise",
}


def check_t(row, r: dict) -> None:
    for name, key in (("mean_difference", "mean_diff"), ("statistic", "t"), ("df", "df"), ("cohen_dz", "cohen_dz")):
        assert row[name] == pytest.approx(r[key], rel=STATISTIC), name
    assert [row["ci_low"], row["ci_high"]] == pytest.approx(r["ci"], rel=STATISTIC)
    assert row["p"] == pytest.approx(r["p_two_sided"], rel=P_VALUE)
    assert row["n"] == r["n"]


@pytest.mark.parametrize("correction", ["holm", "bonferroni", "hochberg", "BH", "BY"])
@pytest.mark.parametrize(("case", "key"), ONE_WAY.items())
def test_paired_t_agrees_with_r(reference, case, key, correction):
    expected, design = reference.expected(case)[key], reference.expected(case)["design"]
    result = pairwise(reference.data(case), design["dv"], design["subject"], design["within"], correction=correction)
    assert list(result.columns) == COLUMNS
    assert [f"{a} - {b}" for a, b in zip(result["a"], result["b"], strict=True)] == expected["order"]
    for (_, row), r in zip(result.iterrows(), expected["pairs"], strict=True):
        check_t(row, r)
    np.testing.assert_allclose(result["p_corrected"], expected["p_adjusted"][correction], rtol=P_VALUE)


@pytest.mark.parametrize(("case", "key"), ONE_WAY.items())
def test_signed_ranks_agree_with_r(reference, case, key):
    expected, design = reference.expected(case)[key], reference.expected(case)["design"]
    result = pairwise(reference.data(case), design["dv"], design["subject"], design["within"], test="wilcoxon")
    for (_, row), pair in zip(result.iterrows(), expected["pairs"], strict=True):
        r = pair["wilcoxon"]["on_differences_rounded_to_9_decimals"]
        assert row["statistic"] == r["V_plus"]
        assert row["p"] == pytest.approx(r["p_R_default"], rel=P_VALUE)
        assert ("exact" in row["method"]) == ("exact" in r["R_default_method"])
        assert (f"{r['n_zero']} zero" in row["method"]) == (r["n_zero"] > 0)


def test_simple_effects_agree_with_r(reference):
    case = "rm2_strategy_proportion_n60"
    data = reference.data(case)
    data["strategy"] = pd.Categorical(data["strategy"], categories=["mixed", "pure"], ordered=True)
    result = pairwise(data, "dsc", "case", "strategy", at="proportion")
    expected = reference.expected(case)["simple_effects_mixed_minus_pure_by_proportion"]
    assert list(result["at"]) == [40, 80, 120]
    for (_, row), r in zip(result.iterrows(), expected["pairs"], strict=True):
        check_t(row, r)
    np.testing.assert_allclose(result["p_corrected"], expected["p_adjusted"]["holm"], rtol=P_VALUE)
    assert set(result["verdict"]) == {"greater"}


def test_dropped_subjects_are_listed(reference):
    expected = reference.expected("missing_cells_oneway_n30")
    result = pairwise(reference.data("missing_cells_oneway_n30"), "dsc", "case", "arm")
    assert result.attrs == {"n_subjects": expected["n_complete"], "dropped_subjects": expected["dropped"]}


@pytest.mark.parametrize("case", ["degenerate_identical_arms", "degenerate_constant_difference_float"])
def test_no_variance_is_refused_by_name(reference, case):
    with pytest.raises(DegenerateDataError, match="between pure and mixed, subjects c01"):
        pairwise(reference.data(case), "dsc", "case", "arm")


def test_ranks_of_a_constant_difference_are_defined_and_of_no_difference_are_not(reference):
    data = reference.data("degenerate_constant_difference_float")
    row = pairwise(data, "dsc", "case", "arm", test="wilcoxon").iloc[0]
    r = reference.expected("degenerate_constant_difference_float")["wilcoxon_on_rounded"]
    assert row["p"] == pytest.approx(r["p_normal_cc"], rel=P_VALUE)
    assert np.isnan(row["cohen_dz"])
    with pytest.raises(DegenerateDataError, match="all 20 differences are zero"):
        pairwise(reference.data("degenerate_identical_arms"), "dsc", "case", "arm", test="wilcoxon")


def pair(difference: float, noise: float = 0.01, n: int = 12) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    base, step = rng.uniform(0.8, 0.95, n), difference + noise * rng.normal(size=n)
    return pd.DataFrame(
        {
            "case": np.tile(np.arange(n), 2),
            "arm": pd.Categorical(np.repeat(["mixed", "pure"], n), categories=["mixed", "pure"]),
            "dsc": np.concatenate([base + step, base]),
        }
    )


@pytest.mark.parametrize(("difference", "verdict"), [(0.05, "greater"), (0.001, "equal"), (-0.05, "lower")])
@pytest.mark.parametrize("test", ["t", "wilcoxon"])
def test_verdict_follows_sign_and_corrected_p(difference, verdict, test):
    row = pairwise(pair(difference), "dsc", "case", "arm", test=test).iloc[0]
    assert row["verdict"] == verdict
    assert (row["p_corrected"] < 0.05) == (verdict != "equal")


def test_float_noise_does_not_break_ties():
    n = 20
    base = np.round(np.linspace(0.86, 0.95, n), 3)
    step = np.resize([0.001, 0.002, -0.001], n)
    table = pair(0, n=n).assign(dsc=np.concatenate([base + step, base]))
    exact = table.assign(dsc=np.concatenate([step * 1000, np.zeros(n)]))
    noisy, clean = (pairwise(t, "dsc", "case", "arm", test="wilcoxon").iloc[0] for t in (table, exact))
    assert noisy["statistic"] == clean["statistic"]
    assert noisy["p"] == pytest.approx(clean["p"], rel=1e-12)
    assert "normal approximation" in noisy["method"]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"test": "sign"}, UserError, "'sign' is unknown"),
        ({"correction": "tukey"}, UserError, "'tukey' is unknown"),
        ({"within": ["arm", "case"]}, UserError, "levels of one factor"),
        ({"at": "amount"}, UserError, "No column 'amount'"),
        ({"table": pd.concat([pair(0), pair(0)])}, IncompleteDesignError, "more than one row: 0 in mixed"),
        ({"table": pair(0, n=2)}, IncompleteDesignError, "Only 2 of 2"),
    ],
)
def test_refusals(change, error, message):
    arguments = {"table": pair(0), "outcome": "dsc", "subject": "case", "within": "arm"} | change
    with pytest.raises(error, match=message):
        pairwise(**arguments)


def test_interface_is_the_one_scripts_rely_on():
    parameters = inspect.signature(pairwise).parameters
    assert list(parameters) == ["table", "outcome", "subject", "within", "at", "test", "correction"]
    assert [parameters[k].default for k in ("at", "test", "correction")] == [None, "t", "holm"]


@hypothesis_settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-3, 1e3), test=st.sampled_from(["t", "wilcoxon"]))
def test_invariant_to_row_order_relabelling_and_scale(seed, scale, test):
    table = pair(0.004)
    before = pairwise(table, "dsc", "case", "arm", test=test).iloc[0]
    changed = table.sample(frac=1, random_state=seed)
    changed["dsc"] *= scale
    changed["case"] = changed["case"].map("patient {}".format)
    after = pairwise(changed, "dsc", "case", "arm", test=test).iloc[0]
    for name in ("statistic", "p", "p_corrected", "cohen_dz"):
        assert after[name] == pytest.approx(before[name], rel=1e-8), name
    assert after["ci_low"] == pytest.approx(before["ci_low"] * scale, rel=1e-8)
    assert after["verdict"] == before["verdict"]


def test_the_verdict_of_ranks_is_that_of_the_ranks_not_of_the_mean():
    rng = np.random.default_rng(0)
    pure = rng.uniform(0.85, 0.9, 30)
    mixed = pure + rng.uniform(0.005, 0.015, 30)
    mixed[0] = pure[0] - 0.8  # one missed kidney turns the mean
    table = pd.DataFrame({"case": np.tile(np.arange(30), 2), "arm": np.repeat(["mixed", "pure"], 30)})
    table["dsc"] = np.concatenate([mixed, pure])
    (row,) = pairwise(table, "dsc", "case", "arm", test="wilcoxon").to_dict("records")
    assert row["mean_difference"] < 0 and row["p"] < 1e-4 and row["verdict"] == "greater"
