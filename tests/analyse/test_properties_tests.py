"""What must hold for the tests of any table: rm_anova, pairwise, mixed_model, localisation."""

import gc
import re
from collections.abc import Iterator
from dataclasses import asdict
from itertools import pairwise as successive

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from crossmod.analyse.stats import (
    DegenerateDataError,
    IncompleteDesignError,
    localisation,
    mixed_model,
    pairwise,
    rm_anova,
)

# Sums in another order differ in the last digits only. The variances of mixed_model come out of a search, which
# stops where the likelihood is flat to 1e-10.
ROUNDING, SEARCH = 1e-9, 1e-6
FACTORS = {  # test → fewest and most factors
    **{"rm_anova": (1, 3), "t": (1, 2), "wilcoxon": (1, 2)},
    **{"mixed_model": (1, 2), "mixed_model of units": (2, 2), "localisation": (1, 1)},
}
MODELS = ["mixed_model", "mixed_model of units"]
SCALES = st.sampled_from([1e-6, 1e6]) | st.floats(1e-3, 1e3)
SEEDS = st.integers(0, 2**32 - 1)
few = hypothesis_settings(max_examples=10, derandomize=True, deadline=None)


def run(name: str, table: pd.DataFrame, f: list[str]):
    """The result of a test of ``y`` with factors ``f``."""
    if name == "rm_anova":
        return rm_anova(table, "y", "id", f)
    if name == "mixed_model":
        return mixed_model(table, "y", f, "id")
    if name == "mixed_model of units":
        return mixed_model(table, "y", f[0], "id", f[1])
    if name == "localisation":
        hit = table["y"].gt(0).astype(float).where(table["y"].notna())
        return localisation(table.assign(y=hit), "y", f[0], "id")
    return pairwise(table, "y", "id", f[0], at=f[1] if len(f) > 1 else None, test=name)


@pytest.fixture(scope="module", autouse=True)
def little_to_collect() -> Iterator[None]:
    """Holm's correction of statsmodels collects garbage: 0.1 s a call, unless what is imported is left out."""
    gc.freeze()
    yield
    gc.unfreeze()


@st.composite
def tables(draw, factors: tuple[int, int], levels: int = 3, gaps: float = 0.15) -> tuple[pd.DataFrame, list[str]]:
    """Subjects 100, 101, … in every cell of ordered factors; three stay whole, of the others some cells are empty."""
    rng = np.random.default_rng(draw(SEEDS))
    sizes = draw(st.lists(st.integers(2, levels), min_size=factors[0], max_size=factors[1]))
    subjects, missing, decimals = draw(st.integers(4, 9)), draw(st.floats(0, gaps)), draw(st.sampled_from([None, 2]))
    names = [f"f{i}" for i in range(len(sizes))]
    grid = np.array(list(np.ndindex(subjects, *sizes)))
    table = pd.DataFrame({"id": 100 + grid[:, 0]})
    y = rng.normal(size=subjects)[grid[:, 0]] + rng.normal(size=len(grid)) * rng.uniform(0.2, 0.6)
    for i, (name, size) in enumerate(zip(names, sizes, strict=True)):
        labels = [f"{name}{'zyxwvu'[j]}" for j in range(size)]
        table[name] = pd.Categorical.from_codes(grid[:, 1 + i], labels, ordered=True)
        y += rng.normal(0, 0.3, size)[grid[:, 1 + i]]
    table["y"] = y if decimals is None else np.round(y, decimals)
    table.loc[(rng.random(len(table)) < missing) & (table["id"] >= 103), "y"] = np.nan
    return table, names


def flat(found) -> dict[str, list]:
    """All that a result holds, as lists; columns of its tables under their own names."""
    if isinstance(found, pd.DataFrame):
        return {name: found[name].tolist() for name in found} | {k: [v] for k, v in found.attrs.items()}
    parts = {}
    for field, value in asdict(found).items():
        if isinstance(value, pd.DataFrame):
            parts |= {f"{field}.{name}": column for name, column in flat(value).items()}
        elif field == "variances":
            parts[field] = list(value.values())
        else:
            parts[field] = [list(value.items()) if isinstance(value, dict) else value]
    return parts


