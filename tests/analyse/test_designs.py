"""Studies of other factors than training and amount: treatments, tools, components, planes, repetitions."""

import itertools

import numpy as np
import pandas as pd
import pytest

from crossmod.analyse.declared import faults_of_hypotheses
from crossmod.analyse.design import Design
from crossmod.analyse.factors import Factors
from crossmod.analyse.scores import read_scores
from crossmod.analyse.study import analyse
from crossmod.analyse.tables import comparable, crossed_sites, curves_of, gains_of, subgroups_of, units_of
from crossmod.job import Job, UserError

EFFECT = {"plain": 0.0, "black": 0.05, "inverted": 0.08, "rescaled": 0.02, "own": 0.0, "other": -0.03}
VOLUMES = ["volume_reference_ml", "volume_predicted_ml", "volume_difference_ml", "relative_difference_pct"]
CELL = ["site", "target", "region"]
PAIRWISE = {
    **{"name": "black", "test": "pairwise", "within": "treatment", "compare": ["black", "plain"], "at": "tool"},
    "each": CELL,
}


def arms_of(**levels: list) -> list[dict]:
    """One arm for every combination of levels."""
    crossed = [dict(zip(levels, each, strict=True)) for each in itertools.product(*levels.values())]
    return [{"name": "-".join(map(str, each.values())), "levels": each} for each in crossed]


def settings_of(arms: list[dict], **changes) -> dict:
    names = list(arms[0]["levels"])
    factors = [{"name": n, "levels": list(dict.fromkeys(arm["levels"][n] for arm in arms))} for n in names]
    base = {"arms": arms, "factors": factors, "sites": [{"name": "here"}], "targets": ["liver"], "metrics": ["dsc"]}
    return base | changes


def rows_of(arms: list[dict], units: list[dict], seeds=(0,), cases: int = 6) -> pd.DataFrame:
    """Rows of every arm: each unit of each case, with what is true of it."""
    rng = np.random.default_rng(3)
    rows = []
    for case, unit in itertools.product(range(cases), units):
        reference = unit.get("volume_reference_ml", 1000.0 + 50 * case)
        ease = rng.normal(0, 0.01)
        for arm, seed in itertools.product(arms, seeds):
            gain = sum(EFFECT.get(str(level), 0) for level in arm["levels"].values())
            predicted = reference + rng.normal(5, 2)
            ratio = 100 * (predicted - reference) / reference if reference else np.inf
            rows.append(
                {"arm": arm["name"], "seed": seed, "site": "here", "case": f"{case:03d}", "patient": f"P{case:03d}"}
                | {"modality": "CT", "simulated": True, "target": "liver", "region": "image", "unit": "image"}
                | {"side": "both", "dsc": 0.8 + ease + gain + rng.normal(0, 0.004)}
                | unit
                | dict(zip(VOLUMES, (reference, predicted, predicted - reference, ratio), strict=True))
            )
    return pd.DataFrame(rows)


def read(tmp_path, rows: pd.DataFrame, settings: dict) -> tuple[pd.DataFrame, Design]:
    """Scores and design as the step reads them: through a file, and through JSON that sorts its keys."""
    rows.to_csv(tmp_path / "scores.csv", index=False)
    design = Design.of(Job.from_json(Job("analyse", {}, {}, settings).to_json()).settings)
    return read_scores([tmp_path / "scores.csv"], design), design


@pytest.fixture
def treated() -> list[dict]:
    return arms_of(treatment=["plain", "inverted", "black", "rescaled"], tool=["own", "other"])


@pytest.fixture
def contrast() -> dict:
    return {"factor": "treatment", "a": "black", "b": "plain", "beside": ["inverted"]}


