"""annotation_savings against R's learning curve, equivalents and jackknife."""

import inspect

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from crossmod.analyse.stats.errors import DegenerateDataError, IncompleteDesignError
from crossmod.analyse.stats.savings import COLUMNS, annotation_savings
from crossmod.job import UserError

# Made with R 4.2.2: shared/reference/statistics/noninferiority_and_annotation_savings/make.R.
CASE = "noninferiority_and_annotation_savings"
STATISTIC = 1e-7


def wide(data: pd.DataFrame, strategy: str) -> pd.DataFrame:
    return data[data["strategy"] == strategy].pivot(index="case", columns="proportion", values="dsc")


def test_agrees_with_r(reference):
    data, expected = reference.data(CASE), reference.expected(CASE)
    found = annotation_savings(wide(data, "mixed"), wide(data, "pure"))
    assert list(found.columns) == COLUMNS
    assert list(found["amount"]) == [40, 80, 120]
    np.testing.assert_allclose(found["mean_assisted"], wide(data, "mixed").mean())
    curve = expected["learning_curve"]
    assert [found.attrs["intercept"], found.attrs["slope"]] == pytest.approx([curve["a"], curve["b"]], rel=STATISTIC)
    for (_, row), r in zip(found.iterrows(), expected["annotation_savings"], strict=False):
        assert row["amount"] == r["mr_images_used"]
        assert row["equivalent_unassisted"] == pytest.approx(r["equivalent_pure_mr_images"], rel=STATISTIC)
        assert row["saved"] == pytest.approx(r["saved"], rel=STATISTIC)
        assert 1 / (1 - row["saved_fraction"]) == pytest.approx(r["ratio"], rel=STATISTIC)
        assert [row["ci_low"], row["ci_high"]] == pytest.approx(r["ci95_log_jackknife"], rel=STATISTIC)
        assert row["extrapolates"] == r["extrapolated_beyond_120"]
        assert row["note"] == ""


def curves(n: int = 20, seed: int = 0, gain: float = 0.02) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    amounts = np.array([20, 40, 80])
    names = pd.Index([f"c{i:02d}" for i in range(n)], name="case")
    ease = rng.normal(0, 0.02, (n, 1))
    pure = 0.6 + 0.06 * np.log(amounts) + ease + rng.normal(0, 0.01, (n, 3))
    mixed = 0.6 + gain + 0.06 * np.log(amounts) + ease + rng.normal(0, 0.01, (n, 3))
    return pd.DataFrame(mixed, names, amounts), pd.DataFrame(pure, names, amounts)


def test_a_constant_gain_saves_the_same_share_and_other_amounts_extrapolate():
    amounts = np.array([10, 20, 40, 80, 160])
    rng = np.random.default_rng(1)
    ease, tilt = rng.normal(0, 0.02, (15, 1)), rng.normal(0, 0.005, (15, 1))
    pure = pd.DataFrame(0.5 + ease + 0.06 * np.log(amounts), columns=amounts)
    mixed = pd.DataFrame(pure.to_numpy() + 0.06 * np.log(2) + tilt - tilt.mean(), columns=amounts)
    found = annotation_savings(mixed, pure)
    np.testing.assert_allclose(found["equivalent_unassisted"], 2 * amounts)
    np.testing.assert_allclose(found["saved_fraction"], 0.5)
    assert list(found["extrapolates"]) == [False, False, False, False, True]
    # The slope is the same for everyone: ln(equivalent) is linear in the gain, and the jackknife is the t interval.
    half = 2.144787 * tilt.std(ddof=1) / np.sqrt(15) / 0.06
    np.testing.assert_allclose(np.log(found["ci_high"] / found["equivalent_unassisted"]), half, rtol=1e-6)
    np.testing.assert_allclose(found["ci_low"] * found["ci_high"], found["equivalent_unassisted"] ** 2)


def test_an_arm_that_hurts_costs_annotations():
    found = annotation_savings(*curves(gain=-0.02))
    assert (found["saved"] < 0).all() and (found["saved_fraction"] < 0).all()
    assert found["extrapolates"][0]


def test_the_assisting_modality_alone_is_worth_an_amount():
    mixed, pure = curves()
    alone = pd.DataFrame({0: 0.6 + 0.06 * np.log(40)}, index=pure.index)
    row = annotation_savings(alone.join(mixed), pure).iloc[0]
    assert row["amount"] == 0 and row["saved_fraction"] == 1
    assert row["saved"] == row["equivalent_unassisted"] == pytest.approx(40, rel=0.1)


def test_whole_patients_are_left_out():
    mixed, pure = curves()
    twins = [pd.concat([part, part.set_axis(part.index + "'")]) for part in (mixed, pure)]
    once, patients = annotation_savings(mixed, pure), annotation_savings(*twins, cluster=[*mixed.index] * 2)
    naive = annotation_savings(*twins)
    np.testing.assert_allclose(patients[["ci_low", "ci_high"]], once[["ci_low", "ci_high"]])
    assert (naive["ci_high"] - naive["ci_low"] < 0.8 * (once["ci_high"] - once["ci_low"])).all()
    singles = annotation_savings(mixed, pure, cluster=range(20))
    pd.testing.assert_frame_equal(singles, once)


def test_subjects_with_a_gap_are_dropped_and_listed():
    mixed, pure = curves()
    gaps = mixed.copy()
    gaps.loc["c03", 40] = np.nan
    found = annotation_savings(gaps.drop(index="c05"), pure.drop(index="c07"))
    assert found.attrs["dropped_subjects"] == ["c03", "c05", "c07"] and found.attrs["n_subjects"] == 17
    kept = mixed.index.drop(["c03", "c05", "c07"])
    whole = annotation_savings(mixed.loc[kept], pure.loc[kept])
    pd.testing.assert_frame_equal(found, whole, check_exact=True)


