"""rm_anova against R (afex/car), pingouin and statsmodels, and what it must refuse."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pingouin
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from statsmodels.stats.anova import AnovaRM

from crossmod.analyse.stats import DegenerateDataError, IncompleteDesignError, rm_anova
from crossmod.analyse.stats.anova import COLUMNS, log_f_sf
from crossmod.job import UserError

# Made with R 4.2.2 (afex 1.2.1, car 3.1.1): shared/reference/statistics/*/make.R; tolerances of its README.
STATISTIC, P_VALUE = 1e-7, 1e-6
ONE_WAY = {
    "rm1_nonspherical_n120": "rm_anova",
    "near_ceiling_ties_n79": "rm_anova",
    "missing_cells_oneway_n30": "rm_anova_complete_cases",
    "classic_field_bushtucker": "rm_anova",
}


def check_effect(row: pd.Series, r: dict) -> None:
    for name, key in (("ss_effect", "ss_effect"), ("ss_error", "ss_error"), ("F", "F"), ("df1", "df1"), ("df2", "df2")):
        assert row[name] == pytest.approx(r[key], rel=STATISTIC), name
    assert row["p"] == pytest.approx(r["p_unc"], rel=P_VALUE)
    assert row["log_p"] == pytest.approx(r["log_p_unc"], rel=P_VALUE)
    assert row["epsilon_gg"] == pytest.approx(r["eps"]["GG"], rel=STATISTIC)
    assert row["epsilon_hf"] == pytest.approx(r["eps"]["HF"], rel=STATISTIC)
    assert row["p_gg"] == pytest.approx(r["GG"]["p"], rel=P_VALUE)
    if r["eps"]["HF_raw"] <= 1:
        assert row["p_hf"] == pytest.approx(r["HF"]["p"], rel=P_VALUE)
    assert row["eta_sq_generalised"] == pytest.approx(r["ges"], rel=STATISTIC)
    assert row["eta_sq_partial"] == pytest.approx(r["pes"], rel=STATISTIC)
    if r["mauchly"]["W"] is None:
        assert np.isnan(row["mauchly_w"]) and np.isnan(row["mauchly_p"])
    else:
        assert row["mauchly_w"] == pytest.approx(r["mauchly"]["W"], rel=STATISTIC)
        assert row["mauchly_p"] == pytest.approx(r["mauchly"]["p"], rel=P_VALUE)


@pytest.mark.parametrize(("case", "key"), ONE_WAY.items())
def test_one_way_agrees_with_r(reference, case, key):
    expected, data = reference.expected(case), reference.data(case)
    design = expected["design"]
    result = rm_anova(data, design["dv"], design["subject"], [design["within"]])
    assert list(result.columns) == COLUMNS
    assert list(result["effect"]) == [design["within"]]
    assert result.attrs["n_subjects"] == expected[key]["n"]
    check_effect(result.iloc[0], expected[key])


@pytest.mark.parametrize("case", ["rm2_strategy_proportion_n60", "classic_maxwell_delaney_12_1"])
def test_two_way_agrees_with_r(reference, case):
    expected, data = reference.expected(case), reference.data(case)
    design = expected["design"]
    result = rm_anova(data, design["dv"], design["subject"], design["within"]).set_index("effect")
    assert set(result.index) == set(expected["rm_anova"]["effects"])
    for effect, r in expected["rm_anova"]["effects"].items():
        check_effect(result.loc[effect], r)


def test_published_textbook_values(reference):
    published = reference.expected("classic_field_bushtucker")["published"]
    row = rm_anova(reference.data("classic_field_bushtucker"), "retch", "celebrity", "animal").iloc[0]
    assert (round(row.F, 2), round(row.p, 3), round(row.mauchly_w, 3)) == (
        published["F"],
        published["p"],
        published["mauchly_W"],
    )
    assert (round(row.epsilon_gg, 3), round(row.epsilon_hf, 3), round(row.p_gg, 3)) == (
        *(published["GG"], published["HF"], published["p_GG"]),
    )


def test_missing_cells_are_listed_never_dropped_in_silence(reference):
    expected = reference.expected("missing_cells_oneway_n30")
    result = rm_anova(reference.data("missing_cells_oneway_n30"), "dsc", "case", ["arm"])
    assert result.attrs["dropped_subjects"] == expected["dropped"]
    assert result.attrs["n_subjects"] == expected["n_complete"]


@pytest.mark.parametrize("case", ["degenerate_identical_arms", "degenerate_constant_difference_float"])
def test_no_error_variance_is_refused_by_name(reference, case):
    with pytest.raises(DegenerateDataError, match=r"arm \(pure, mixed\).*c01, c02"):
        rm_anova(reference.data(case), "dsc", "case", ["arm"])


def grid(subjects: int, *sizes: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    names = [f"f{i}" for i in range(len(sizes))]
    index = pd.MultiIndex.from_product([range(subjects), *(range(k) for k in sizes)], names=["id", *names])
    table = index.to_frame(index=False)
    ease = rng.normal(size=subjects)
    table["y"] = ease[table["id"]] + 0.3 * table["f0"] + rng.normal(size=len(table)) * (1 + table["f0"])
    return table


@pytest.mark.parametrize("sizes", [(4,), (2, 3), (3, 3), (2, 3, 2)])
def test_f_agrees_with_statsmodels(sizes):
    table = grid(12, *sizes)
    factors = [f"f{i}" for i in range(len(sizes))]
    mine = rm_anova(table, "y", "id", factors)
    theirs = AnovaRM(table, "y", "id", within=factors).fit().anova_table
    assert set(mine["effect"]) == set(theirs.index)
    theirs = theirs.loc[mine["effect"]]
    np.testing.assert_allclose(mine["F"], theirs["F Value"], rtol=1e-7)
    np.testing.assert_allclose(mine["p"], theirs["Pr > F"], rtol=1e-6)
    assert list(mine["df2"]) == list(theirs["Den DF"])


def test_epsilons_agree_with_pingouin():
    table = grid(15, 3, 4)
    mine = rm_anova(table, "y", "id", ["f0", "f1"]).set_index("effect")
    for effect, within in (("f0", "f0"), ("f1", "f1"), ("f0:f1", ["f0", "f1"])):
        for kind in ("gg", "hf"):
            theirs = pingouin.epsilon(table, dv="y", subject="id", within=within, correction=kind)
            assert mine.loc[effect, f"epsilon_{kind}"] == pytest.approx(theirs, rel=1e-9)


def test_three_factors_have_every_effect_in_order():
    result = rm_anova(grid(8, 2, 3, 2), "y", "id", ["f0", "f1", "f2"])
    assert list(result["effect"]) == ["f0", "f1", "f2", "f0:f1", "f0:f2", "f1:f2", "f0:f1:f2"]
    assert list(result["df1"]) == [1, 2, 1, 2, 1, 2, 2]


def test_log_p_stays_finite_where_p_underflows():
    # R: pf(1e6, 3, 357, lower.tail = FALSE, log.p = TRUE), by the same series in 60-digit arithmetic: mpmath below.
    mpmath = pytest.importorskip("mpmath")
    mpmath.mp.dps = 60
    x = mpmath.mpf(357) / (357 + 3 * mpmath.mpf(10) ** 6)
    exact = mpmath.log(mpmath.betainc(mpmath.mpf(357) / 2, mpmath.mpf(3) / 2, 0, x, regularized=True))
    assert log_f_sf(1e6, 3, 357) == pytest.approx(float(exact), rel=1e-12)
    table = grid(100, 3)
    table["y"] = table["y"] * 0.001 + table["f0"] * 100
    row = rm_anova(table, "y", "id", ["f0"]).iloc[0]
    assert row.p == 0 and -5000 < row.log_p < -700


def test_too_few_subjects_for_mauchly_still_give_f_and_gg():
    row = rm_anova(grid(4, 6), "y", "id", ["f0"]).iloc[0]
    assert row.mauchly_w == 0 and np.isnan(row.mauchly_p)
    assert np.isfinite([row.F, row.p, row.p_gg, row.epsilon_gg]).all()


@pytest.mark.parametrize("within", [[], ["f0", "f1", "f2", "f3"]])
def test_number_of_factors(within):
    with pytest.raises(UserError, match="One to three"):
        rm_anova(grid(4, 2, 2, 2, 2), "y", "id", within)


def test_few_complete_subjects_are_refused_by_name():
    table = grid(4, 3)
    table.loc[[1, 4], "y"] = np.nan
    with pytest.raises(IncompleteDesignError, match=r"Only 2 of 4 .*0 \(lacks 1\), 1 \(lacks 1\)"):
        rm_anova(table, "y", "id", ["f0"])


@hypothesis_settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-3, 1e3), shift=st.floats(-10, 10))
def test_invariant_to_row_order_relabelling_and_scale(seed, scale, shift):
    table = grid(6, 2, 3, seed=seed)
    before = rm_anova(table, "y", "id", ["f0", "f1"]).set_index("effect")
    changed = table.sample(frac=1, random_state=seed)
    changed["y"] = changed["y"] * scale + shift
    changed["id"] = changed["id"].map("subject {}".format)
    changed["f0"] = changed["f0"].map({0: "pure", 1: "mixed"})
    after = rm_anova(changed, "y", "id", ["f0", "f1"]).set_index("effect")
    unscaled = [c for c in before.columns if not c.startswith("ss_")]
    pd.testing.assert_frame_equal(after[unscaled], before[unscaled], rtol=1e-5, check_names=False)
    np.testing.assert_allclose(after["ss_error"], before["ss_error"] * scale**2, rtol=1e-5)


def test_p_falls_as_the_effect_grows():
    table = grid(10, 3, seed=3)
    flat = table["y"] - table.groupby("f0")["y"].transform("mean")
    p = [rm_anova(table.assign(y=flat + k * table["f0"]), "y", "id", "f0")["log_p"].iloc[0] for k in (0.1, 1, 3, 10)]
    assert all(later < earlier for earlier, later in pairwise(p))