def test_treatments_and_tools_are_tested_without_any_pool(tmp_path, treated, contrast):
    hypotheses = {
        "units": [PAIRWISE, {"name": "all", "test": "rm_anova", "within": ["treatment", "tool"], "each": CELL}],
        "gains": [{"name": "gain_by_size", "test": "size_dependence", "volume": "volume_reference_ml", "each": CELL}],
        "subgroups": [PAIRWISE | {"name": "sizes", "each": [*CELL, "grouping", "group"]}],
    }
    settings = settings_of(treated, contrast=contrast, hypotheses=hypotheses)
    scores, design = read(tmp_path, rows_of(treated, [{}], cases=9), settings)
    found = analyse(scores, design)
    tables = {name: table for tested in found.tested.values() for name, table in tested.tables.items()}
    black = tables["black"]
    assert list(black["at"]) == ["own", "other"] and (black["note"] == "").all()
    assert black["mean_difference"].to_numpy() == pytest.approx([0.05, 0.05], abs=0.01)
    assert set(tables["all"]["effect"]) == {"treatment", "tool", "treatment:tool"} and tables["all"]["F"].notna().all()
    assert tables["gain_by_size"]["n"].tolist() == [9] and set(tables["sizes"]["grouping"]) == {"organ volume"}
    assert list(found.tables["dsc"].columns[:4]) == ["arm", "treatment", "tool", "site"]
    assert found.notes["subsets"] == {} and found.notes["reference_error"] == []
    assert tables["volumes"].empty, "an image is no unit whose volume is read"


def test_the_baseline_comes_first_and_levels_beside_the_contrast_last(tmp_path, treated, contrast):
    scores, design = read(tmp_path, rows_of(treated, [{}]), settings_of(treated, contrast=contrast))
    units = units_of(scores, design)
    one = units[units["case"] == "000"]
    assert list(zip(one["treatment"], one["tool"], strict=True)) == list(
        itertools.product(["plain", "black", "inverted"], ["own", "other"])
    )
    assert design.factors.order() == {"treatment": ["plain", "black", "inverted"], "tool": ["own", "other"]}
    gains = gains_of(units, design)
    wide = one.pivot(index="tool", columns="treatment", values="dsc")
    assert gains.loc[0, "gain"] == pytest.approx((wide["black"] - wide["plain"]).mean())


def test_a_gain_is_averaged_over_the_levels_that_both_sides_have(tmp_path, treated, contrast):
    arms = [arm for arm in treated if arm["name"] != "black-other"]
    scores, design = read(tmp_path, rows_of(arms, [{}]), settings_of(arms, contrast=contrast))
    units = units_of(scores, design)
    own = units[(units["tool"] == "own") & (units["case"] == "000")].set_index("treatment")["dsc"]
    assert gains_of(units, design).loc[0, "gain"] == pytest.approx(own["black"] - own["plain"])


def test_one_factor_and_no_contrast_are_enough(tmp_path):
    arms = arms_of(tool=["own", "other"])
    for contrast in (None, {"factor": "tool", "a": "other", "b": "own"}):
        scores, design = read(tmp_path, rows_of(arms, [{}]), settings_of(arms, contrast=contrast))
        units = units_of(scores, design)
        assert list(units["tool"]) == ["own", "other"] * 6 and units["dsc"].notna().all()
        assert crossed_sites(scores, design) == {}


def test_a_study_that_varies_nothing_is_summarised(tmp_path):
    arms = [{"name": "only", "levels": {}}]
    hypotheses = {"units": [{"name": "size", "test": "size_dependence", "volume": "volume_reference_ml"}]}
    scores, design = read(tmp_path, rows_of(arms, [{}]), settings_of(arms, hypotheses=hypotheses))
    found = analyse(scores, design)
    assert len(found.tables["units"]) == 6 and found.tables["dsc"]["n"].tolist() == [6]
    assert found.tested["units"].tables["size"]["n"].tolist() == [6]


LESIONS = {"lesion": {"structures": ["tumour"], "apart": "component", "facts": ["cyst"], "match": {"overlap": 0.1}}}


def lesion(part: int, cyst_ml: float) -> dict:
    unit = {"part": part, "unit": "lesion", "volume_reference_ml": 3.0 * part, "cyst": cyst_ml > 0, "cyst_ml": cyst_ml}
    return unit | {"matched": True}


