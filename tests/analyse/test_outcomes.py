"""Rates of what was found, and means over classes and over patients, against formulas written out."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from crossmod.analyse.classes import over_classes
from crossmod.analyse.design import Design
from crossmod.analyse.factors import Factors
from crossmod.analyse.located import rates_of
from crossmod.analyse.study import analyse
from crossmod.analyse.tables import most, units_of
from crossmod.job import UserError

TREATMENTS = ["none", "black"]
ORGANS = ["spleen", "aorta", "colon"]
FOUND = {
    "test": "localisation",
    "name": "found",
    "outcome": "located",
    "arm": "treatment",
    "where": {"target": "tumour"},
    "each": ["site", "target", "region", "setting"],
}
HALVES = {
    "test": "size_halves",
    "name": "halves",
    "volume": "volume_reference_ml",
    "rank_paired": True,
    "where": {"target": "tumour"},
    "each": ["site", "target", "region", "setting", "treatment"],
}


def design(**changes) -> Design:
    given = {
        "arms": [{"name": name, "levels": {"treatment": name}} for name in TREATMENTS],
        "factors": [{"name": "treatment", "levels": TREATMENTS}],
        "sites": [{"name": "t1"}],
        "targets": [*ORGANS, "tumour"],
        "metrics": ["dsc", "located"],
        "groups": {"organs": ORGANS},
        "hypotheses": {"units": [FOUND, HALVES]},
    }
    return Design.of(given | changes)


def rows(seeds=(0,), patients=12) -> pd.DataFrame:
    """Scores as :func:`crossmod.analyse.scores.read_scores` gives them."""
    rng, found = np.random.default_rng(3), []
    for seed in seeds:
        for arm in TREATMENTS:
            for number in range(patients):
                for target in [*ORGANS, "tumour"]:
                    dsc = float(rng.uniform(0.1, 0.9))
                    word = ["correct", "incorrect", "not_detected"][int(rng.integers(3))]
                    if target == "tumour" and word != "correct":
                        dsc = 0.0
                    found.append((arm, seed, target, f"p{number}", dsc, word, 1.0 + number))
    table = pd.DataFrame(found, columns=["arm", "seed", "target", "case", "dsc", "located", "volume_reference_ml"])
    table = table.assign(
        site="t1", region="image", unit="image", side="both", modality="MR", simulated=True, patient=table["case"],
        volume_predicted_ml=1.0, volume_difference_ml=0.0, relative_difference_pct=0.0,
    )  # fmt: skip
    table["subject"], table["person"] = "t1/" + table["case"] + "/both", "t1/" + table["case"]
    for column, names in (("arm", TREATMENTS), ("target", [*ORGANS, "tumour"])):
        table[column] = pd.Categorical(table[column], categories=names, ordered=True)
    for column in ("site", "region", "side"):
        table[column] = pd.Categorical(table[column], ordered=True)
    return table


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_the_two_intervals_of_a_mean_over_classes(seeds):
    scores = rows(seeds)
    table = over_classes(scores, design()).set_index(["arm", "over"])
    organs = scores[scores["target"].isin(ORGANS)]
    for arm in TREATMENTS:
        units = organs[organs["arm"] == arm].groupby(["target", "person"], observed=True)["dsc"].mean()
        for over, key in (("classes", "target"), ("patients", "person")):
            values = units.groupby(key, observed=True).mean()
            half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
            row = table.loc[(arm, over)]
            assert row["n"] == len(values) == {"classes": 3, "patients": 12}[over]
            assert row["mean"] == pytest.approx(values.mean())
            assert (row["ci_low"], row["ci_high"]) == pytest.approx((values.mean() - half, values.mean() + half))


def test_the_source_studys_half_width_is_that_over_24_classes():
    targets = [f"organ{i}" for i in range(24)]
    scores = pd.concat([rows()[lambda t: t["target"] == "spleen"].assign(target=name) for name in targets])
    scores["dsc"] = np.where(scores["target"] == "organ7", 0.38, 0.0)
    table = over_classes(scores, design(targets=targets, groups={"organs": targets})).set_index(["arm", "over"])
    row = table.loc[("none", "classes")]
    assert row["ci_high"] - row["mean"] == pytest.approx(0.033, abs=5e-4)


def test_an_absent_class_is_left_out_and_an_invented_one_scores_zero():
    scores = rows()
    spleen = (scores["target"] == "spleen") & (scores["arm"] == "none")
    scores.loc[spleen & (scores["case"] == "p0"), "dsc"] = np.nan
    scores.loc[spleen & (scores["case"] == "p1"), "dsc"] = 0.0
    row = over_classes(scores, design()).set_index(["arm", "over"]).loc[("none", "classes")]
    means = [scores[(scores["target"] == name) & (scores["arm"] == "none")]["dsc"].dropna().mean() for name in ORGANS]
    assert row["mean"] == pytest.approx(np.mean(means)) and row["n"] == 3


def test_a_class_that_no_patient_has_is_no_class():
    scores = rows()
    scores.loc[scores["target"] == "aorta", "dsc"] = np.nan
    assert set(over_classes(scores, design()).set_index("over").loc["classes", "n"]) == {2}


def test_rates_have_wilsons_interval():
    scores = rows()
    table = rates_of(scores, design()).set_index(["arm", "target", "outcome"])
    counts = scores.groupby(["arm", "target"], observed=True)["located"].value_counts()
    for key, k in counts.items():
        row = table.loc[key]
        assert (row["k"], row["n"], row["rate"]) == (k, 12, pytest.approx(k / 12))
        assert (row["ci_low"], row["ci_high"]) == pytest.approx(proportion_confint(k, 12, method="wilson"))


def test_what_has_nothing_to_be_found_does_not_count():
    scores = rows()
    scores.loc[scores["case"] == "p0", "located"] = ""
    assert set(rates_of(scores, design())["n"]) == {11}
    assert rates_of(scores.assign(located=""), design()).empty


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["correct"], "correct"),
        (["correct", "correct", "not_detected"], "correct"),
        (["not_detected", "not_detected", "correct"], "not_detected"),
        (["correct", "not_detected"], "incorrect"),
        (["correct", "incorrect", "not_detected"], "incorrect"),
    ],
)
def test_most_trainings_decide(words, expected):
    assert most(pd.Series(words)) == expected


def test_a_training_without_a_word_leaves_none():
    assert np.isnan(most(pd.Series(["correct", ""]))) and np.isnan(most(pd.Series(["correct", None])))


def test_units_carry_the_words_and_mcnemar_compares_treatments():
    scores = rows()
    units = units_of(scores, design())
    tumour = (
        units[units["target"] == "tumour"].pivot(index="subject", columns="treatment", values="located") == "correct"
    )
    found = analyse(scores, design())
    row = found.tested["units"].tables["found"].iloc[0]
    only = [int((tumour[a] & ~tumour[b]).sum()) for a, b in (("none", "black"), ("black", "none"))]
    assert (row["a"], row["b"], row["n"], row["only_a"], row["only_b"]) == ("none", "black", 12, *only)
    assert row["p"] == pytest.approx(stats.binomtest(only[0], sum(only)).pvalue)
    assert {"classes", "located"} <= set(found.tables)


def test_halves_take_welchs_p_and_the_pairs_by_rank_are_an_oddity_beside_it():
    scores = rows()
    table = analyse(scores, design()).tested["units"].tables["halves"]
    for arm, row in zip(TREATMENTS, table.to_dict("records"), strict=True):
        y = scores[(scores["arm"] == arm) & (scores["target"] == "tumour")].sort_values("volume_reference_ml")["dsc"]
        small, large = y.to_numpy()[:6], y.to_numpy()[6:]
        assert row["p_family"] == row["welch_p"] == pytest.approx(stats.ttest_ind(large, small, equal_var=False).pvalue)
        assert row["rank_paired_p"] == pytest.approx(stats.ttest_rel(large, small).pvalue)
        assert row["rank_paired_n"] == 6 and row["tests_in_family"] == 2


def test_a_study_without_them_has_no_such_tables():
    plain = design(metrics=["dsc"], groups={}, hypotheses={})
    assert not {"classes", "located"} & set(analyse(rows().drop(columns="located"), plain).tables)
    assert "located" not in units_of(rows(), plain)


@pytest.mark.parametrize(
    ("hypothesis", "metrics", "problem"),
    [
        (FOUND | {"outcome": ""}, ["dsc", "located"], "localisation counts words"),
        (FOUND | {"outcome": "dsc"}, ["dsc", "located"], "localisation counts words"),
        (FOUND, ["dsc"], "no column 'located'"),
        (HALVES | {"outcome": "located"}, ["dsc", "located"], "all other tests take numbers"),
    ],
)
def test_a_test_that_does_not_fit_its_outcome_is_refused(hypothesis, metrics, problem):
    with pytest.raises(UserError, match=problem):
        design(metrics=metrics, hypotheses={"units": [hypothesis]})


def test_factors_are_those_of_the_design():
    assert design().factors == Factors({"treatment": TREATMENTS})