def check(after, before, tolerance: float | None = None, by: dict[str, float] | None = None, but=()) -> None:
    """The results are the same, but for columns ``but`` and for the factors ``by`` of some columns."""
    tolerance = tolerance or (SEARCH if hasattr(before, "variances") else ROUNDING)
    after, before = flat(after), flat(before)
    assert list(after) == list(before)
    for name, expected in before.items():
        short = name.split(".")[-1]
        assert len(after[name]) == len(expected), name
        for a, b in zip(after[name], expected, strict=True):
            if short in but:
                continue
            if isinstance(b, float):
                # abs: outcomes are of size 1, and an estimate or limit near 0 keeps the noise of what it is a sum of.
                scaled = a / (by or {}).get(short, 1.0)
                assert scaled == pytest.approx(b, rel=tolerance, abs=tolerance / 10, nan_ok=True), name
            else:
                assert a == b, name


@pytest.mark.parametrize("name", FACTORS)
@few
@given(data=st.data(), seed=SEEDS, absent=st.booleans())
def test_order_of_rows_and_columns_and_the_index_do_not_matter_and_absent_rows_are_empty_ones(name, data, seed, absent):
    table, factors = data.draw(tables(FACTORS[name]))
    table = table[table.groupby("id")["y"].transform("count") > 0]
    changed = table.sample(frac=1, random_state=seed)[["y", *factors[::-1], "id"]].assign(other=1)
    if absent and name not in MODELS:  # a model lists the empty rows, one by one
        changed = changed.dropna()
    changed.index = np.resize([0, 1], len(changed))
    check(run(name, changed, factors), run(name, table, factors))


@pytest.mark.parametrize("name", FACTORS)
@few
@given(data=st.data(), name_of=st.sampled_from(["{}", "s{}"]), category=st.booleans())
def test_names_of_subjects_do_not_matter(name, data, name_of, category):
    table, factors = data.draw(tables(FACTORS[name]))
    changed = table.assign(id=table["id"].map(name_of.format))
    if category:
        changed["id"] = pd.Categorical(changed["id"], sorted(changed["id"].unique(), reverse=True))
    before, after = run(name, table, factors), run(name, changed, factors)
    listed = ("dropped", "dropped_subjects", "left_out")
    check(after, before, but=listed)
    for key in set(listed) & set(flat(before)):
        numbers = [re.sub("[s']", "", str(flat(found)[key])) for found in (before, after)]
        assert numbers[0] == numbers[1], key


@pytest.mark.parametrize("name", FACTORS)
@few
@given(data=st.data(), kind=st.sampled_from(["numbers", "numbers as text", "categories"]))
def test_names_of_levels_do_not_matter(name, data, kind):
    table, factors = data.draw(tables(FACTORS[name]))
    changed = table.copy()
    for factor in factors:
        number = 40 * (1 + table[factor].cat.codes).astype(int)  # 40, 80, 120: in another order as text
        if kind == "categories":
            number = table[factor].cat.rename_categories(lambda old: f"{ord('z') - ord(old[-1])}!")
        changed[factor] = number.astype(str) if kind == "numbers as text" else number
    named = ("a", "b", "at", "term", "arm", "left_out", "note", "dropped")
    check(run(name, changed, factors), run(name, table, factors), but=named)


def reverse(table: pd.DataFrame, factors: list[str]) -> pd.DataFrame:
    return table.assign(**{f: table[f].cat.reorder_categories(table[f].cat.categories[::-1]) for f in factors})


@few
@given(drawn=tables((1, 3)))
def test_order_of_levels_and_factors_does_not_matter_to_f(drawn):
    table, factors = drawn
    before = rm_anova(table, "y", "id", factors)
    check(rm_anova(reverse(table, factors), "y", "id", factors), before)
    turned = rm_anova(table, "y", "id", factors[::-1])
    turned["effect"] = turned["effect"].map(lambda effect: ":".join(sorted(effect.split(":"))))
    turned = turned.set_index("effect").loc[before["effect"]].reset_index()
    pd.testing.assert_frame_equal(turned, before, rtol=ROUNDING, atol=ROUNDING / 10)


