"""The whole step on synthetic score files."""

import filecmp

import numpy as np
import pandas as pd
import pytest

from crossmod import analyse
from crossmod.analyse.tables import INCOMPLETE_COLUMNS
from crossmod.job import UserError

CASES = {"mr": 10, "ct": 6, "ct_external": 6}
FILES = [
    *("by_subset.csv", "dsc.csv", "gain_by_size.csv", "gain_by_tumour.csv", "incomplete.csv", "mixed_model.csv"),
    *("noninferiority.csv", "notes.json", "pairwise.csv", "ranks.csv", "record.json", "reference_error.csv"),
    *("rm_anova.csv", "rows", "savings.csv", "scores.csv", "size.csv", "subgroups.csv", "three_way.csv", "tumour.csv"),
    *("tumour_by_size.csv", "units.csv", "volumes.csv"),
]
TABLES = [name for name in FILES if name != "rows"]


def test_a_complete_study(study):
    rows = study.rows(CASES, seeds=(0, 1))
    analyse.run(study.job(rows))
    folder = study.folder / "analyse"
    assert sorted(path.name for path in folder.iterdir()) == FILES
    scores = study.table("scores")
    assert list(scores.columns) == list(rows.columns) and len(scores) == len(rows)
    assert scores["dsc"].sum() == pytest.approx(rows["dsc"].sum())
    assert len(study.table("rm_anova")) == 3 * 5 * 3
    assert len(study.table("pairwise")) == 3 * 5 * 3
    assert study.table("rm_anova")["F"].notna().all() and study.table("rm_anova")["note"].isna().all()
    assert len(study.table("dsc")) == 13 * 3 * 5 * 3
    assert list(study.table("incomplete").columns) == INCOMPLETE_COLUMNS and study.table("incomplete").empty
    notes = study.notes()
    assert notes["untested"] == [] and notes["skipped"] == [] and notes["dropped"] == 0
    assert notes["seeds"]["ct116"] == [0, 1] and len(notes["seeds"]) == 13
    assert "complementary" in notes["subsets"]["mr"] and "mean" in notes["subsets"]["ct"]
    assert notes["simulated"] == {"mr": True, "ct": True, "ct_external": True}


def test_same_input_same_bytes(study):
    job = study.job(study.rows({"mr": 6, "ct": 4}))
    analyse.run(job)
    first = study.folder / "first"
    (study.folder / "analyse").rename(first)
    analyse.run(job)
    names = sorted(str(path.relative_to(first)) for path in first.rglob("*.*") if path.is_file())
    same, different, failed = filecmp.cmpfiles(first, study.folder / "analyse", names, shallow=False)
    assert sorted(same) == names and not different and not failed
    assert set(TABLES) <= set(names)


def test_what_is_left_out_is_listed(study):
    rows = study.rows(CASES)
    gap = (rows.site == "mr") & (rows.case == "003") & (rows.arm == "ct116+mrB080") & (rows.target == "kidney")
    rows.loc[gap, "dsc"] = np.nan
    lost = rows.index[(rows.site == "ct") & (rows.arm == "ct116") & (rows.side == "left")][0]
    rows.loc[lost, "volume_predicted_ml"] = np.nan
    analyse.run(study.job(rows))
    incomplete = study.table("incomplete")
    assert [text.split(",")[0] for text in incomplete["test"]] == ["rm_anova", "volumes"]
    assert list(incomplete["subject"]) == ["mr/003/both", "ct/000/left"]
    assert study.notes()["dropped"] == 2


def test_a_tiny_study_is_written_with_reasons(study):
    analyse.run(study.job(study.rows({"mr": 2, "ct": 1, "ct_external": 2})))
    for name in ("rm_anova", "pairwise", "volumes"):
        assert study.table(name)["note"].notna().all(), name
    tables = {entry["table"] for entry in study.notes()["untested"]}
    assert tables == set(TABLES) - {
        *("dsc.csv", "incomplete.csv", "notes.json", "record.json", "reference_error.csv", "scores.csv", "units.csv"),
    }
    assert study.table("dsc")["mean"].notna().all()


def test_sites_and_targets_without_rows_are_skipped_and_noted(study):
    rows = study.rows({"mr": 6, "ct": 4})
    rows = rows[~((rows.site == "ct") & (rows.target != "kidney"))]
    analyse.run(study.job(rows))
    skipped = {(entry["site"], entry["target"]) for entry in study.notes()["skipped"]}
    assert skipped == {
        *(("ct", "parenchyma_with_tumour"), ("ct", "parenchyma_without_tumour"), ("ct_external", "kidney")),
        *(("ct_external", "parenchyma_with_tumour"), ("ct_external", "parenchyma_without_tumour")),
    }
    assert set(study.table("volumes")["site"]) == {"mr"}


def test_two_like_kidneys_of_a_patient_are_noted(study):
    rows = study.rows({"ct": 5})
    rows.loc[rows.side == "right", ["target", "tumour"]] = ["parenchyma_without_tumour", False]
    analyse.run(study.job(rows))
    anova = study.table("rm_anova").set_index("target").loc["parenchyma_without_tumour"]
    assert set(anova["n_subjects"]) == {5} and set(anova["n_units"]) == {10} and set(anova["n_patients"]) == {5}
    simple = study.table("pairwise").set_index("target").loc["parenchyma_without_tumour"]
    assert set(simple["n"]) == {10} and set(simple["method"]) == {"paired t, CR2"}
    model = study.table("mixed_model").set_index("target").loc["parenchyma_without_tumour"]
    assert model["variance_unit"].notna().all(), "kidneys lie within patients"
    assert any("10 units of 5 patients" in line for line in study.notes()["independence"])


def test_only_kidney_scores_of_one_arm_still_make_tables(study):
    rows = study.rows({"ct": 4})
    rows = rows[(rows.arm == "ct116") & (rows.target == "kidney")]
    analyse.run(study.job(rows))
    assert study.table("units").empty and study.table("volumes").empty
    assert not (study.folder / "analyse" / "rm_anova.csv").exists()
    assert len(study.notes()["arms_without_scores"]) == 12


def test_refused_scores_leave_the_former_tables_alone(study):
    rows = study.rows({"mr": 6, "ct": 4})
    rows = rows[rows.target == "kidney"]
    analyse.run(study.job(rows))
    before = (study.folder / "analyse" / "scores.csv").read_bytes()
    with pytest.raises(UserError, match="more than one row"):
        analyse.run(study.job(pd.concat([rows, rows.tail(1)])))
    assert (study.folder / "analyse" / "scores.csv").read_bytes() == before
    assert not list(study.folder.glob(".partial*"))
