"""mixed_model against R (lme4, lmerTest), statsmodels and the paired t-test, and what it must refuse."""

from dataclasses import FrozenInstanceError

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from crossmod.analyse.stats.errors import DegenerateDataError, IncompleteDesignError
from crossmod.analyse.stats.mixed import COLUMNS, mixed_model
from crossmod.analyse.stats.paired import pairwise
from crossmod.job import UserError

# Made with R 4.2.2 (lme4 1.1.31, lmerTest 3.1.3): shared/reference/statistics/*/make.R. The tolerances of its README
# are 1e-4 for estimates, 1e-2 for standard errors and 1e-3 for variances; the numbers agree to seven digits.
REACHED = 1e-6
ARMS = ["pureMR", "mix40", "mix80", "mix120"]
TWO_KIDNEYS = "cluster_two_kidneys_65_patients"
# R's fit -> (fixed, patient, unit, order of levels)
FITS = {
    ("missing_cells_oneway_n30", "lmm_all_available"): ("arm", "case", None, {"arm": ARMS}),
    ("rm1_nonspherical_n120", "lmm_random_intercept"): (["arm"], "case", None, {"arm": ARMS}),
    ("rm2_strategy_proportion_n60", "lmm_random_intercept"): (
        *(["strategy", "proportion", "strategy:proportion"], "case", None, {"strategy": ["pure", "mixed"]}),
    ),
    ("rm2_strategy_proportion_n60", "lmm_additive"): (
        *(["strategy", "proportion"], "case", None, {"strategy": ["pure", "mixed"]}),
    ),
    (TWO_KIDNEYS, "lmer_arm_by_kidney_nested"): (
        *(["arm", "kidney", "arm:kidney"], "patient", "kidney"),
        {"arm": ["pure", "mixed"], "kidney": ["clean", "RCC"]},
    ),
}


@pytest.mark.parametrize(("case", "key"), FITS)
def test_agrees_with_r(reference, case, key):
    fixed, patient, unit, order = FITS[case, key]
    data, r = reference.data(case), reference.expected(case)[key]
    for column, levels in order.items():
        data[column] = pd.Categorical(data[column], levels)
    found = mixed_model(data, "dsc", fixed, patient, unit)
    assert list(found.fixed.columns) == COLUMNS
    # R writes armmixed:kidneyRCC for arm=mixed:kidney=RCC.
    rows = found.fixed.assign(term=found.fixed["term"].str.replace("=", "").replace("intercept", "(Intercept)"))
    rows = rows.set_index("term")
    assert set(rows.index) == set(r["fixed"])
    for term, expected in r["fixed"].items():
        for name, of_r in (("estimate", "estimate"), ("se", "se"), ("df", "df_satterthwaite"), ("statistic", "t")):
            assert rows.loc[term, name] == pytest.approx(expected[of_r], rel=REACHED), (term, name)
        assert rows.loc[term, "p"] == pytest.approx(expected["p"], rel=1e-4), term
    of_r = {"patient": r["variance"].get("case", r["variance"].get("patient")), "residual": r["variance"]["residual"]}
    of_r |= {"unit": r["variance"]["pk"]} if unit else {}
    assert found.variances == pytest.approx(of_r, rel=REACHED)
    assert found.log_likelihood == pytest.approx(r["logLik_REML"], abs=1e-8)
    assert found.n_rows == r["n_obs"]
    assert found.converged and found.at_boundary == []


def test_mean_difference_of_kidneys_agrees_with_r(reference):
    r = reference.expected(TWO_KIDNEYS)["lmer_difference"]
    wide = reference.data(TWO_KIDNEYS).pivot(index=["patient", "kidney"], columns="arm", values="dsc").reset_index()
    found = mixed_model(wide.assign(gain=wide["mixed"] - wide["pure"]), "gain", [], "patient")
    row = found.fixed.iloc[0]
    for name, key in (("estimate", "estimate"), ("se", "se"), ("df", "df_satterthwaite"), ("statistic", "t")):
        assert row[name] == pytest.approx(r[key], rel=REACHED), name
    assert row["p"] == pytest.approx(r["p"], rel=1e-4)
    assert found.variances == pytest.approx({"patient": r["var_patient"], "residual": r["var_residual"]}, rel=REACHED)
    assert found.log_likelihood == pytest.approx(r["logLik_REML"], abs=1e-8)
    assert (found.n_rows, found.n_patients, found.n_units, found.left_out) == (121, 65, 0, [])


