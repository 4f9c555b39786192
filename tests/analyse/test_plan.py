"""Anyone's table: a plan is checked whole, every cell tested, every family corrected, nothing lost in silence."""

import json
import unicodedata

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from crossmod.analyse.command import analyse_table
from crossmod.analyse.plan import read_plan
from crossmod.analyse.stats import correct_p, noninferiority, pairwise, rm_anova
from crossmod.cli import app
from crossmod.job import UserError

PLAN = {
    "title": "Does CT help?",
    "outcome": "dsc",
    "subject": ["case", "side"],
    "cluster": "patient",
    "levels": {"strategy": ["pure", "mixed"], "amount": [40, 80, 120]},
    "hypotheses": [
        {"name": "anova", "test": "rm_anova", "within": ["strategy", "amount"], "each": ["site"]},
        {
            "name": "simple",
            "test": "pairwise",
            "within": "strategy",
            "at": "amount",
            "each": ["site"],
            "family": "main",
        },
        {
            **{"name": "not-worse", "test": "noninferiority", "within": "strategy", "a": "mixed", "b": "pure"},
            **{"margin": 0.01, "each": ["site", "amount"], "family": "main"},
        },
        {"name": "volumes", "test": "agreement", "reference": "v_ref", "predicted": "v", "margin": 9, "each": ["site"]},
        {
            "name": "model",
            "test": "mixed_model",
            "fixed": ["strategy", "amount"],
            "unit": "side",
            "where": {"site": "mr"},
        },
        {"name": "size", "test": "size_dependence", "volume": "v_ref", "where": {"strategy": "mixed", "amount": 40}},
    ],
}


SIMPLE_MODEL = {
    **{"name": "simple-model", "test": "mixed_model", "within": "strategy", "a": "mixed", "b": "pure", "at": "amount"},
    **{"unit": "side", "where": {"site": "mr"}},
}


@pytest.fixture
def scores() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    rows = []
    for site, gain in (("mr", 0.02), ("ct", 0.0)):
        for patient in range(12):
            person = rng.normal(0, 0.02)
            for side in ("left", "right"):
                kidney, volume = rng.normal(0, 0.01), rng.uniform(100, 220)
                for strategy in ("pure", "mixed"):
                    for amount in (120, 40, 80):
                        dsc = (
                            0.9 + person + kidney + gain * (strategy == "mixed") + 1e-4 * amount + rng.normal(0, 0.004)
                        )
                        case = f"{site}-{patient}"
                        rows.append((site, case, case, side, strategy, amount, dsc, volume, volume + rng.normal(1, 4)))
    return pd.DataFrame(rows, columns=["site", "patient", "case", "side", "strategy", "amount", "dsc", "v_ref", "v"])


@pytest.fixture
def run(tmp_path, scores):
    def run(plan=PLAN, table=scores):
        (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan))
        table.to_csv(tmp_path / "scores.csv", index=False)
        return analyse_table(tmp_path / "scores.csv", tmp_path / "plan.yaml", tmp_path / "out")

    return run


