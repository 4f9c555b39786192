"""Rank tests of effects and of clustered differences, against R, scipy and brute force."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy import stats

from crossmod.analyse.stats import DegenerateDataError, IncompleteDesignError, pairwise
from crossmod.analyse.stats.anova import anova_of
from crossmod.analyse.stats.cells import Cells, complete_cells
from crossmod.analyse.stats.ranks import COLUMNS, clustered_signed_rank, rank_effects, signed_rank
from crossmod.job import UserError

# Made with R 4.2.2: friedman.test and wilcox.test of the complete subjects, rounded to nine decimals.
FRIEDMAN = {
    "rm1_nonspherical_n120": (41.08, 3, 6.28864454772381e-09),
    "near_ceiling_ties_n79": (3.70408163265306, 3, 0.29524190597582),
    "missing_cells_oneway_n30": (20.616, 3, 0.000126487024101887),
    "classic_field_bushtucker": (11.5263157894737, 3, 0.00919516147593828),
}


@pytest.mark.parametrize(("case", "expected"), FRIEDMAN.items())
def test_one_way_agrees_with_r(reference, case, expected):
    design = reference.expected(case)["design"]
    cells = complete_cells(reference.data(case), design["dv"], design["subject"], [design["within"]])
    result = rank_effects(cells)
    assert list(result.columns) == COLUMNS
    row = result.iloc[0]
    assert (row.effect, row.rank_test, row.rank_note) == (design["within"], "Friedman, chi-square", "")
    assert [row.rank_statistic, row.rank_df, row.rank_p] == pytest.approx(expected, rel=1e-9)


def test_two_way_agrees_with_r_on_means_and_differences(reference):
    data = reference.data("rm2_strategy_proportion_n60")
    data["strategy"] = data["strategy"].astype("category").cat.set_categories(["mixed", "pure"])
    result = rank_effects(complete_cells(data, "dsc", "case", ["strategy", "proportion"])).set_index("effect")
    strategy, proportion, both = result.loc["strategy"], result.loc["proportion"], result.loc["strategy:proportion"]
    assert (strategy.rank_statistic, strategy.rank_p) == pytest.approx((1525, 7.22679799312286e-06), rel=1e-9)
    assert strategy.rank_test == "Wilcoxon signed rank, normal approximation, continuity" and np.isnan(strategy.rank_df)
    assert (proportion.rank_statistic, proportion.rank_p) == pytest.approx((57.4333333333333, 3.37683723540148e-13))
    assert (both.rank_statistic, both.rank_df) == pytest.approx((12.1333333333333, 2))
    assert both.rank_p == pytest.approx(0.00231888997543371, rel=1e-9)


def design(subjects: int, *sizes: int, seed: int = 0) -> Cells:
    rng = np.random.default_rng(seed)
    values = 0.9 + 0.02 * rng.normal(size=(subjects, *sizes))
    levels = {f"f{i}": list(range(k)) for i, k in enumerate(sizes)}
    return Cells(values, list(range(subjects)), levels, {})


@pytest.mark.parametrize("sizes", [(2,), (3,), (2, 2), (2, 3), (3, 3), (2, 3, 2), (2, 2, 2), (3, 2, 4)])
def test_rows_stand_in_the_order_of_the_anova(sizes):
    cells = design(8, *sizes)
    assert list(rank_effects(cells)["effect"]) == list(anova_of(cells)["effect"])


def test_three_factors_reduce_to_the_scores_of_the_docstring():
    cells = design(9, 2, 3, 2)
    result = rank_effects(cells).set_index("effect")
    y = cells.values
    by_hand = {
        "f0": y[:, 0].mean(axis=(1, 2)) - y[:, 1].mean(axis=(1, 2)),
        "f0:f2": (y[:, 0, :, 0] - y[:, 1, :, 0] - y[:, 0, :, 1] + y[:, 1, :, 1]).mean(axis=1),
    }
    for effect, scores in by_hand.items():
        expected = stats.wilcoxon(scores, method="exact")
        assert result.loc[effect, "rank_p"] == pytest.approx(expected.pvalue)
        assert (
            min(result.loc[effect, "rank_statistic"], 45 - result.loc[effect, "rank_statistic"]) == expected.statistic
        )
    by_hand = {
        "f1": y.mean(axis=(1, 3)),
        "f0:f1": (y[:, 0] - y[:, 1]).mean(axis=2),
        "f0:f1:f2": y[:, 0, :, 0] - y[:, 1, :, 0] - y[:, 0, :, 1] + y[:, 1, :, 1],
    }
    for effect, scores in by_hand.items():
        expected = stats.friedmanchisquare(*scores.T)
        assert tuple(result.loc[effect, ["rank_statistic", "rank_p"]]) == pytest.approx(tuple(expected)), effect
        assert result.loc[effect, "rank_df"] == 2


def test_two_levels_are_the_test_of_pairwise(reference):
    data = reference.data("near_ceiling_ties_n79")
    data = data[data["arm"].isin(data["arm"].unique()[:2])]
    row = rank_effects(complete_cells(data, "dsc", "case", ["arm"])).iloc[0]
    pair = pairwise(data, "dsc", "case", "arm", test="wilcoxon").iloc[0]
    assert (row.rank_statistic, row.rank_p, row.rank_test) == (pair.statistic, pair.p, pair.method)


def test_two_longer_factors_have_no_rank_test_and_say_why():
    result = rank_effects(design(8, 3, 2, 4)).set_index("effect")
    for effect in ("f0:f2", "f0:f1:f2"):
        row = result.loc[effect]
        assert np.isnan([row.rank_statistic, row.rank_df, row.rank_p]).all() and row.rank_test == ""
        assert row.rank_note.startswith("f0 and f2 have three or more levels each")
    assert (result.drop(index=["f0:f2", "f0:f1:f2"])["rank_note"] == "").all()


@pytest.mark.parametrize("sizes", [(3,), (2, 3)])
def test_float_noise_does_not_break_ties(sizes):
    whole = np.random.default_rng(3).integers(0, 4, size=(12, *sizes)).astype(float)
    levels = design(12, *sizes).levels
    clean = rank_effects(Cells(whole, list(range(12)), levels, {}))
    noisy = rank_effects(Cells(whole * 0.1 + 0.3 - 0.1, list(range(12)), levels, {}))
    np.testing.assert_allclose(noisy["rank_p"], clean["rank_p"], rtol=1e-12)


@pytest.mark.filterwarnings("error")
def test_nothing_to_rank_is_a_note_and_neither_warning_nor_p():
    base = np.linspace(0.8, 0.95, 6)[:, None, None]
    values = base + np.zeros((6, 2, 3)) + 1e-17 * np.random.default_rng(0).normal(size=(6, 2, 3))
    result = rank_effects(Cells(values, list("abcdef"), {"arm": ["pure", "mixed"], "amount": [40, 80, 120]}, {}))
    assert result[["rank_statistic", "rank_df", "rank_p"]].isna().all(axis=None)
    notes = result.set_index("effect")["rank_note"]
    assert "between arm (pure, mixed), subjects a, b" in notes["arm"] and "6 differences are zero" in notes["arm"]
    assert "amount (40, 80, 120)" in notes["amount"] and "6 subjects has the same value" in notes["amount"]
    assert "No order to rank between arm (pure, mixed) × amount" in notes["arm:amount"]


def test_a_constant_shift_is_ranked_where_the_anova_refuses():
    values = np.linspace(0.8, 0.95, 8)[:, None] + np.array([0, 0.01, 0.02])
    row = rank_effects(Cells(values, list(range(8)), {"arm": [0, 1, 2]}, {})).iloc[0]
    assert row.rank_statistic == pytest.approx(16) and row.rank_p == pytest.approx(np.exp(-8))


def test_signed_rank_refuses_zeros_by_name():
    with pytest.raises(DegenerateDataError, match="between pure and mixed: all 4 differences are zero"):
        signed_rank(np.array([0, 1e-15, -1e-15, 0]), 0.9, "pure and mixed")


def clusters(groups: int, seed: int, sizes=(1, 2, 3), ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(groups), rng.choice(sizes, groups))
    difference = 0.3 + rng.normal(size=groups)[codes] + rng.normal(size=len(codes))
    return (np.round(difference) if ties else difference), codes


@pytest.mark.parametrize("groups", [1, 2, 5, 9])
@pytest.mark.parametrize("ties", [False, True])
def test_few_clusters_agree_with_brute_force(groups, ties):
    difference, codes = clusters(groups, seed=groups, ties=ties)
    statistic, p, method = clustered_signed_rank(difference, codes)
    kept = difference[difference != 0]
    signed = np.sign(kept) * stats.rankdata(np.abs(kept))
    own = codes[difference != 0]
    flipped = [
        sum(sign * signed[own == group].sum() for sign, group in zip(signs, np.unique(own), strict=True))
        for signs in product([1, -1], repeat=len(np.unique(own)))
    ]
    assert statistic == pytest.approx(signed.sum())
    assert p == pytest.approx(np.mean(np.abs(flipped) >= abs(signed.sum()) - 1e-9))
    assert "exact, clusters flipped" in method


@pytest.mark.parametrize("n", [4, 8, 12])
def test_few_clusters_of_one_are_the_exact_signed_rank_test(n):
    difference = np.random.default_rng(n).normal(0.5, size=n)
    statistic, p, _ = clustered_signed_rank(difference, np.arange(n))
    expected = stats.wilcoxon(difference, method="exact")
    assert p == pytest.approx(expected.pvalue)
    assert (n * (n + 1) / 2 - abs(statistic)) / 2 == expected.statistic


@pytest.mark.parametrize("n", [13, 40])
@pytest.mark.parametrize("ties", [False, True])
def test_many_clusters_of_one_are_the_large_sample_test_without_continuity(n, ties):
    difference, codes = clusters(n, seed=n, sizes=(1,), ties=ties)
    difference[difference == 0] = 1.0
    z, p, method = clustered_signed_rank(difference, codes)
    expected = stats.wilcoxon(difference, method="asymptotic", correction=False)
    assert p == pytest.approx(expected.pvalue, rel=1e-10)
    assert abs(z) == pytest.approx(abs(expected.zstatistic), rel=1e-10)
    assert "normal approximation, no continuity" in method


# Made with R 4.2.2, the formulas of clusrank 1.0-4 (method "rgl") written out:
#   s <- sign(x) * rank(abs(x)); g <- table(id); m <- length(g); n <- sum(g); b <- tapply(s, id, mean)
#   ms <- anova(lm(s ~ id))[["Mean Sq"]]; a <- (ms[1] - ms[2]) * (m - 1) / (n - sum(g^2) / n)
#   rho <- max(a / (a + ms[2]), 0); rho <- min(rho * (1 + (1 - rho^2) / (m - 2.5)), 1)
#   w <- g / (var(s) * (1 + (g - 1) * rho)); Z <- sum(w * b) / sqrt(sum(w^2 * b^2))
SIZES = np.array([2, 3, 1, 2, 2, 1, 4, 1, 2, 1, 2, 2, 2, 3, 2, 2, 1])
INTEGERS = [
    *(12, -5, 8, 8, 3, -1, 7, 0, 9, -2, -6, 4, 15, 1, -3, 10, 2, -8, 6, 5, -4, 11, 0, 13, -7, 3, 9, -1, 14),
    *(2, -9, 6, 0),
]


def kidneys(reference) -> tuple[np.ndarray, np.ndarray]:
    data = reference.data("cluster_two_kidneys_65_patients")
    wide = data.pivot(index=["patient", "kidney"], columns="arm", values="dsc").reset_index()
    return (wide["mixed"] - wide["pure"]).to_numpy(), wide["patient"].to_numpy()


def test_two_kidneys_agree_with_r(reference):
    difference, patient = kidneys(reference)
    z, p, _ = clustered_signed_rank(difference, patient, magnitude=1.0)
    assert (z, p) == pytest.approx((4.54532291494621, 5.48510964638988e-06), rel=1e-9)
    names, count = np.unique(patient, return_counts=True)
    both = np.isin(patient, names[count == 2])
    z, p, _ = clustered_signed_rank(difference[both], patient[both], magnitude=1.0)
    assert (z, p) == pytest.approx((4.39017463515507, 1.13259664915286e-05), rel=1e-9)


def test_ties_zeros_and_uneven_clusters_agree_with_r():
    codes = np.repeat(np.arange(1, 18), SIZES)
    z, p, method = clustered_signed_rank(INTEGERS, codes)
    assert (z, p) == pytest.approx((2.53958066709138, 0.0110985447891684), rel=1e-9)
    assert "3 zero differences dropped" in method
    correlated = np.arange(1, 34) % 7 - 2.5 + codes % 3 * 2 - 1.2  # rho = 0.49
    z, p, _ = clustered_signed_rank(correlated, codes)
    assert (z, p) == pytest.approx((2.20640098307109, 0.0273559362704330), rel=1e-9)


def test_repeating_every_value_in_its_cluster_adds_next_to_no_information():
    difference, codes = clusters(30, seed=1, sizes=(1,))
    twice = np.tile(difference, 2)
    once_p, clustered_p = (clustered_signed_rank(d, np.resize(codes, len(d)))[1] for d in (difference, twice))
    assert clustered_p == pytest.approx(once_p, rel=0.02)  # the mean ranks of the pairs are 2 r - 1/2, not 2 r
    assert clustered_signed_rank(twice, np.arange(60))[1] < 0.8 * once_p


@hypothesis_settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-3, 1e3), groups=st.sampled_from([6, 25]))
def test_invariant_to_order_names_scale_and_direction(seed, scale, groups):
    difference, codes = clusters(groups, seed)
    statistic, p, _ = clustered_signed_rank(difference, codes)
    order = np.random.default_rng(seed).permutation(len(codes))
    names = np.array([f"patient {code}" for code in codes])
    after = clustered_signed_rank(-scale * difference[order], names[order])
    assert after[:2] == pytest.approx((-statistic, p), rel=1e-8)


@pytest.mark.filterwarnings("error")
def test_one_value_throughout_uneven_clusters_is_tested_without_warning():
    codes = np.repeat(np.arange(17), SIZES)
    z, p, _ = clustered_signed_rank(np.full(33, 0.001), codes)
    assert z == pytest.approx(33 / np.sqrt(np.sum(SIZES**2))) and 0 < p < 0.05


def test_magnitude_tells_noise_from_differences():
    noise = 1e-17 * np.random.default_rng(0).normal(size=20)
    assert clustered_signed_rank(noise, np.arange(20))[1] > 0
    with pytest.raises(DegenerateDataError, match="between a and b: all 20 differences in 10 clusters are zero"):
        clustered_signed_rank(noise, np.repeat(np.arange(10), 2), magnitude=0.95, where="a and b")


@pytest.mark.parametrize(
    ("difference", "codes", "error", "message"),
    [
        ([1.0, 2.0], [0], UserError, "equally long"),
        ([[1.0, 2.0]], [[0, 1]], UserError, "equally long"),
        ([1.0, np.nan, np.inf], [0, 1, 2], UserError, r"Differences 1, 2 \(counted from 0\)"),
        ([], [], IncompleteDesignError, "no difference to rank"),
        ([0.0, 0.0], [0, 0], DegenerateDataError, "all 2 differences in 1 clusters"),
    ],
)
def test_refusals(difference, codes, error, message):
    with pytest.raises(error, match=message):
        clustered_signed_rank(difference, codes)