def check_mirrored(after: pd.Series, before: pd.Series, tolerance: float = ROUNDING) -> None:
    """The contrast b - a against a - b; ranks have their own rule."""
    mirror = {name: name for name in ("mean_difference", "cohen_dz", "estimate", "statistic")}
    ranks = "Wilcoxon" in before.get("method", "")
    for name, partner in (mirror | {"ci_low": "ci_high", "ci_high": "ci_low"}).items():
        if name in before and not (ranks and name == "statistic"):
            assert after[name] == pytest.approx(-before[partner], rel=tolerance, abs=tolerance / 10), name
    for name in {"p", "p_corrected", "df", "se"} & set(before.index):
        assert after[name] == pytest.approx(before[name], rel=tolerance, nan_ok=True), name
    if "verdict" in before:
        words = {"greater": "lower", "lower": "greater", "equal": "equal"}
        assert (after["verdict"], after["method"]) == (words[before["verdict"]], before["method"])
    if ranks and "zero" not in before["method"]:
        assert before["statistic"] + after["statistic"] == before["n"] * (before["n"] + 1) / 2


@pytest.mark.parametrize("change", ["levels", "sign"])
@pytest.mark.parametrize("test", ["t", "wilcoxon"])
@few
@given(drawn=tables((1, 2)))
def test_a_reversed_contrast_changes_its_sign_and_nothing_else(test, change, drawn):
    table, factors = drawn
    turned = reverse(table, factors[:1]) if change == "levels" else table.assign(y=-table["y"])
    before, after = (run(test, t, factors) for t in (table, turned))
    found = {(frozenset((row["a"], row["b"])), row["at"]): row for _, row in after.iterrows()}
    assert after.attrs == before.attrs and len(after) == len(before)
    for _, row in before.iterrows():
        other = found[frozenset((row["a"], row["b"])), row["at"]]
        assert (row["a"] == other["a"]) == (change == "sign")
        check_mirrored(other, row)


@few
@given(drawn=tables((1, 1)), words=st.sampled_from([("correct", "missed"), ("detected", "misplaced"), (True, False)]))
def test_localisation_of_reversed_arms_exchanges_counts_and_words_do_not_matter(drawn, words):
    table, factors = drawn
    before, after = (run("localisation", t, factors) for t in (table, reverse(table, factors)))
    assert (after.cochran_q, after.cochran_p) == pytest.approx((before.cochran_q, before.cochran_p), nan_ok=True)
    assert (after.note == "") == (before.note == "") and list(after.dropped) == list(before.dropped)
    pairs = {(row["b"], row["a"]): row for _, row in after.mcnemar.iterrows()}
    for _, row in before.mcnemar.iterrows():
        other = pairs[row["a"], row["b"]]
        assert (other["only_a"], other["only_b"]) == (row["only_b"], row["only_a"])
        assert other["rate_difference"] == -row["rate_difference"]
        assert [other["p"], other["statistic"]] == pytest.approx([row["p"], row["statistic"]], nan_ok=True)
    named = pd.Series([words[0] if y > 0 else words[1] for y in table["y"]], dtype=object)
    found = localisation(table.assign(y=named.where(table["y"].notna(), None)), "y", factors[0], "id")
    pd.testing.assert_frame_equal(found.mcnemar, before.mcnemar)
    pd.testing.assert_frame_equal(found.rates.query("outcome == 'correct'").reset_index(drop=True), before.rates)
    assert before.rates["rate"].between(before.rates["ci_low"], before.rates["ci_high"]).all()


@pytest.mark.parametrize("name", [name for name in FACTORS if name != "localisation"])
@few
@given(data=st.data(), scale=SCALES)
def test_scale_of_the_outcome_changes_only_what_carries_its_unit(name, data, scale):
    table, factors = data.draw(tables(FACTORS[name]))
    before, after = (run(name, t, factors) for t in (table, table.assign(y=table["y"] * scale)))
    unit = dict.fromkeys(("mean_difference", "estimate", "se", "ci_low", "ci_high"), scale)
    unit |= dict.fromkeys(("ss_effect", "ss_error", "variances"), scale**2)
    check(after, before, by=unit, but=("log_likelihood",))
    if name in MODELS:
        # The density of scale * y is that of y over scale, once for each row beside the fixed effects.
        expected = before.log_likelihood - (after.n_rows - len(after.fixed)) * np.log(scale)
        assert after.log_likelihood == pytest.approx(expected, rel=ROUNDING, abs=SEARCH)