def test_each_cell_is_what_the_function_gives(run, scores):
    found = run()
    mr = scores[scores["site"] == "mr"]
    mr = mr.assign(strategy=pd.Categorical(mr["strategy"], ["pure", "mixed"]))
    # Two kidneys of a patient are one subject of the ANOVA: their mean.
    people = mr.groupby(["patient", "strategy", "amount"], observed=True)["dsc"].mean().reset_index()
    expected = rm_anova(people, "dsc", "patient", ["strategy", "amount"])
    mine = found["anova"].query("site == 'mr'")
    np.testing.assert_allclose(mine["F"], expected["F"])
    np.testing.assert_allclose(mine["p_family"], expected["p_gg"])
    assert mine["n_subjects"].eq(12).all() and mine["n_units"].eq(24).all() and mine["n_patients"].eq(12).all()
    assert mine["rank_p"].between(0, 1).all() and mine["normality_p"].between(0, 1).all()
    wide = mr[mr["amount"] == 80].pivot(index=["case", "side"], columns="strategy", values="dsc")
    alone = noninferiority(wide["mixed"] - wide["pure"], 0.01, wide.index.get_level_values("case"))
    simple = found["simple"].query("site == 'mr' and at == 80").iloc[0]
    assert simple["mean_difference"] == pytest.approx(-alone.estimate)
    assert (simple["ci_low"], simple["ci_high"]) == pytest.approx((-alone.ci_high, -alone.ci_low))
    assert (simple["df"], simple["method"]) == (pytest.approx(alone.df), "paired t, CR2")
    row = found["not-worse"].query("site == 'mr' and amount == 80").iloc[0]
    assert row["p"] == pytest.approx(alone.p)
    assert row["p_family"] == pytest.approx(2 * alone.p)
    assert (row["n"], row["n_clusters"]) == (24, 12)
    assert found["model"]["n_patients"].eq(12).all()
    assert found["size"]["n"].eq(12 * 2).all()


def test_independent_units_get_the_ordinary_tests(run, scores):
    found = run({key: value for key, value in PLAN.items() if key != "cluster"})
    mr = scores[scores["site"] == "mr"]
    mr = mr.assign(strategy=pd.Categorical(mr["strategy"], ["pure", "mixed"]))
    simple = pairwise(mr, "dsc", ["case", "side"], "strategy", "amount")
    np.testing.assert_allclose(found["simple"].query("site == 'mr'")["p"], simple["p"])
    expected = rm_anova(mr, "dsc", ["case", "side"], ["strategy", "amount"])
    np.testing.assert_allclose(found["anova"].query("site == 'mr'")["F"], expected["F"])


def test_every_p_leads_to_the_rows_it_came_from(run, tmp_path):
    found = run()
    for name, table in found.items():
        assert table["rows"].str.startswith("rows/").all(), name
        for path in table["rows"].unique():
            assert (tmp_path / "out" / path).is_file(), path
    row = found["simple"].query("site == 'ct' and at == 120").iloc[0]
    behind = pd.read_csv(tmp_path / "out" / row["rows"]).query("amount == 120")
    wide = behind.pivot(index=["case", "side"], columns="strategy", values="dsc")
    assert (wide["pure"] - wide["mixed"]).mean() == pytest.approx(row["mean_difference"])
    assert len(wide) == row["n"]


def test_levels_keep_the_order_of_the_plan(run):
    assert run()["simple"].query("site == 'mr'")["at"].tolist() == [40, 80, 120]


def test_a_family_is_corrected_over_its_hypotheses_and_cells(run):
    found = run()
    together = pd.concat([found["simple"], found["not-worse"]])
    assert len(together) == 12 and together["tests_in_family"].eq(12).all()
    np.testing.assert_allclose(together["p_corrected"], correct_p(together["p_family"]))
    intercept = found["model"].iloc[0]
    assert intercept["term"] == "intercept"
    assert np.isnan(intercept["p_corrected"]) and pd.isna(intercept["significant"])


def test_each_site_can_be_a_family_of_its_own(run):
    simple = PLAN["hypotheses"][1] | {"family_by": ["site"]}
    found = run(PLAN | {"hypotheses": [simple]})["simple"]
    assert set(found["family"]) == {"main: mr", "main: ct"} and found["tests_in_family"].eq(3).all()
    for _, rows in found.groupby("family"):
        np.testing.assert_allclose(rows["p_corrected"], correct_p(rows["p_family"]))


def test_verdicts_follow_the_corrected_p(run):
    found = run(PLAN | {"hypotheses": [*PLAN["hypotheses"], SIMPLE_MODEL]})
    simple, claims, volumes = found["simple"], found["not-worse"], found["volumes"]
    clear = simple["p_corrected"] < 0.05
    assert simple["verdict"].where(~clear, "").isin(["equal", ""]).all()
    assert simple.loc[clear, "verdict"].eq("lower").all() and clear.any() and not clear.all()
    assert claims["verdict"].eq(np.where(claims["p_corrected"] < 0.05, "non-inferior", "not shown")).all()
    assert volumes["verdict"].eq("below margin").all()
    model = found["simple-model"]
    assert model["at"].tolist() == [40, 80, 120] and set(model["a"]) == {"mixed"}
    np.testing.assert_allclose(model["mean_difference"], -simple.query("site == 'mr'")["mean_difference"], atol=1e-6)