def test_rows_without_outcome_are_listed_and_all_others_used(reference):
    data, expected = reference.data("missing_cells_oneway_n30"), reference.expected("missing_cells_oneway_n30")
    found = mixed_model(data, "dsc", "arm", "case")
    empty = data[data["dsc"].isna()]
    assert found.left_out == sorted(f"{row.case} in {row.arm}" for row in empty.itertuples())
    assert found.n_rows == len(data) - len(empty) == expected["lmm_all_available"]["n_obs"]
    assert found.n_patients == 30


@pytest.mark.parametrize("case", ["degenerate_identical_arms", "degenerate_constant_difference_float"])
def test_no_residual_variance_is_refused_by_name(reference, case):
    with pytest.raises(DegenerateDataError, match=r"rows of a patient in 20 patients \(c01, c02"):
        mixed_model(reference.data(case), "dsc", "arm", "case")


def kidneys(patients: int = 8, seed: int = 0) -> pd.DataFrame:
    """Two kidneys of each patient, three arms; the outcome and a covariate of each kidney are random."""
    rng = np.random.default_rng(seed)
    index = pd.MultiIndex.from_product(
        [[f"P{i:02d}" for i in range(patients)], ["left", "right"], ["pure", "mix40", "mix80"]],
        names=["patient", "side", "arm"],
    )
    table = index.to_frame(index=False)
    table["volume_ml"] = np.repeat(rng.normal(150, 30, 2 * patients), 3)
    table["dsc"] = 0.9 + np.repeat(rng.normal(0, 0.05, patients), 6) + np.repeat(rng.normal(0, 0.02, 2 * patients), 3)
    table["dsc"] += 0.02 * (table["arm"] != "pure") + rng.normal(0, 0.02, len(table))
    return table


def test_agrees_with_statsmodels_on_kidneys_with_gaps():
    table = kidneys(20, seed=1).sample(frac=0.8, random_state=1)
    table["arm"] = pd.Categorical(table["arm"], ["pure", "mix40", "mix80"])
    found = mixed_model(table, "dsc", ["arm", "volume_ml"], "patient", "side")
    groups = {"groups": table["patient"], "re_formula": "1", "vc_formula": {"side": "0 + C(side)"}}
    model = smf.mixedlm("dsc ~ arm + volume_ml", table, **groups)
    with pytest.warns(Warning):  # it warns of the boundary of the range of any model without random slopes
        theirs = model.fit(reml=True, method="bfgs")
    np.testing.assert_allclose(found.fixed["estimate"], theirs.fe_params, rtol=1e-4)
    np.testing.assert_allclose(found.fixed["se"], theirs.bse_fe, rtol=4e-2)  # see the docstring of mixed_model
    expected = {"patient": theirs.cov_re.iloc[0, 0], "unit": theirs.vcomp[0], "residual": theirs.scale}
    assert found.variances == pytest.approx(expected, rel=1e-3)
    assert found.log_likelihood == pytest.approx(theirs.llf, abs=1e-6)


def test_two_complete_arms_are_the_paired_t_test():
    table = kidneys(12)
    table = table[(table["side"] == "left") & (table["arm"] != "mix80")]
    row = mixed_model(table, "dsc", "arm", "patient").fixed.iloc[1]
    paired = pairwise(table, "dsc", "patient", "arm").iloc[0]  # pure - mix40
    assert (row["estimate"], row["statistic"]) == pytest.approx((-paired.mean_difference, -paired.statistic))
    assert (row["df"], row["p"]) == pytest.approx((11, paired.p))
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((-paired.ci_high, -paired.ci_low))