@pytest.mark.parametrize("name", [name for name in FACTORS if name != "localisation"])
@few
@given(data=st.data(), shift=st.floats(-100, 100))
def test_a_shift_of_the_outcome_moves_the_intercept_alone(name, data, shift):
    table, factors = data.draw(tables(FACTORS[name]))
    before, after = (run(name, t, factors) for t in (table, table.assign(y=table["y"] + shift)))
    if name in MODELS:
        columns = ["estimate", "ci_low", "ci_high", "statistic", "p"]
        moved = after.fixed.loc[0, columns[:3]] - before.fixed.loc[0, columns[:3]]
        assert moved.tolist() == pytest.approx([shift] * 3, rel=SEARCH, abs=SEARCH)
        before.fixed.loc[0, columns] = after.fixed.loc[0, columns] = 0.0
    # A hundred times the spread costs two digits of each difference.
    check(after, before, tolerance=SEARCH if name in MODELS else 1e-8)


@pytest.mark.parametrize("name", MODELS)
@few
@given(data=st.data())
def test_the_model_of_the_negative_outcome_or_of_reversed_levels_is_the_mirror_image(name, data):
    table, factors = data.draw(tables(FACTORS[name]))
    before, negative = (run(name, t, factors) for t in (table, table.assign(y=-table["y"])))
    for (_, row), (_, other) in zip(before.fixed.iterrows(), negative.fixed.iterrows(), strict=True):
        check_mirrored(other, row, SEARCH)
        assert row["ci_low"] < row["estimate"] < row["ci_high"]
    turned = run(name, reverse(table, factors[:1]), factors)
    ends = len(table["f0"].cat.categories) - 1  # the row of the last level against the first
    check_mirrored(turned.fixed.iloc[ends], before.fixed.iloc[ends], SEARCH)
    for found in (negative, turned):
        assert before.converged and found.converged and found.at_boundary == before.at_boundary
        assert found.variances == pytest.approx(before.variances, rel=SEARCH, abs=SEARCH / 10)
        assert found.log_likelihood == pytest.approx(before.log_likelihood, rel=ROUNDING, abs=SEARCH)


@few
@given(drawn=tables((1, 3), gaps=0), more=st.floats(1.2, 5))
def test_f_grows_with_the_square_of_an_effect_that_the_noise_does_not_touch(drawn, more):
    table, factors = drawn
    effect = table.groupby(factors, observed=True)["y"].transform("mean")
    once, grown = (rm_anova(table.assign(y=table["y"] + k * effect), "y", "id", factors) for k in (0, more - 1))
    np.testing.assert_allclose(grown["F"], more**2 * once["F"], rtol=1e-8)  # small effects lose digits to the mean
    assert (grown["log_p"] < once["log_p"]).all()
    gg, hf = once["epsilon_gg"], once["epsilon_hf"]
    assert (gg * once["df1"] >= 1 - ROUNDING).all() and (gg <= hf + ROUNDING).all() and (hf <= 1).all()


def two_arms(noise: np.ndarray, effect: float) -> pd.DataFrame:
    base = np.random.default_rng(0).normal(size=len(noise))
    arm = pd.Categorical(np.repeat(["new", "old"], len(noise)), ["new", "old"])
    y = np.concatenate([base + noise + effect, base])
    return pd.DataFrame({"id": np.tile(np.arange(len(noise)), 2), "f0": arm, "y": y})