def test_differences_keep_the_order_they_are_asked_for(run):
    simple = PLAN["hypotheses"][1] | {"compare": ["mixed", "pure"]}
    found = run(PLAN | {"hypotheses": [simple]})["simple"]
    assert set(found["a"]) == {"mixed"} and found.query("site == 'mr'")["mean_difference"].gt(0).all()


def test_savings_are_an_estimate_without_p(run, scores):
    savings = {"name": "saved", "test": "annotation_savings", "within": "strategy", "amount": "amount"}
    savings |= {"assisted": "mixed", "unassisted": "pure", "where": {"site": "mr"}}
    rows = run(PLAN | {"hypotheses": [savings]})["saved"]
    assert rows["amount"].tolist() == [40, 80, 120] and rows["saved"].notna().all()
    assert rows["p_family"].isna().all() and rows["note"].eq("").all()


def test_savings_of_rows_of_several_arms_are_not_tested(run, scores):
    savings = {"name": "saved", "test": "annotation_savings", "within": "strategy", "amount": "amount"}
    savings |= {"assisted": "mixed", "unassisted": "pure", "where": {"site": "mr"}}
    twice = pd.concat([scores.assign(network="one"), scores.assign(network="other")], ignore_index=True)
    (row,) = run(PLAN | {"hypotheses": [savings]}, twice)["saved"].to_dict("records")
    assert row["note"].startswith("not tested") and "more than one row" in row["note"]


def test_ids_that_collide_across_sites_are_told_apart(run, scores):
    colliding = scores.assign(
        **{c: scores[c].str.replace("ct-", "").str.replace("mr-", "") for c in ("case", "patient")}
    )
    pooled = PLAN | {
        "hypotheses": [{k: v for k, v in h.items() if k not in ("each", "family")} for h in PLAN["hypotheses"][:2]]
    }
    found, expected = run(pooled, colliding), run(pooled, scores)
    for name in ("anova", "simple"):
        assert found[name]["n_patients"].eq(24).all() and found[name]["n_units"].eq(48).all()
        np.testing.assert_allclose(found[name]["p_family"], expected[name]["p_family"])


def test_ids_are_texts(run, scores):
    names = {f"mr-{k}": ("001", "1", "NA", "1e1", "10")[k] for k in range(5)}
    table = scores.assign(**{c: scores[c].replace(names) for c in ("case", "patient")})
    found = run(table=table)
    assert found["anova"].query("site == 'mr'")["n_subjects"].eq(12).all()
    assert found["anova"]["n_dropped"].eq(0).all()


def test_a_cell_that_cannot_be_tested_is_a_row_with_its_reason(run, scores):
    table = scores.copy()
    table.loc[table["site"] == "ct", "dsc"] = 0.9
    found = run(table=table)
    for name in ("anova", "simple"):
        row = found[name].query("site == 'ct'")
        assert row["note"].str.contains("No error variance|No variance to test").all()
        assert row["p_corrected"].isna().all()
        assert found[name].query("site == 'mr'")["note"].eq("").all()


def test_rows_without_a_cell_are_refused_not_lost(run, scores):
    table = scores.assign(site=scores["site"].mask(scores["patient"] == "ct-1"))
    with pytest.raises(UserError, match="column 'site' is empty in 12 rows"):
        run(table=table)


def test_whoever_is_left_out_is_counted(run, scores):
    gone = scores.drop(index=scores.query("case == 'mr-3' and side == 'left' and amount == 40").index[0])
    found = run(table=gone)
    assert found["anova"].query("site == 'mr'")["n_dropped"].eq(1).all()
    assert found["not-worse"].query("site == 'mr'")["n_dropped"].tolist() == [1, 0, 0]


