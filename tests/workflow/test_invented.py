"""Invented studies, each from `snakemake --config study=...` to a page.

The grammar carries what no step knows by name.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from .conftest import Project, copied

pytestmark = pytest.mark.study


@pytest.fixture(scope="module")
def finished(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Name → results of a finished invented study, each run once."""
    project = invented(root, tmp_path_factory.mktemp("invented") / "project")

    def run(name: str) -> Path:
        results = project.folder / "results" / name / "smoke"
        if not (results / "report/index.html").is_file():
            project.snakemake("--config", f"study={name}", "scale=smoke")
        return results

    return run


def invented(root: Path, folder: Path) -> Project:
    """The project with the invented studies in its conf, and the program that one of them calls."""
    project = copied(root, folder)
    shutil.copytree(root / "tests/studies", folder / "tests/studies")
    shutil.copytree(root / "tests/studies/conf", folder / "conf", dirs_exist_ok=True)
    return project


def rows(results: Path, arm: str, site: str) -> pd.DataFrame:
    return pd.read_csv(results / f"evaluate/{arm}/seed0/{site}.csv")


def would_run(results: Path, *config: str) -> dict[str, int]:
    return Project(results.parents[2]).would_run(f"study={results.parent.name}", *config)


def weights(results: Path, arm: str, site: str) -> dict:
    return json.loads((results / f"predict/{arm}/seed0/{site}.job.json").read_text())["inputs"]["weights"]


def test_treatments_share_two_trainings_and_a_program_segments_beside_them(finished):
    results = finished("treatments")
    assert sorted(path.parent.parent.name for path in results.glob("train/*/*/seed0/run.json")) == ["kidney", "parts"]
    arms = [f"ct-kidney-{treatment}-own" for treatment in ("unprocessed", "inverted", "black")]
    assert all(weights(results, arm, "mr") == weights(results, arms[0], "mr") for arm in arms)
    masks = [(results / f"predict/{arm}/seed0/mr/mr-0001.kidney.nii.gz").read_bytes() for arm in arms]
    assert len(set(masks)) == 3, "a treatment that changes nothing is none"
    program = results / "predict/kidney-inverted-threshold/seed0/mr"
    assert json.loads((program / "known.json").read_text()) == {"kidney": ["kidney"]}
    assert set(rows(results, "kidney-inverted-threshold", "mr")["target"]) == {"kidney", "sick"}
    assert set(rows(results, "ct-parts-black-own", "mr")["target"]) == {"parenchyma", "mass"}
    tested = pd.read_csv(results / "analyse/black_or_not.csv")
    assert set(tested["target"]) >= {"kidney", "parenchyma", "mass"}
    over = pd.read_csv(results / "analyse/classes.csv")
    assert set(over["group"]) == {"parts"} and dict(zip(over["over"], over["n"], strict=False)) == {
        "classes": 2,
        "patients": 4,
    }
    assert set(pd.read_csv(results / "analyse/located.csv")["outcome"]) == {"correct", "incorrect", "not_detected"}
    found = pd.read_csv(results / "analyse/found.csv").set_index("site")
    assert len(found.loc["mr"]) == 3, "McNemar between any two of three treatments"
    assert "nothing to compare" in found.loc["scanned", "note"], "a site with one treatment has none"
    placed = json.loads((results / "split/splits.json").read_text())["arms"]
    assert [arm for arm in placed if "scanned" in placed[arm]["sites"]] == [
        "ct-kidney-unprocessed-own",
        "ct-parts-unprocessed-own",
    ]
    assert len(list(results.glob("evaluate/*/seed0/scanned.csv"))) == 2
    left_out = pd.read_csv(results / "analyse/incomplete.csv")
    assert "scanned" not in set(left_out.loc[left_out["reason"] == "not scored", "site"])
    page = (results / "report/index.html").read_text()
    assert "only intensities as scanned and tool our networks" in page
    assert not (results / "predict/kidney-unprocessed-absent").exists()
    assert "the program no-such-tool is not installed here, so there is nothing of kidney-unprocessed-absent" in page
    assert "Program from outside: python, version 1.0, licence none." in page
    assert all(word in page for word in ("Mean DSC over parts", "Found or not", "Small against large"))
    assert all(
        title in page for title in ("inverted on black", "as scanned", "Networks trained on CT, applied to changed MR")
    )


def test_several_classes_are_values_of_one_mask(finished):
    mask = np.asanyarray(
        nib.load(finished("treatments") / "predict/ct-parts-unprocessed-own/seed0/mr/mr-0001.parts.nii.gz").dataobj
    )
    assert set(np.unique(mask)) <= {0, 1, 2}


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("factors.treatment.black.title=else", {"notebook": 1, "report": 1, "number_audit": 1}),
        (
            "treatments.black=[{clip: [0, 3000]}, {invert: {}}]",
            {"predict": 2, "evaluate": 2, "analyse": 1, "track": 1, "notebook": 1, "report": 1, "number_audit": 1},
        ),
        (
            "factors.tool.threshold.segmenter.limit_s=100",
            {"predict": 2, "evaluate": 2, "analyse": 1, "track": 1, "notebook": 1, "report": 1, "number_audit": 1},
        ),
        (
            "stages.parts.steps=7",
            {
                "train": 1,
                "predict": 4,
                "evaluate": 4,
                "analyse": 1,
                "track": 1,
                "notebook": 1,
                "report": 1,
                "number_audit": 1,
            },
        ),
        (
            "targets.sick.where={tumour: false}",
            {"evaluate": 10, "analyse": 1, "track": 1, "notebook": 1, "report": 1, "number_audit": 1},
        ),
    ],
)
def test_a_change_reruns_what_depends_on_it(finished, override, expected):
    assert would_run(finished("treatments"), f"override={override}") == expected