def test_components_are_units_of_their_own(tmp_path):
    arms = arms_of(tool=["own", "other"])
    whole = {"target": "organ", "part": None, "cyst": None, "cyst_ml": np.nan, "matched": None}
    units = [whole, *(lesion(part, 0.5 * (part % 2)) for part in range(1, 12))]
    rows = rows_of(arms, units, seeds=(0, 1), cases=4).astype({"part": "Int64"})
    contrast = {"factor": "tool", "a": "other", "b": "own"}
    hypotheses = {"units": [{"name": "mixed", "test": "mixed_model", "fixed": ["tool"], "unit": "part", "each": CELL}]}
    settings = settings_of(
        arms, targets=["organ", "liver"], units=LESIONS, contrast=contrast, hypotheses=hypotheses, seeds=[0, 1]
    )
    scores, design = read(tmp_path, rows, settings)
    here = scores[(scores["arm"] == "own") & (scores["seed"] == 0) & (scores["case"] == "002")]
    assert list(here["subject"]) == ["here/002/both", *(f"here/002/both/{part}" for part in range(1, 12))]
    assert list(here["part"].astype(str)) == ["", *map(str, range(1, 12))], "2 comes before 10"
    found = analyse(scores, design)
    table = found.tables["units"]
    assert (
        len(table) == 4 * 12 * 2
        and table["dsc"].notna().all()
        and list(table.columns)[8:12]
        == [
            *("side", "part", "volume_reference_ml", "cyst_ml"),
        ]
    )
    groups = subgroups_of(table, design)
    assert set(groups["grouping"]) == {"organ volume", "cyst volume"}
    assert found.tables["scores"]["matched"].isin(["True", ""]).all(), "what is not asked for passes through"
    volumes = found.tested["volumes"].tables["volumes"]
    assert set(volumes["target"]) == {"liver"} and set(volumes["n_units"]) == {44} and set(volumes["n"]) == {88}
    assert volumes["note"].str.contains("no margin").all() and volumes["verdict"].eq("").all()
    assert found.notes["reference_error"][0].startswith("none: ellipsoid_ml is no metric")
    assert list(found.tables["reference_error"].columns)[4] == "n_lesions"
    assert next(iter(found.tested["volumes"].rows.values())).columns[-3:].tolist() == [
        *("part", "volume_reference_ml", "volume_predicted_ml"),
    ]
    assert any("44 units of 4 patients" in line for line in found.notes["independence"])
    model = found.tested["units"].tables["mixed"].query("target == 'liver'")
    assert model["variance_unit"].notna().all(), "lesions lie within patients"


def test_components_that_only_a_model_has_found_are_counted_and_no_units(tmp_path):
    arms = arms_of(tool=["own", "other"])
    false = lesion(9, 0.0) | {"volume_reference_ml": 0.0, "matched": False, "dsc": 0.0}
    rows = rows_of(arms, [lesion(1, 1.0), lesion(2, 0.0), false], seeds=(0, 1))
    rows = rows[~((rows["part"] == 9) & ((rows["arm"] == "own") | (rows["case"] > "003")))]
    cyst = (rows["part"] == 9) & (rows["seed"] == 1)
    rows.loc[cyst, ["cyst", "cyst_ml"]] = [True, 0.2]  # another false lesion in another seed
    missed = (rows["part"] == 2) & (rows["case"] == "001") & (rows["arm"] == "own")
    rows.loc[missed, ["matched", "dsc"]] = [False, 0.0]
    settings = settings_of(arms, units=LESIONS, contrast={"factor": "tool", "a": "other", "b": "own"}, seeds=[0, 1])
    scores, design = read(tmp_path, rows, settings)
    found = analyse(scores, design)
    assert set(found.tables["units"]["part"].astype(str)) == {"1", "2"} and found.tables["units"]["dsc"].notna().all()
    assert found.tables["incomplete"].empty and len(found.tables["scores"]) == len(rows)
    summary = found.tables["dsc"].set_index("arm")
    assert summary["n"].to_dict() == {"own": 12, "other": 12} and summary["n_undefined"].eq(0).all()
    assert summary["n_missed"].to_dict() == {"own": 2, "other": 0}
    assert summary["n_alone"].to_dict() == {"own": 0, "other": 8}
    assert set(found.tested["volumes"].tables["volumes"]["n_dropped"]) == {0}