def test_the_record_holds_the_hash_of_the_plan(run, tmp_path):
    run()
    first = json.loads((tmp_path / "out/record.json").read_text())
    assert first["families"]["main"] == {"hypotheses": ["simple", "not-worse"], "tests": 12}
    assert {path.stem for path in (tmp_path / "out").glob("*.csv")} == {h["name"] for h in PLAN["hypotheses"]}
    run(PLAN | {"alpha": 0.01})
    second = json.loads((tmp_path / "out/record.json").read_text())
    assert first["plan_sha256"] != second["plan_sha256"]
    assert first["table_sha256"] == second["table_sha256"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpa": 0.1}, "alpa: unknown key; did you mean 'alpha'"),
        (
            {"hypotheses": [PLAN["hypotheses"][2] | {"margn": 1}]},
            "hypotheses.0.margn: unknown key; did you mean 'hypotheses.0.margin'",
        ),
        ({"hypotheses": [PLAN["hypotheses"][0] | {"family_by": ["arm"]}]}, "'arm' is not among each"),
        ({"hypotheses": [{"name": "x", "test": "mixed_model"}]}, "either fixed, or all of within, a, b and at"),
        ({"hypotheses": [{"name": "x"}]}, "hypotheses.0: test is missing"),
        ({"correction": "tukey"}, "'tukey' is none of holm"),
        ({"hypotheses": []}, "hypotheses: List should have at least 1"),
        ({"hypotheses": [PLAN["hypotheses"][0]] * 2}, "anova given twice"),
        ({"hypotheses": [PLAN["hypotheses"][2] | {"margin": -1}]}, "margin: Input should be greater than 0"),
        (
            {"hypotheses": [{"name": "x", "test": "anova"}]},
            "hypotheses.0.test: 'anova' is unknown; did you mean 'rm_anova'",
        ),
        ({"outcome": "dice"}, "no column 'dice'; it has site, patient"),
        ({"levels": {"amount": [40, 80]}}, "'amount' has levels the plan does not name: np|120"),
        ({"hypotheses": [PLAN["hypotheses"][4] | {"where": {"site": "pet"}}]}, "no row has 'pet'"),
    ],
)
def test_mistakes_are_told_with_their_key(run, change, message):
    with pytest.raises(UserError, match=message):
        run(PLAN | change)


