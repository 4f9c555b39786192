"""Every function of tables and values against small cases that R solved: r_cases/make.R made r_cases/cases.json."""

import json
from dataclasses import asdict
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crossmod.analyse.stats import (
    agreement,
    annotation_savings,
    bootstrap_ci,
    correct_p,
    localisation,
    mixed_model,
    noninferiority,
    pairwise,
    power_paired,
    rm_anova,
    size_dependence,
)

# R 4.2.2; the packages and their versions are in make.R, and each case names the R function that gave its numbers.
CASES = json.loads((Path(__file__).parent / "r_cases" / "cases.json").read_text(encoding="utf-8"))
STATISTIC, P_VALUE = 1e-7, 1e-6
MIXED = {"estimate": 1e-4, "se": 1e-2, "df": 1e-4, "p": 1e-3}


def cases(kind: str):
    found = [case for case in CASES if case["kind"] == kind]
    return pytest.mark.parametrize(
        ("given", "r"), [pytest.param(case["input"], case["expected"], id=case["name"]) for case in found]
    )


def check(found, r: dict) -> None:
    """Compare numbers by name; null in R is NaN here."""
    for name, value in r.items():
        if value is None:
            assert np.isnan(found[name]), name
            continue
        is_p = name.split("_")[0] in ("p", "log") or name.endswith("_p")
        assert found[name] == pytest.approx(value, rel=P_VALUE if is_p else STATISTIC, abs=1e-15), name


def long(levels: dict[str, list], values: list) -> pd.DataFrame:
    """Subjects × cells (the last factor runs fastest) as a tidy table, its rows shuffled and gaps left out."""
    cells = list(product(*levels.values()))
    rows = [(i, *cell, y) for i, row in enumerate(values) for cell, y in zip(cells, row, strict=True)]
    table = pd.DataFrame(rows, columns=["id", *levels, "y"]).astype({"y": float}).dropna()
    for factor, found in levels.items():
        table[factor] = pd.Categorical(table[factor], categories=found)
    return table.sample(frac=1, random_state=0)


@cases("rm_anova")
def test_rm_anova(given, r):
    found = rm_anova(long(given["levels"], given["values"]), "y", "id", list(given["levels"]))
    assert found.attrs["n_subjects"] == r["n"]
    assert sorted(found.attrs["dropped_subjects"]) == r["dropped"]
    assert set(found["effect"]) == {row["effect"] for row in r["effects"]}
    rows = found.set_index("effect")
    for effect in r["effects"]:
        numbers = {name: value for name, value in effect.items() if name != "effect"}
        if effect["df1"] > 1 and effect["mauchly_w"] is None:  # fewer subjects than contrasts: R gives nothing at all
            numbers["mauchly_w"] = 0.0
        check(rows.loc[effect["effect"]], numbers)


@pytest.mark.parametrize("correction", ["holm", "bonferroni", "BH"])
@pytest.mark.parametrize("test", ["t", "wilcoxon"])
@cases("pairwise")
def test_pairwise(given, r, test, correction):
    table = long({"arm": given["levels"]}, given["values"])
    found = pairwise(table, "y", "id", "arm", test=test, correction=correction)
    for (_, row), expected in zip(found.iterrows(), r[test], strict=True):
        if test == "wilcoxon":
            assert ("exact" in row["method"]) == expected["exact"]
        check(row, {name: value for name, value in expected.items() if name != "exact"})
    np.testing.assert_allclose(found["p_corrected"], r[f"{test}_adjusted"][correction], rtol=P_VALUE)


@cases("agreement")
def test_agreement(given, r):
    check(asdict(agreement(**given)), r)


@cases("noninferiority")
def test_noninferiority(given, r):
    check(asdict(noninferiority(**given)), r)


@pytest.mark.parametrize("method", ["bca", "percentile"])
@cases("bootstrap_ci")
def test_bootstrap_ci(given, r, method):
    found = bootstrap_ci(**given, method=method)
    assert found.exact
    assert [found.estimate, found.ci_low, found.ci_high] == pytest.approx([r["estimate"], *r[method]], rel=1e-12)


@cases("mixed_model")
def test_mixed_model(given, r):
    found = mixed_model(pd.DataFrame(given["table"]), "y", given["fixed"], "patient", given["unit"])
    for name, tolerance in MIXED.items():
        np.testing.assert_allclose(found.fixed[name], r[name], rtol=tolerance, err_msg=name)
    assert list(found.variances) == list(r["variances"])
    for name, value in r["variances"].items():
        assert found.variances[name] == pytest.approx(value, rel=1e-3, abs=1e-9), name
    assert found.log_likelihood == pytest.approx(r["log_likelihood"], rel=STATISTIC)
    assert (found.n_rows, bool(found.at_boundary), found.converged) == (r["n_rows"], r["singular"], True)


@cases("localisation")
def test_localisation(given, r):
    found = localisation(long({"arm": given["levels"]}, given["hits"]), "y", "arm", "id")
    assert list(found.rates["k"]) == r["k"]
    np.testing.assert_allclose(found.rates[["ci_low", "ci_high"]].T, [r["low"], r["high"]], rtol=STATISTIC, atol=1e-15)
    for (_, row), expected in zip(found.mcnemar.iterrows(), r["mcnemar"], strict=True):
        check(row, expected)
    np.testing.assert_allclose(found.mcnemar["p_corrected"], np.array(r["p_corrected"], float), rtol=P_VALUE)
    assert found.cochran_q == pytest.approx(r["q"], rel=STATISTIC)
    assert found.cochran_p == pytest.approx(r["q_p"], rel=P_VALUE)


@cases("size_dependence")
def test_size_dependence(given, r):
    found = asdict(size_dependence(**given))
    assert (found["mann_whitney_method"] == "exact") == r["exact"]
    check(found, {name: value for name, value in r.items() if name != "exact"})


@cases("annotation_savings")
def test_annotation_savings(given, r):
    assisted = pd.DataFrame(given["a"], columns=given["assisted"])
    unassisted = pd.DataFrame(given["b"], columns=given["unassisted"])
    found = annotation_savings(assisted, unassisted, given["cluster"], given["level"])
    check(found.attrs, {name: r[name] for name in ("intercept", "slope")})
    for name in ("equivalent_unassisted", "ci_low", "ci_high"):
        np.testing.assert_allclose(found[name], r[name], rtol=STATISTIC, err_msg=name)


@cases("power")
def test_power(given, r):
    assert power_paired(**given).power == pytest.approx(r, rel=P_VALUE)


@cases("sample_size")
def test_sample_size(given, r):
    assert power_paired(**given).n == r


@cases("correct_p")
def test_correct_p(given, r):
    for method, expected in r.items():
        found = correct_p(np.array(given["p"], float), method)
        np.testing.assert_allclose(found, np.array(expected, float), rtol=P_VALUE, err_msg=method)


def test_every_case_is_tried_and_names_its_source():
    tried = {"rm_anova", "pairwise", "agreement", "noninferiority", "bootstrap_ci", "mixed_model", "localisation"}
    tried |= {"size_dependence", "annotation_savings", "power", "sample_size", "correct_p"}
    assert {case["kind"] for case in CASES} == tried
    assert all(case["source"] for case in CASES)