def test_kidneys_as_if_independent_would_be_too_sure():
    table = kidneys(12)
    table["tumour"] = (table["patient"] < "P06").map({True: "yes", False: "no"})  # differs between patients alone
    honest = mixed_model(table, "dsc", ["tumour", "arm"], "patient", "side").fixed.iloc[1]
    table["kidney"] = table["patient"] + table["side"]
    naive = mixed_model(table, "dsc", ["tumour", "arm"], "kidney").fixed.iloc[1]
    assert honest["se"] > 1.2 * naive["se"]
    assert honest["df"] == pytest.approx(10, rel=1e-6) and naive["df"] > 20


def test_whole_numbers_are_levels_and_floats_a_covariate():
    table = kidneys()
    table["amount"] = table["arm"].map({"pure": 120, "mix40": 40, "mix80": 80})
    levels = mixed_model(table, "dsc", "amount", "patient", "side").fixed["term"]
    assert list(levels) == ["intercept", "amount=80", "amount=120"]
    slope = mixed_model(table.astype({"amount": float}), "dsc", "amount", "patient", "side").fixed["term"]
    assert list(slope) == ["intercept", "amount"]
    both = mixed_model(table, "dsc", ["arm", "volume_ml", "volume_ml:arm"], "patient", "side").fixed["term"]
    assert list(both)[3:] == ["volume_ml", "volume_ml:arm=mix40", "volume_ml:arm=mix80"]


def test_a_variance_at_its_boundary_is_named():
    table = kidneys()
    rng = np.random.default_rng(0)
    table["dsc"] = rng.normal(size=len(table))
    table["dsc"] -= table.groupby("patient")["dsc"].transform("mean")
    found = mixed_model(table, "dsc", "arm", "patient", "side")
    assert "patient" in found.at_boundary and found.variances["patient"] == 0
    assert found.converged and np.isfinite(found.fixed[COLUMNS[1:]]).all(axis=None)


def test_ids_that_collide_across_sites_are_different_patients():
    table = pd.concat([kidneys(seed=1).assign(site="mr"), kidneys(seed=2).assign(site="ct")])
    found = mixed_model(table, "dsc", "arm", "patient", "side")
    assert (found.n_patients, found.n_units) == (16, 32)
    named = mixed_model(table, "dsc", "arm", ["site", "patient"], "side")
    pd.testing.assert_frame_equal(found.fixed, named.fixed)


def test_left_out_kidneys_are_named_with_their_cell():
    table = kidneys()
    table.loc[[3, 4], "dsc"] = np.nan
    found = mixed_model(table, "dsc", ["arm", "side"], "patient", "side")
    assert found.left_out == ["P00/right in mix40", "P00/right in pure"]
    assert (found.n_rows, found.n_patients, found.n_units) == (46, 8, 16)
    with pytest.raises(FrozenInstanceError):
        found.n_rows = 48


def twice(table):
    return pd.concat([table, table.iloc[[7]]])


def emptied(table, where):
    return table.assign(dsc=table["dsc"].where(~where))