def test_a_folder_of_something_else_is_not_overwritten(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/precious.txt").write_text("mine")
    with pytest.raises(UserError, match="holds no earlier analysis"):
        run()
    assert (tmp_path / "out/precious.txt").read_text() == "mine"


def test_the_plan_of_the_documentation_runs(root, scores, tmp_path):
    renamed = scores.rename(columns={"v_ref": "volume_reference_ml", "v": "volume_predicted_ml"})
    renamed.to_csv(tmp_path / "scores.csv", index=False)
    found = analyse_table(tmp_path / "scores.csv", root / "docs/plan.yaml", tmp_path / "out")
    for name, rows in found.items():
        assert rows["note"].eq("").all(), name


@pytest.mark.parametrize("text", ["title: [", "- a list", "title: x"])
def test_broken_plans(tmp_path, text):
    (tmp_path / "plan.yaml").write_text(text)
    with pytest.raises(UserError, match="plan"):
        read_plan(tmp_path / "plan.yaml")
    with pytest.raises(UserError, match="no such plan"):
        read_plan(tmp_path / "none.yaml")


def test_the_command(run, tmp_path):
    run()
    arguments = ["analyse", str(tmp_path / "scores.csv"), "--plan", str(tmp_path / "plan.yaml"), "--out"]
    done = CliRunner().invoke(app, [*arguments, str(tmp_path / "again")])
    assert done.exit_code == 0, done.output
    assert "not-worse" in done.output
    assert json.loads((tmp_path / "again/record.json").read_text())["plan_sha256"] in done.output
    assert (tmp_path / "again/anova.csv").read_bytes() == (tmp_path / "out/anova.csv").read_bytes()


def test_lesions_of_one_patient_are_not_independent(run, scores):
    found = {"name": "found", "test": "localisation", "outcome": "hit", "arm": "strategy", "where": {"amount": 40}}
    table = scores.assign(hit=np.where(scores["dsc"] > 0.9, "correct", "missed"))
    rows = run(PLAN | {"hypotheses": [found]}, table)["found"]
    assert rows["note"].str.contains("have several rows in an arm").all() and rows["p_family"].isna().all()
    right = run(PLAN | {"hypotheses": [found | {"where": {"amount": 40, "side": "right"}}]}, table)["found"]
    assert right["note"].eq("").all() and right["p_family"].notna().all()


def test_other_rows_have_other_files_whatever_their_names_fold_to(run, scores, tmp_path):
    odd = ["A/B", "A-B", "A_B", "a_b", "x" * 300, "x" * 299 + "y", "=", "É", "E\u0301"]
    parts = [scores[scores["site"] == "mr"].assign(site=name.replace("=", "eq")) for name in odd]
    for place, part in enumerate(parts):
        part["dsc"] += place / 1000
    claim = PLAN["hypotheses"][1]
    again = claim | {"name": "again", "method": "wilcoxon"}
    found = run(PLAN | {"hypotheses": [claim, again]}, pd.concat(parts))
    for name in ("simple", "again"):
        assert found[name].groupby("site")["rows"].nunique().eq(1).all()
    rows = found["simple"].drop_duplicates("site")["rows"].tolist()
    # Hypotheses of the same rows share a file; no two files would be one on a disk that folds capitals.
    assert rows == found["again"].drop_duplicates("site")["rows"].tolist()
    assert len({unicodedata.normalize("NFC", name).casefold() for name in rows}) == len(odd)
    for name, part in zip(rows, parts, strict=True):
        behind = pd.read_csv(tmp_path / "out" / name)
        np.testing.assert_allclose(sorted(behind["dsc"]), sorted(part["dsc"]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"levels": {"site": [["mr"], ["ct"]]}}, r"levels.site: \['mr'\] is neither text nor a number"),
        ({"levels": {"site": [None]}}, "levels.site: None is neither"),
        ({"levels": {"site": [float("nan")]}}, "levels.site: nan is neither"),
        ({"levels": {"site": ["mr", "mr", "ct"]}}, "levels.site: 'mr' is given twice"),
        ({"levels": {"site": []}}, "levels.site: List should have at least 1"),
        ({"levels": {"site": "mr"}}, "levels.site: Input should be a valid list"),
        ({"hypotheses": [PLAN["hypotheses"][4] | {"where": {"site": {"a": 1}}}]}, "where.site: .* is neither text"),
        ({"hypotheses": [PLAN["hypotheses"][4] | {"where": {"site": None}}]}, "where.site: None is neither"),
        ({"hypotheses": [PLAN["hypotheses"][4] | {"where": ["site"]}]}, "where: Input should be a valid dictionary"),
        (
            {"hypotheses": [PLAN["hypotheses"][5] | {"where": {"amount": "40"}}]},
            "no row has '40'; there are 120, 40, 80",
        ),
        ({"hypotheses": [PLAN["hypotheses"][1] | {"compare": [["pure"]]}]}, r"compare: \['pure'\] is neither"),
        (
            {"hypotheses": [PLAN["hypotheses"][1], PLAN["hypotheses"][2] | {"name": "SIMPLE"}]},
            "SIMPLE, simple given twice",
        ),
        ({"hypotheses": [PLAN["hypotheses"][1] | {"name": "x" * 101}]}, "at most 100 characters"),
    ],
)
def test_odd_levels_and_values_are_told(run, change, message):
    with pytest.raises(UserError, match=message):
        run(PLAN | change)