@few
@given(seed=SEEDS, n=st.integers(4, 60), step=st.floats(0.05, 0.5))
def test_p_falls_as_the_effect_grows(seed, n, step):
    noise = np.random.default_rng(seed).normal(size=n)
    effects = step * np.arange(1, 7)
    t = [run("t", two_arms(noise - noise.mean(), k), ["f0"]).iloc[0] for k in effects]
    assert all(later["p"] < earlier["p"] for earlier, later in successive(t))
    ranks = [run("wilcoxon", two_arms(noise, k), ["f0"]).iloc[0] for k in effects]
    assert all(later["statistic"] >= earlier["statistic"] for earlier, later in successive(ranks))
    beyond = [row["p"] for row in ranks if row["statistic"] >= n * (n + 1) / 4]
    assert all(later <= earlier * (1 + ROUNDING) for earlier, later in successive(beyond))


@few
@given(drawn=tables((1, 1), levels=2), gain=st.floats(-1, 1))
def test_two_arms_have_one_p_whichever_function_finds_it(drawn, gain):
    table, factors = drawn
    table["y"] += gain * table["f0"].cat.codes
    pair, f = run("t", table, factors).iloc[0], run("rm_anova", table, factors).iloc[0]
    assert pair["statistic"] ** 2 == pytest.approx(f["F"], rel=ROUNDING, abs=ROUNDING / 10)
    assert [pair["p"], pair["df"], np.log(pair["p"])] == pytest.approx([f["p"], f["df2"], f["log_p"]], rel=1e-8)
    assert pair["ci_low"] < pair["mean_difference"] < pair["ci_high"]
    model = mixed_model(table[table["y"].notna().groupby(table["id"]).transform("all")], "y", "f0", "id")
    assume(not model.at_boundary)  # a patient variance of 0 pools patients and rows, and is another test
    row = model.fixed.iloc[1]
    assert row["estimate"] == pytest.approx(-pair["mean_difference"], rel=SEARCH, abs=1e-9)
    # The degrees of freedom come from the curvature at the optimum, and p follows them.
    assert [row["df"], row["statistic"]] == pytest.approx([pair["df"], -pair["statistic"]], rel=1e-5, abs=1e-7)
    assert row["p"] == pytest.approx(pair["p"], rel=1e-4)


@pytest.mark.parametrize("name", ["rm_anova", "t", *MODELS])
@few
@given(data=st.data(), size=st.sampled_from([0.0, 1e-3, 0.1, 10.0]), scale=SCALES)
def test_differences_that_are_the_same_in_every_subject_are_refused(name, data, size, scale):
    table, factors = data.draw(tables(FACTORS[name], gaps=0))
    table["y"] = (0.9 + 0.05 * table.groupby("id")["y"].transform("mean")) * scale
    for factor in factors:
        table["y"] += size * scale * table[factor].cat.codes.astype(float) / 3
    for constant in (table, table.assign(y=scale)):
        with pytest.raises(DegenerateDataError, match=r"No (error )?variance.*\b100, 101"):
            run(name, constant, factors)


@pytest.mark.parametrize("name", [name for name in FACTORS if name != "mixed_model"])
@few
@given(data=st.data(), place=st.floats(0, 1, exclude_max=True))
def test_a_key_given_twice_is_refused_by_name(name, data, place):
    table, factors = data.draw(tables(FACTORS[name]))
    row = table.iloc[[int(place * len(table))]]
    with pytest.raises(IncompleteDesignError, match=f"1 keys have more than one row: {row['id'].iloc[0]} in"):
        run(name, pd.concat([table, row.assign(y=0.5)]).sample(frac=1, random_state=1), factors)


@pytest.mark.parametrize("name", FACTORS)
@few
@given(data=st.data(), left=st.integers(1, 2))
def test_fewer_than_three_complete_subjects_are_refused_by_name(name, data, left):
    table, factors = data.draw(tables(FACTORS[name], gaps=0))
    gone = table["id"] >= 100 + left
    message = f"{left} patients have 'y' \\({'100' if left == 1 else '100, 101'}\\)"
    if name not in MODELS:
        gone &= ~table.duplicated("id")
        message = f"Only {left} of {table['id'].nunique()} subjects .*{100 + left} \\(lacks "
    with pytest.raises(IncompleteDesignError, match=message):
        run(name, table.assign(y=table["y"].mask(gone)), factors)
