"""What must hold for estimates from any numbers: agreement, noninferiority, bootstrap_ci, size, savings, power, p."""

from dataclasses import asdict
from itertools import pairwise as successive

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from crossmod.analyse.stats import (
    DegenerateDataError,
    IncompleteDesignError,
    agreement,
    annotation_savings,
    bootstrap_ci,
    correct_p,
    noninferiority,
    power_paired,
    size_dependence,
)

# Sums in another order differ in the last digits only.
ROUNDING = 1e-9
METHODS = ["none", "BH", "BY", "hochberg", "holm", "bonferroni"]
MARGIN = 0.4
SCALES = st.sampled_from([1e-6, 1e6]) | st.floats(1e-3, 1e3)
SEEDS = st.integers(0, 2**32 - 1)
some, many = (hypothesis_settings(max_examples=n, derandomize=True, deadline=None) for n in (15, 30))


ESTIMATES = ["agreement", "noninferiority", "mean bca", "mean percentile", "median bca", "size_dependence"]
CLUSTERED = [name for name in ESTIMATES if name != "size_dependence"]
# What carries the unit of the outcome.
LINEAR = {
    *("mean_difference", "sd_difference", "ci_low", "ci_high", "mean_absolute_difference", "loa_low", "loa_high"),
    *("loa_low_ci_low", "loa_low_ci_high", "loa_high_ci_low", "loa_high_ci_high", "estimate", "se", "lower", "margin"),
    *("mean_small", "mean_large", "difference"),
}
# Mirrored values: the sign of these turns, and these limits change places.
TURNED = {"mean_difference", "estimate", "difference", "mean_small", "mean_large", "welch_t", "spearman_rho"}
TURNED |= {"pearson_log_r"}
PARTNERS = {"ci": "ci", "loa": "loa", "loa_low_ci": "loa_high_ci", "loa_high_ci": "loa_low_ci"}


def run(name: str, x: np.ndarray, y: np.ndarray, cluster, unit: float = 1) -> dict:
    """The estimate from two measurements in some unit; volumes are exp(x)."""
    if name == "agreement":
        return asdict(agreement(x, y, cluster, MARGIN * unit))
    if name == "noninferiority":
        return asdict(noninferiority(y - x, MARGIN * unit, cluster))
    if name == "size_dependence":
        return asdict(size_dependence(np.exp(x), y))
    statistic, method = name.split()
    return asdict(bootstrap_ci(y - x, cluster, statistic, method=method))