@pytest.mark.parametrize(
    ("place", "change", "message"),
    [
        (2, {"b": "mixed"}, "not-worse: 'strategy': mixed, mixed are to be compared"),
        (2, {"a": "mixd"}, "not-worse: 'strategy' has no level 'mixd'; it has pure, mixed"),
        (1, {"compare": ["mixed", "purr"]}, "simple: 'strategy' has no level 'purr'"),
    ],
)
def test_levels_to_be_compared_must_be_there(run, place, change, message):
    with pytest.raises(UserError, match=message):
        run(PLAN | {"hypotheses": [PLAN["hypotheses"][place] | change]})


ROWS = [
    {"name": "volumes", "test": "agreement", "reference": "v_ref", "predicted": "v", "each": ["site", "strategy"]},
    {"name": "size", "test": "size_dependence", "volume": "v_ref", "each": ["site", "strategy"]},
]


@pytest.mark.parametrize("plan", [PLAN, {k: v for k, v in PLAN.items() if k != "cluster"}], ids=["patients", "units"])
def test_a_unit_that_is_twice_in_a_cell_of_the_plan_does_not_count_twice(run, scores, plan):
    again = scores.head(1).assign(v=scores["v"] + 5, dsc=0.5)
    for name, rows in run(plan | {"hypotheses": ROWS}, pd.concat([scores, again])).items():
        twice = (rows["site"] == scores["site"][0]) & (rows["strategy"] == scores["strategy"][0])
        assert rows.loc[twice, "note"].str.contains("1 keys have more than one row").all(), name
        assert rows.loc[twice, "p_family"].isna().all() and rows.loc[~twice, "note"].eq("").all(), name


def test_rows_of_one_unit_are_no_independent_pairs(run, scores):
    alone = {k: v for k, v in PLAN.items() if k != "cluster"} | {"subject": ["patient"]}
    rows = scores.assign(patient=scores["site"] + scores["case"] + scores["side"])
    found = run(alone | {"hypotheses": ROWS}, rows)  # each has three amounts
    by_patient = run(alone | {"cluster": "patient", "hypotheses": ROWS}, rows)
    for name in ("volumes", "size"):
        columns = ["n", "p_family"] + (["ci_low", "ci_high"] if name == "volumes" else [])
        pd.testing.assert_frame_equal(found[name][columns], by_patient[name][columns])
    assert found["size"]["n"].eq(rows["patient"].nunique() / 2).all()


def test_a_plan_of_which_nothing_can_be_tested_fails(run, scores, tmp_path):
    run(PLAN | {"hypotheses": ROWS[1:]}, scores.assign(dsc=0.9))
    arguments = ["analyse", str(tmp_path / "scores.csv"), "--plan", str(tmp_path / "plan.yaml"), "--out"]
    done = CliRunner().invoke(app, [*arguments, str(tmp_path / "again")])
    assert isinstance(done.exception, UserError) and "Nothing could be tested" in str(done.exception)
    assert (tmp_path / "again/size.csv").is_file()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a plan has the keys"),
        ("- a\n- b", "a plan has the keys"),
        ("\0", "not YAML"),
        ("a: " + "[" * 5000, "not YAML"),
        ("title: 2020-13-45", "not YAML"),
        ("title: a\ntitle: b", "key 'title' is given twice"),
        ("title: x\nlevels: {a: [1], a: [2]}", "key 'a' is given twice"),
        ("title: &a [*a]", r"its aliases \(\*\) make it too long"),
        ("".join(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 9 if n else 'x'}]\n" for n in range(12)) + "title: *a11", "too long"),
        ("title: &a [[[[x]]]]\nlevels: {a: *a}", r"given: \[\[\[\.\.\.\]\]\]"),
        ("title: !!python/object/apply:os.mkdir [ran]", "could not determine a constructor"),
        ("title: !!python/name:os.system", "could not determine a constructor"),
    ],
)
def test_plans_that_are_none_are_refused_and_run_nothing(tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        read_plan(tmp_path / "plan.yaml")
    assert not (tmp_path / "ran").exists()