def test_two_components_of_one_number_are_one_row_too_many(tmp_path):
    arms = arms_of(tool=["own", "other"])
    settings = settings_of(arms, units=LESIONS)
    with pytest.raises(UserError, match=r"keys .*/part\) have more than one row: own/0/here/000/both/liver/image/2"):
        read(tmp_path, rows_of(arms, [lesion(2, 1.0), lesion(2, 1.0)]), settings)
    with pytest.raises(UserError, match=r"no column 'part'"):
        read(tmp_path, rows_of(arms, [lesion(2, 1.0)]).drop(columns="part"), settings)
    with pytest.raises(UserError, match=r"part 'x'"):
        read(tmp_path, rows_of(arms, [lesion(2, 1.0)]).assign(part="x"), settings)
    unknown = rows_of(arms, [lesion(2, 1.0)]).assign(cyst=None)
    with pytest.raises(UserError, match=r"does not say whether its lesion has a cyst"):
        read(tmp_path, unknown, settings)


def test_files_of_other_columns_are_refused(tmp_path):
    arms = arms_of(tool=["own", "other"])
    rows = rows_of(arms, [{}])
    rows.to_csv(tmp_path / "a.csv", index=False)
    rows.assign(matched=1).to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(UserError, match=r"differ in the columns matched"):
        read_scores([tmp_path / "a.csv", tmp_path / "b.csv"], Design.of(settings_of(arms)))


def test_a_cascade_is_compared_with_one_network_end_to_end(tmp_path):
    arms = arms_of(labels=["single", "cascade"])
    rows = rows_of(arms, [{}])
    cascade = rows[rows["arm"] == "cascade"]
    rows.loc[cascade.index, "region"] = "predicted_box"
    rows = pd.concat([rows, cascade.assign(region="reference_box")])
    contrast = {"factor": "labels", "a": "cascade", "b": "single"}
    scores, design = read(tmp_path, rows, settings_of(arms, contrast=contrast))
    units = units_of(comparable(scores), design)
    assert set(units["region"]) == {"image", "reference_box"} and units["dsc"].notna().all()
    assert (units[units["region"] == "image"].groupby("subject").size() == 2).all()
    found = analyse(scores, design)
    assert set(found.tables["scores"]["region"]) == {"image", "predicted_box", "reference_box"}
    assert found.notes["not_segmented"] == [{"target": "liver", "region": "reference_box", "arms": ["single"]}]


def test_an_arm_that_does_not_segment_a_target_is_no_gap_there(tmp_path):
    arms = arms_of(task=["organs", "renal"], treatment=["plain", "black"])
    parts = [rows_of([arm], [{"target": arm["levels"]["task"]}]) for arm in arms]
    contrast = {"factor": "treatment", "a": "black", "b": "plain"}
    settings = settings_of(arms, targets=["organs", "renal"], contrast=contrast)
    scores, design = read(tmp_path, pd.concat(parts), settings)
    units = units_of(scores, design)
    assert (units["task"] == units["target"].astype(str)).all() and units["dsc"].notna().all() and len(units) == 6 * 4
    assert len(gains_of(units, design)) == 12
    missing = pd.concat(parts)[lambda t: t["arm"] != "renal-black"]
    scores, design = read(tmp_path, missing, settings)
    assert set(units_of(scores, design).query("arms == ''")["reason"]) == {"not scored"}, "but one without scores is"


def test_other_outcomes_than_the_first_metric(tmp_path, treated, contrast):
    rows = rows_of(treated, [{}])
    rows = rows.assign(f1=rows["dsc"] - 0.1, iou=rows["dsc"] / 2)
    second = PAIRWISE | {"name": "by_f1", "outcome": "f1"}
    settings = settings_of(
        treated, metrics=["dsc", "f1", "iou"], contrast=contrast, hypotheses={"units": [PAIRWISE, second]}
    )
    scores, design = read(tmp_path, rows, settings)
    found = analyse(scores, design)
    assert list(found.tables["units"].columns[-4:]) == ["dsc", "f1", "arms", "reason"]
    tables = found.tested["units"].tables
    for name in ("mean_difference", "n"):
        assert tables["by_f1"][name].to_numpy() == pytest.approx(tables["black"][name].to_numpy())
    assert set(found.tables["dsc"]["metric"]) == {"dsc", "f1", "iou"}