@st.composite
def pairs(draw, most: int = 8, largest: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two measurements of the units of some clusters, and the cluster of each; up to eight are resampled exactly."""
    rng = np.random.default_rng(draw(SEEDS))
    sizes = draw(st.lists(st.integers(1, largest), min_size=5, max_size=most))
    codes = np.repeat(np.arange(len(sizes)), sizes)
    x = rng.normal(size=len(codes))
    y = 0.3 + x + rng.normal(size=len(sizes))[codes] / 3 + rng.normal(size=len(codes)) / 2
    return x, y, codes


def check(after: dict, before: dict, unit: float = 1, but: tuple[str, ...] = (), tolerance: float = ROUNDING) -> None:
    assert list(after) == list(before)
    for name, expected in before.items():
        if name in but:
            continue
        if isinstance(expected, float):
            # abs: outcomes are of size 1, and an estimate near 0 keeps their rounding noise.
            found = after[name] / (unit if name in LINEAR else 1)
            assert found == pytest.approx(expected, rel=tolerance, abs=1e-2 * tolerance, nan_ok=True), name
        else:
            assert after[name] == expected, name


@pytest.mark.parametrize("name", ESTIMATES)
@some
@given(drawn=pairs(), seed=SEEDS, kind=st.sampled_from(["text", "category", "float", "series"]))
def test_order_of_the_pairs_and_names_of_clusters_do_not_matter(name, drawn, seed, kind):
    x, y, codes = drawn
    order = np.random.default_rng(seed).permutation(len(x))
    text = [f"patient {99 - code}" for code in codes[order]]
    series = pd.Series(text, index=np.zeros(len(text)))
    named = {"text": text, "category": pd.Categorical(text), "float": codes[order] / 2, "series": series}[kind]
    check(run(name, x[order], y[order], named), run(name, x, y, codes))


@some
@given(seed=SEEDS, n=st.integers(9, 30), method=st.sampled_from(["bca", "percentile"]))
def test_order_changes_a_drawn_bootstrap_by_chance_alone(seed, n, method):
    values = np.random.default_rng(seed).normal(size=n)
    found = [bootstrap_ci(v, method=method) for v in (values, values[::-1])]
    # 10,000 draws place the 2.5 % limit between the 2.1 % and the 2.9 % one: six standard errors are 0.9 %.
    half = (found[0].ci_high - found[0].ci_low) / 2
    assert not found[0].exact and found[1].estimate == pytest.approx(found[0].estimate)
    assert [found[1].ci_low, found[1].ci_high] == pytest.approx([found[0].ci_low, found[0].ci_high], abs=0.2 * half)


@pytest.mark.parametrize("name", ESTIMATES)
@some
@given(drawn=pairs(), unit=SCALES, shift=st.just(0) | st.floats(-100, 100))
def test_unit_and_origin_of_the_outcome_do_not_matter(name, drawn, unit, shift):
    x, y, codes = drawn
    before = run(name, x, y, codes)
    # A hundred times the spread costs two digits of each difference.
    tolerance = 1e-8 if shift else ROUNDING
    if name == "size_dependence":
        check(run(name, x, (y + shift) * unit, codes), before, unit, ("mean_small", "mean_large"), tolerance)
    else:
        check(run(name, (x + shift) * unit, (y + shift) * unit, codes, unit), before, unit, tolerance=tolerance)


@pytest.mark.parametrize("name", ["agreement", "mean bca", "mean percentile", "median bca", "noninferiority"])
@some
@given(drawn=pairs(), change=st.sampled_from(["sign", "sides"]))
def test_mirrored_pairs_have_the_mirrored_result(name, drawn, change):
    x, y, codes = drawn
    before = run(name, x, y, codes)
    after = run(name, *((-x, -y) if change == "sign" else (y, x)), codes)
    expected = before | {name: -before[name] for name in TURNED & set(before)}
    for limits, other in PARTNERS.items():
        if f"{limits}_low" in before:
            expected |= {f"{limits}_low": -before[f"{other}_high"], f"{limits}_high": -before[f"{other}_low"]}
    # Only equivalence has two sides: that the loss is small says nothing of the gain.
    one_sided = ("lower", "statistic", "p", "verdict") if name == "noninferiority" else ()
    check(after, expected, but=one_sided)


@some
@given(drawn=pairs(), unit=SCALES)
def test_size_dependence_follows_the_order_of_volumes_and_the_sign_of_scores(drawn, unit):
    x, y, _ = drawn
    before = asdict(size_dependence(np.exp(x), y))
    larger = asdict(size_dependence(np.exp(x) * unit, y))
    assert larger.pop("median_volume") == pytest.approx(before["median_volume"] * unit)
    check(larger, {name: value for name, value in before.items() if name != "median_volume"})
    mirrored = asdict(size_dependence(np.exp(x), -y))
    expected = before | {name: -before[name] for name in TURNED & set(before)}
    for limits in ("ci", "r_ci"):
        expected |= {f"{limits}_low": -before[f"{limits}_high"], f"{limits}_high": -before[f"{limits}_low"]}
    expected["mann_whitney_u"] = before["n_small"] * before["n_large"] - before["mann_whitney_u"]
    check(mirrored, expected)
    curved = asdict(size_dependence(np.exp(x**3), y))
    for name in ("spearman_rho", "spearman_p", "welch_t", "mann_whitney_p"):
        assert curved[name] == pytest.approx(before[name], rel=ROUNDING), name


@pytest.mark.parametrize("name", CLUSTERED)
@some
@given(drawn=pairs(most=12, largest=1), copies=st.integers(2, 4))
def test_clusters_of_one_are_no_clusters_and_copies_in_a_cluster_tell_nothing_new(name, drawn, copies):
    x, y, codes = drawn
    none = run(name, x, y, None)
    check(run(name, x, y, codes[::-1]), none)
    again = run(name, *(np.repeat(part, copies) for part in drawn))
    # The limits of agreement and r rest on the number of values, the ICC on that of targets.
    stays = {"mean_difference", "mean_absolute_difference", "estimate", "ci_low", "ci_high", "se", "df", "lower"}
    stays |= {"statistic", "p", "p_tost", "p_below_margin", "pearson_r", "lin_ccc", "verdict", "n_clusters"}
    check(again, none, but=tuple(set(none) - stays))


@pytest.mark.parametrize("name", ESTIMATES)
@some
@given(drawn=pairs(most=10))
def test_intervals_contain_their_estimates(name, drawn):
    found = run(name, *drawn)
    estimates = {"estimate": "ci", "mean_difference": "ci", "difference": "ci", "pearson_r": "r_ci"}
    estimates |= {"pearson_log_r": "r_ci", "loa_low": "loa_low_ci", "loa_high": "loa_high_ci"}
    for estimate, limits in estimates.items():
        if estimate in found:
            assert found[f"{limits}_low"] <= found[estimate] <= found[f"{limits}_high"], estimate


@some
@given(drawn=pairs(), step=st.floats(0.02, 1), clustered=st.booleans())
def test_p_falls_as_the_margin_or_the_mean_grows(drawn, step, clustered):
    x, y, codes = drawn
    cluster = codes if clustered else None
    margins = step * np.arange(1, 6)
    agreed = [agreement(x, y, cluster, margin) for margin in margins]
    tested = [noninferiority(y - x, margin, cluster) for margin in margins]
    better = [noninferiority(y - x + gain, MARGIN, cluster) for gain in margins]
    falling = [("p_tost", agreed), ("p_below_margin", agreed), ("p_tost", tested), ("p", tested), ("p", better)]
    for name, rows in falling:
        found = [getattr(row, name) for row in rows]
        assert all(later < earlier for earlier, later in successive(found)), name
    for one, other in zip(agreed, tested, strict=True):
        assert other.p_tost == pytest.approx(one.p_tost, rel=ROUNDING)
        assert (other.ci_low, other.ci_high) == pytest.approx((one.ci_low, one.ci_high), rel=ROUNDING)
        assert other.p <= other.p_tost and (other.verdict == "not shown") == (other.ci_low <= -other.margin)


@some
@given(seed=SEEDS, n=st.integers(4, 12), size=st.sampled_from([0.0, 1e-3, 0.1, 10]), base=st.sampled_from([0.9, 150]))
def test_differences_that_are_all_the_same_are_refused(seed, n, size, base):
    x = base * np.random.default_rng(seed).uniform(0.5, 1.5, n)
    for refused in (
        lambda: agreement(x, x + size, margin=base / 100),
        lambda: noninferiority((x + size) - x, base / 100),
        lambda: bootstrap_ci(np.full(n, x[0])),
        lambda: size_dependence(x, np.full(n, x[0])),
        lambda: size_dependence(np.full(n, x[0]), x),
    ):
        with pytest.raises(DegenerateDataError, match=r"(No variance|All \d+)"):
            refused()


@some
@given(seed=SEEDS, n=st.integers(3, 9), size=st.sampled_from([1e-4, 1e-3, 0.3]), base=st.sampled_from([0.9, 150]))
def test_clusters_of_the_same_mean_are_refused_and_equal_absolute_differences_have_no_p(seed, n, size, base):
    x, codes = base * np.random.default_rng(seed).uniform(0.5, 1.5, 2 * n), np.repeat(np.arange(n), 2)
    y = x + np.tile([size, -size / 2], n)
    with pytest.raises(DegenerateDataError, match="every cluster has the same mean"):
        noninferiority(y - x, base / 100, codes)
    with pytest.raises(DegenerateDataError, match="No variance between clusters"):
        agreement(x, y, codes, base / 100)
    found = agreement(x, x + np.tile([size, -size], n), margin=2 * size)
    assert np.isnan(found.p_below_margin) and found.verdict != "below margin"


@pytest.mark.parametrize("function", [agreement, noninferiority])
@some
@given(seed=SEEDS, groups=st.integers(1, 2), size=st.integers(1, 4))
def test_fewer_than_three_clusters_are_refused(function, seed, groups, size):
    values = np.random.default_rng(seed).normal(size=(2, groups * size))
    arguments = values if function is agreement else (values[0], 1.0)
    with pytest.raises(IncompleteDesignError, match=f"at least 3 clusters; there are {groups}"):
        function(*arguments, cluster=np.repeat(np.arange(groups), size))


@st.composite
def curves(draw) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Scores of assisted and unassisted training for subjects 10, 11, …, some with gaps, and their patients."""
    rng = np.random.default_rng(draw(SEEDS))
    sizes = draw(st.lists(st.integers(1, 2), min_size=6, max_size=9))
    codes = np.repeat(np.arange(len(sizes)), sizes)
    amounts, index = [40, 80, 120], 10 + np.arange(len(codes))
    rise = 0.1 * np.log(amounts) + rng.normal(size=(len(codes), 1)) / 20
    tables = [pd.DataFrame(rise + gain + rng.normal(size=rise.shape) / 50, index, amounts) for gain in (0.05, 0)]
    tables[draw(st.integers(0, 1))].iloc[draw(st.lists(st.integers(3, 5), max_size=2)), 1] = np.nan
    return *tables, codes


def check_curves(after: pd.DataFrame, before: pd.DataFrame, amount: float = 1) -> None:
    names = ["saved_fraction", "amount", "equivalent_unassisted", "saved", "ci_low", "ci_high"]
    # exp of the log amount costs digits where the curve is flat, and the amount saved is a difference.
    np.testing.assert_allclose(after[names] / [1, *[amount] * 5], before[names], rtol=1e-7, atol=1e-9)
    assert after[["extrapolates", "note"]].equals(before[["extrapolates", "note"]])


@some
@given(drawn=curves(), seed=SEEDS, clustered=st.booleans())
def test_savings_do_not_depend_on_the_order_of_subjects_and_amounts(drawn, seed, clustered):
    assisted, alone, codes = drawn
    order = np.random.default_rng(seed).permutation(len(codes))
    before = annotation_savings(assisted, alone, codes if clustered else None)
    turned = assisted.iloc[order, ::-1], alone.iloc[::-1, [1, 0, 2]]
    after = annotation_savings(*turned, codes[order] if clustered else None)
    check_curves(after, before)
    assert after.attrs["n_subjects"] == before.attrs["n_subjects"]
    assert after.attrs["dropped_subjects"] == before.attrs["dropped_subjects"]


@some
@given(drawn=curves(), scale=SCALES, shift=st.floats(-1, 1), amount=st.integers(2, 50))
def test_savings_follow_the_unit_of_amounts_and_not_that_of_scores(drawn, scale, shift, amount):
    assisted, alone, codes = drawn
    before = annotation_savings(assisted, alone, codes)
    check_curves(annotation_savings((assisted + shift) * scale, (alone + shift) * scale, codes), before)
    renamed = [part.rename("s{}".format).rename(columns=lambda a: str(a * amount)) for part in (assisted, alone)]
    after = annotation_savings(*renamed, [f"p{code}" for code in codes])
    check_curves(after, before, amount)
    assert after.attrs["dropped_subjects"] == [f"s{name}" for name in before.attrs["dropped_subjects"]]
    assert before["equivalent_unassisted"].between(before["ci_low"], before["ci_high"]).all()


@some
@given(drawn=curves(), copies=st.integers(2, 3), gain=st.floats(0.01, 0.2))
def test_savings_take_copies_for_what_they_are_and_know_no_interval_without_chance(drawn, copies, gain):
    assisted, alone, codes = drawn
    before = annotation_savings(assisted, alone)
    check_curves(annotation_savings(assisted, alone, np.arange(len(codes))), before)
    rows = np.repeat(np.arange(len(codes)), copies)
    copied = [part.iloc[rows].reset_index(drop=True) for part in (assisted, alone)]
    check_curves(annotation_savings(*copied, rows), before)
    ease = alone.mean(axis=1).to_numpy()[:, None] + 0.1 * np.log(alone.columns.to_numpy(float))
    even = pd.DataFrame(ease, alone.index, alone.columns)
    found = annotation_savings(even + gain, even)
    assert found[["ci_low", "ci_high"]].isna().all(axis=None)
    assert found["note"].str.contains("leaving out a subject changes nothing").all()
    with pytest.raises(DegenerateDataError, match="does not rise"):
        annotation_savings(even, even * 0 + 0.7)
    with pytest.raises(IncompleteDesignError, match="subjects given twice: 12"):
        annotation_savings(pd.concat([assisted, assisted.iloc[[2]]]), alone)
    with pytest.raises(IncompleteDesignError, match="at least 3 complete subjects; there are 2.* Incomplete: 12"):
        annotation_savings(assisted[assisted.index < 12], alone)


@some
@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=12), seed=SEEDS, gaps=st.integers(0, 4))
def test_corrections_of_p(p, seed, gaps):
    p, rng = np.array(p), np.random.default_rng(seed)
    found = {method: correct_p(p, method) for method in METHODS}
    order = rng.permutation(len(p) + gaps)
    mixed = np.concatenate([p, np.full(gaps, np.nan)])[order]
    for method, corrected in found.items():
        assert (corrected >= p * (1 - ROUNDING)).all() and (corrected <= 1).all(), method
        assert (np.diff(corrected[np.argsort(p, kind="stable")]) >= -ROUNDING * p.max()).all(), method
        again = np.full(len(mixed), -1.0)
        again[order] = correct_p(mixed, method)
        assert np.isnan(again[len(p) :]).all()
        np.testing.assert_allclose(again[: len(p)], corrected, rtol=ROUNDING)
    for milder, stricter in successive(["none", "BH", "hochberg", "holm", "bonferroni"]):
        assert (found[milder] <= found[stricter] * (1 + ROUNDING)).all(), (milder, stricter)
    assert (found["BH"] <= found["BY"] * (1 + ROUNDING)).all()