@pytest.mark.parametrize("slope", [0.0, -0.05])
def test_a_curve_that_does_not_rise_is_refused(slope):
    mixed, pure = curves()
    pure = pd.DataFrame(0.8 + slope * np.log(pure.columns.to_numpy(float)) + 0 * pure, pure.index, pure.columns)
    with pytest.raises(DegenerateDataError, match=r"does not rise .*0.8|does not rise .*at 20"):
        annotation_savings(mixed, pure)


def test_a_rise_that_hangs_on_one_subject_has_no_interval():
    mixed, pure = curves(n=4)
    pure = pd.DataFrame(0.7, pure.index, pure.columns)
    pure.loc["c02"] = [0.7, 0.8, 0.9]
    found = annotation_savings(mixed, pure)
    assert found["ci_low"].isna().all() and found["ci_high"].isna().all()
    assert found["equivalent_unassisted"].notna().all()
    assert set(found["note"]) == {"no interval: the unassisted curve does not rise without one of the subjects"}


def test_subjects_that_all_agree_have_no_interval():
    mixed, pure = curves(n=6)
    ease = np.linspace(0, 0.1, 6)[:, None]
    alike = [pd.DataFrame(part.iloc[[0] * 6].to_numpy() + ease, part.index, part.columns) for part in (mixed, pure)]
    found = annotation_savings(*alike)
    assert found["ci_low"].isna().all() and set(found["note"]) == {"no interval: leaving out a subject changes nothing"}


def test_a_curve_too_flat_for_any_number_has_none_and_says_so():
    mixed, pure = curves()
    flat = pure * 0 + 0.6 + 1e-6 * np.log(pure.columns.to_numpy(float))
    found = annotation_savings(mixed, flat + 1e-9 * pure)
    assert found[["equivalent_unassisted", "saved", "saved_fraction", "ci_low", "ci_high"]].isna().all(axis=None)
    assert set(found["note"]) == {"no number: the unassisted curve is too flat to reach this score"}


def test_limits_beyond_any_number_are_left_out():
    mixed, pure = curves(n=6)
    level = mixed.mean().mean()
    flat = pure * 0 + level + 1e-5 * np.log(pure.columns.to_numpy(float) / 40)
    found = annotation_savings(mixed - mixed.mean() + level, flat)
    np.testing.assert_allclose(found["equivalent_unassisted"], 40)
    assert found[["ci_low", "ci_high"]].isna().all(axis=None)
    assert set(found["note"]) == {"no interval: the unassisted curve is so flat that a limit is beyond any number"}


MIXED, PURE = curves()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"level": 95}, UserError, "between 0 and 1"),
        ({"curve_b": PURE.rename(columns={20: 0})}, UserError, "Columns 0 of curve_b .* above 0"),
        ({"curve_a": MIXED.rename(columns={20: "few"})}, UserError, "Columns 'few' of curve_a"),
        ({"curve_a": MIXED.rename(columns={20: -1})}, UserError, "Columns -1 of curve_a"),
        ({"curve_a": MIXED.rename(columns={20: "40"})}, IncompleteDesignError, "amounts given twice: 40"),
        ({"curve_b": pd.concat([PURE, PURE])}, IncompleteDesignError, "subjects given twice: c00"),
        ({"curve_b": PURE[[40]]}, IncompleteDesignError, "needs two amounts; curve_b has 40"),
        ({"curve_b": PURE.rename("x{}".format)}, IncompleteDesignError, "there are 0. Incomplete: c00"),
        ({"curve_a": MIXED.iloc[:2]}, IncompleteDesignError, "at least 3 complete subjects; there are 2"),
        ({"cluster": ["a", "b"] * 10}, IncompleteDesignError, "at least 3 complete clusters; there are 2"),
        ({"cluster": ["a"]}, UserError, "1 clusters are given for 20"),
        ({"curve_a": MIXED.replace(MIXED.iloc[1, 1], np.inf)}, UserError, "infinite for subjects c01"),
        ({"curve_a": MIXED.astype(object).replace(MIXED.iloc[1, 1], "?")}, UserError, "must be numbers"),
    ],
)
def test_refusals(change, error, message):
    with pytest.raises(error, match=message):
        annotation_savings(**({"curve_a": MIXED, "curve_b": PURE} | change))


def test_interface_is_the_one_scripts_rely_on():
    parameters = inspect.signature(annotation_savings).parameters
    assert list(parameters) == ["curve_a", "curve_b", "cluster", "level"]


@hypothesis_settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-2, 1e2), amount_scale=st.integers(1, 50))
def test_invariant_to_order_relabelling_and_units(seed, scale, amount_scale):
    mixed, pure = curves(8, seed)
    before = annotation_savings(mixed, pure)

    def changed(part: pd.DataFrame, state: int) -> pd.DataFrame:
        part = (part * scale).rename("patient {}".format, axis=0).rename(columns=lambda amount: amount * amount_scale)
        return part.sample(frac=1, random_state=state).sample(frac=1, axis=1, random_state=state)

    after = annotation_savings(changed(mixed, seed), changed(pure, seed + 1))
    for name in ("amount", "equivalent_unassisted", "saved", "ci_low", "ci_high"):
        np.testing.assert_allclose(after[name], before[name] * amount_scale, rtol=1e-6, err_msg=name)
    np.testing.assert_allclose(after["saved_fraction"], before["saved_fraction"], rtol=1e-6, atol=1e-9)
    assert list(after["extrapolates"]) == list(before["extrapolates"])