def graded(own: dict[str, list[str]]) -> tuple[list[dict], pd.DataFrame]:
    """Arms of three subsets, and rows of a site whose cases only the models of ``own`` subsets score."""
    arms = arms_of(training=["pure", "mixed"], amount=[10, 20], subset=["A", "B", "C"])
    arms.append({"name": "zero", "levels": {"training": "none", "amount": 0, "subset": "none"}})
    rows = rows_of(arms, [{}])
    subset = rows["arm"].str.split("-").str[-1]
    scored = [(s == "zero") or (s in own.get(c, "ABC")) for c, s in zip(rows["case"], subset, strict=True)]
    return arms, rows[scored]


ROLES = {
    "contrast": {"factor": "training", "a": "mixed", "b": "pure"},
    **{"replicate": "subset", "dose": {"factor": "amount", "zero": {"training": "none"}}},
}


def test_with_three_replicates_a_unit_of_the_pool_has_the_mean_of_the_others(tmp_path):
    own = {f"{case:03d}": [s for s in "ABC" if s != "ABC"[case % 3]] for case in range(6)}
    arms, rows = graded(own)
    scores, design = read(tmp_path, rows, settings_of(arms, **ROLES))
    assert crossed_sites(scores, design) == {"here": False}
    units = units_of(scores, design)
    assert units["dsc"].notna().all() and units.loc[0, "arms"] == "pure-10-B pure-10-C"
    notes = analyse(scores, design).notes
    assert notes["subsets"]["here"] == "each unit is scored by the models of the other subsets, which never saw it"
    curves = curves_of(units, scores, design)
    zero = curves[curves["amount"] == 0]
    assert list(zero["training"].unique()) == ["mixed"] and len(zero) == 6
    gap = rows[~((rows["case"] == "000") & (rows["arm"] == "mixed-20-B"))]
    scores, design = read(tmp_path, gap, settings_of(arms, **ROLES))
    units = units_of(scores, design)
    assert units.loc[units["dsc"].isna(), "reason"].tolist() == ["scored by the models of one subset only"]


def test_one_subset_repeats_nothing(tmp_path):
    arms, rows = graded({})
    arms = [arm for arm in arms if arm["levels"]["subset"] in ("A", "none")]
    scores, design = read(tmp_path, rows[rows["arm"].isin([arm["name"] for arm in arms])], settings_of(arms, **ROLES))
    assert crossed_sites(scores, design) == {} and analyse(scores, design).notes["subsets"] == {}
    assert units_of(scores, design)["dsc"].notna().all()


FACTORS = Factors(
    {"treatment": ["plain", "black"], "tool": ["own", "other"]}, {"factor": "tool", "a": "other", "b": "own"}
)


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        ("units", {"within": "tol"}, "h.units.0: mine: the table of units has no column 'tol'; did you mean 'tool'?"),
        ("units", {"compare": ["othr", "own"]}, "h.units.0: mine: no tool is called 'othr'; did you mean 'other'?"),
        ("units", {"at": "treatment", "within": "tool", "outcome": "f2"}, "no column 'f2'; did you mean 'f1'?"),
        ("units", {"each": ["part"]}, "h.units.0: mine: the table of units has no column 'part'"),
        ("gains", {"within": "side", "each": ["treatment"]}, "the table of gains has no column 'treatment'"),
        ("subgroups", {"each": ["grouping", "tumor_ml"]}, "no column 'tumor_ml'; did you mean 'tumour_ml'?"),
        ("replicates", {}, "h.replicates: there is no such table without analyse.replicate"),
        ("crossed", {}, "h.crossed: there is no such table without analyse.replicate"),
        ("curves", {}, "h.curves: there is no such table without analyse.dose"),
    ],
)
def test_a_hypothesis_that_its_table_cannot_answer_is_named_with_its_key(table, change, message):
    mine = {"name": "mine", "test": "pairwise", "within": "tool"} | change
    known = {"facts": ["tumour"], "metrics": ["dsc", "f1"], "parts": False, "key": "h"}
    (fault,) = faults_of_hypotheses({table: [mine]}, FACTORS, **known)
    assert message in fault
    good = {"name": "good", "test": "pairwise", "within": "tool", "compare": ["own", "other"], "outcome": "f1"}
    assert faults_of_hypotheses({"units": [good | {"each": ["tumour_ml"]}]}, FACTORS, **known) == []