@many
@given(
    test=st.sampled_from(["difference", "noninferiority", "equivalence"]),
    n=st.integers(3, 80),
    more=st.integers(1, 40),
    margin=st.floats(0.1, 2),
    share=st.floats(0, 0.95),
    wider=st.floats(1.05, 3),
    unit=SCALES,
)
def test_power_rises_with_n_and_the_margin_and_falls_with_sd(test, n, more, margin, share, wider, unit):
    size = {"difference": margin} if test == "difference" else {"difference": -margin * share, "margin": margin}
    larger = size | {"difference": margin * wider} if test == "difference" else size | {"margin": margin * wider}

    def power(n: int, sd: float, size: dict[str, float], unit: float = 1) -> float:
        return power_paired(sd * unit, test=test, n=n, **{name: value * unit for name, value in size.items()}).power

    base, noise = power(n, 1, size), 1e-9  # the integral is good to 1e-11
    assert power(n, 1, size, unit) == pytest.approx(base, rel=1e-8, abs=1e-12)
    assert power(n, wider, size) <= base + noise and power(n, 1, larger) >= base - noise
    # Below alpha, one pair more can lower the power of two one-sided tests: 0.0190 with 3, 0.0183 with 4 at margin
    # sd/2.
    if test != "equivalence" or base >= 0.05:
        assert power(n + more, 1, size) >= base - noise
    widths = [power_paired(sd, test="width", n=k).ci_width for sd, k in ((1, n), (wider, n), (1, n + more))]
    assert widths[1] == pytest.approx(wider * widths[0], rel=ROUNDING) and widths[2] < widths[0]