REFUSALS = {
    "absent": (lambda t: t, ("dsc", "am", "patient"), UserError, "No column 'am'"),
    "absent unit": (lambda t: t, ("dsc", "arm", "patient", "kidney"), UserError, "No column 'kidney'"),
    "patient twice": (lambda t: t, ("dsc", "arm", "patient", "patient"), UserError, "different columns"),
    "no parts": (lambda t: t, ("dsc", ["arm", "arm:side"], "patient"), UserError, "'arm:side' needs 'side'"),
    "squared": (lambda t: t, ("dsc", ["arm", "arm:arm"], "patient"), UserError, "names a column twice"),
    "text": (lambda t: t.astype({"dsc": str}), ("dsc", "arm", "patient"), UserError, "not numeric"),
    "infinite": (lambda t: t.assign(dsc=np.inf), ("dsc", "arm", "patient"), UserError, "infinite for P00"),
    "empty key": (lambda t: t.assign(arm=None), ("dsc", "arm", "patient"), UserError, "'arm' is empty in 48 rows"),
    "infinite covariate": (
        *(lambda t: t.assign(age=np.where(t["patient"] == "P03", np.inf, 50.0)), ("dsc", ["arm", "age"], "patient")),
        *(UserError, "'age' is infinite for P03"),
    ),
    "one level": (lambda t: t.assign(arm="a"), ("dsc", "arm", "patient"), UserError, "single level 'a'"),
    "twice": (twice, ("dsc", "arm", "patient", "side"), IncompleteDesignError, "1 keys .*P01 in left:mix40"),
    "two patients": (
        *(lambda t: t[t["patient"] < "P02"], ("dsc", "arm", "patient", "side")),
        *(IncompleteDesignError, r"2 patients have 'dsc' \(P00, P01\); at least 3"),
    ),
    "no outcome": (
        *(lambda t: t.assign(dsc=np.nan), ("dsc", "arm", "patient")),
        *(IncompleteDesignError, "no patient has 'dsc'; at least 3"),
    ),
    "empty cell": (
        *(lambda t: emptied(t, (t["arm"] == "mix80") & (t["side"] == "right")),),
        *(("dsc", ["arm", "side", "arm:side"], "patient"), IncompleteDesignError, "'arm=mix80:side=right' cannot be"),
    ),
    "few rows": (
        *(lambda t: t.iloc[[0, 6, 12]], ("dsc", "volume_ml", "patient")),
        *(IncompleteDesignError, r"between the rows of a patient .*3 rows of 3 patients \(P00, P01, P02\)"),
    ),
    "fewer rows than effects": (
        *(lambda t: t.iloc[[0, 7, 14]], ("dsc", ["arm"], "patient")),
        *(IncompleteDesignError, "3 rows are too few for 3 fixed effects"),
    ),
    "one kidney each": (
        *(lambda t: t[t["side"] == "left"], ("dsc", "arm", "patient", "side")),
        *(IncompleteDesignError, "between the units of a patient cannot be measured"),
    ),
    "one row of each kidney": (
        *(lambda t: t[t["arm"] == "pure"], ("dsc", [], "patient", "side")),
        *(IncompleteDesignError, "between the rows of a unit cannot be measured"),
    ),
    "patients explained": (
        *(lambda t: t.assign(who=t["patient"]), ("dsc", ["arm", "who"], "patient")),
        *(IncompleteDesignError, "between patients cannot be measured"),
    ),
    "constant": (lambda t: t.assign(dsc=0.9), ("dsc", "arm", "patient", "side"), DegenerateDataError, "rows of a unit"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name):
    change, arguments, error, message = REFUSALS[name]
    with pytest.raises(error, match=message):
        mixed_model(change(kidneys()), *arguments)


def test_two_rows_for_one_patient_and_arm_are_fine_where_no_unit_is_claimed():
    assert mixed_model(twice(kidneys()), "dsc", "arm", "patient").n_rows == 49


@hypothesis_settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-3, 1e3), shift=st.floats(-10, 10))
def test_invariant_to_row_order_and_labels_and_follows_the_unit_of_the_outcome(seed, scale, shift):
    table = kidneys(6, seed).sample(frac=0.9, random_state=seed)
    table["arm"] = pd.Categorical(table["arm"], ["pure", "mix40", "mix80"])
    changed = table.sample(frac=1, random_state=seed + 1)
    changed["dsc"] = changed["dsc"] * scale + shift
    changed["patient"] = changed["patient"].map("subject {}".format)
    changed["side"] = changed["side"].map({"left": 2, "right": 1})
    before, after = (mixed_model(t, "dsc", ["arm", "volume_ml"], "patient", "side") for t in (table, changed))
    assert before.converged and after.converged and after.at_boundary == before.at_boundary
    expected = before.fixed.copy()
    expected[["estimate", "se", "ci_low", "ci_high"]] *= scale
    expected.loc[0, ["estimate", "ci_low", "ci_high"]] += shift
    effects = ["estimate", "se", "df", "ci_low", "ci_high"]
    np.testing.assert_allclose(after.fixed[effects], expected[effects], rtol=1e-5, atol=1e-7 * (scale + abs(shift)))
    np.testing.assert_allclose(after.fixed["p"][1:], before.fixed["p"][1:], rtol=1e-4)
    variances = {name: value * scale**2 for name, value in before.variances.items()}
    assert after.variances == pytest.approx(variances, rel=1e-4, abs=1e-9 * scale**2)