def test_nothing_changed_runs_nothing(finished):
    for name in ("treatments", "teachers", "slices"):
        assert would_run(finished(name)) == {}


def test_a_teacher_labels_only_those_that_it_has_not_seen(finished):
    results = finished("teachers")
    training = json.loads((results / "split/training.json").read_text())["sets"]["ct"]
    placed = json.loads((results / "split/taught.json").read_text())["old"]["ct"]
    assert len(placed) == 4
    for case, folds in placed.items():
        (fold,) = folds
        assert case not in training[fold]["ct"]
    assert json.loads((results / "cohort/taught/cohort.json").read_text())["made_of"] == {
        "parenchyma": "teacher old, stage parenchyma",
        "tumour": "reference",
    }
    known = pd.read_csv(results / "split/audit.csv").set_index("arm")["taught_patients"]
    assert known["taught"] == 4 and known["ct"] == 0, "what the teacher knows of the tested patients is said"


def test_composed_labels_keep_the_reference_where_it_counts(finished):
    results = finished("teachers")
    cohort = json.loads((results / "cohort/ct/cohort.json").read_text())
    tumour = [int(value) for value, name in cohort["labels"].items() if name.endswith("tumour")]
    for path in sorted((results / "cohort/taught/labels").glob("*.nii.gz")):
        composed = np.asanyarray(nib.load(path).dataobj)
        reference = np.asanyarray(nib.load(results / "cohort/ct/labels" / path.name).dataobj)
        assert ((composed == 2) == np.isin(reference, tumour)).all()
        assert set(np.unique(composed)) <= {0, 1, 2}


def test_passes_are_turned_into_steps_and_lesions_are_rows(finished):
    results = finished("teachers")
    record = json.loads((results / "train/taught/parts/fold0/seed0/run.json").read_text())
    assert record["cases"] == 2 and record["steps"] == 3, "three passes over two cases in batches of two"
    lesions = rows(results, "taught", "ct").query("target == 'lesion'")
    assert set(lesions["unit"]) == {"lesion"} and lesions["part"].notna().all() and lesions["matched"].notna().all()
    assert set(rows(results, "ct", "ct")["target"]) == {"tumour", "lesion"}, "the stage of each arm is found by itself"


def test_a_thin_network_starts_from_one_that_restored_images(finished):
    results = finished("slices")
    record = json.loads((results / "train/mr3-restore-adamw/kidney/seed0/run.json").read_text())["start"]
    assert record["loaded"] and record["new"], "the last layer has another number of channels, so it is new"
    assert json.loads((results / "train/mr3-none-adamw/kidney/seed0/run.json").read_text())["start"] is None
    found = rows(results, "mr3-restore-adamw", "mr")
    assert set(found["unit"]) == {"image", "slice", "patch"}
    slices = found.query("unit == 'slice'")
    assert slices.groupby("case")["part"].nunique().min() > 1 and slices["accuracy"].between(0, 1).all()
    assert len(found.query("unit == 'patch'")) > len(slices)


def test_a_page_shows_pooled_scores_and_throughput_and_both_follow_from_their_files(finished):
    results = finished("slices")
    found = pd.read_csv(results / "analyse/pooled.csv").set_index(["arm", "target", "metric"]).sort_index()
    whole, cut = (found.loc[("mr3-restore-adamw", target)] for target in ("slice", "patch"))
    assert cut.loc["recall", "pooled"] == pytest.approx(whole.loc["recall", "pooled"]), "patches hold all that is there"
    assert cut.loc["precision", "pooled"] >= whole.loc["precision", "pooled"], "and not all that is invented"
    assert found["pooled"].dropna().between(0, 1).all() and found.index.get_level_values(1).nunique() == 3
    audited = pd.read_csv(results / "report/audit.csv", keep_default_na=False)
    assert audited["agrees"].all()
    places = audited["place"].str.extract(r"^(said-pooled|table-pooled|table-throughput)")[0]
    assert set(places.dropna()) >= {"said-pooled", "table-pooled", "table-throughput"}
    job = json.loads((results / "report/index.job.json").read_text())
    assert job["inputs"]["throughput"] == "results/slices/smoke/throughput.csv"
    assert would_run(results, "override=throughput.repeats=5") == {
        "throughput": 1,
        "report": 1,
        "number_audit": 1,
    }


def test_arms_of_a_block_with_fewer_seeds_are_trained_less_often_and_the_page_says_so(finished):
    results = finished("slices")
    seeds = json.loads((results / "analyse/notes.json").read_text())["seeds"]
    assert seeds == {"mr3-none-adamw": [0], "mr3-restore-adamw": [0], "mr3-none-sgd": [0, 1]}
    trained = {
        path.parent.relative_to(results / "train").as_posix() for path in results.glob("train/*/*/seed*/run.json")
    }
    assert trained == {
        "mr3-adamw/restore/seed0",
        "mr3-none-adamw/kidney/seed0",
        "mr3-restore-adamw/kidney/seed0",
        "mr3-none-sgd/kidney/seed0",
        "mr3-none-sgd/kidney/seed1",
    }
    page = (results / "report/index.html").read_text()
    assert "Differences from an arm that was trained once include the luck of that training." in page
    assert "2 of 3 arms were trained once" in page.replace("\n", " ")
