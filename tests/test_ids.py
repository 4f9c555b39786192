"""Ids are text, from the user's table to the report: names that look like numbers or gaps come through every step."""

import json
from pathlib import Path

import pandas as pd
import pytest

from crossmod import analyse, cohort, evaluate, predict, prepare, split, track, train
from crossmod.analyse.scores import Plan, read_scores
from crossmod.cohort.table import read_cohort
from crossmod.design.arms import arms, published
from crossmod.design.compose import compose
from crossmod.job import Job, write_json
from crossmod.report.overlays import view
from crossmod.report.results import Results
from crossmod.tables import read_own

CASES = ["001", "NA", "None", "1e5", "TRUE", "1.0"]
PATIENTS = ["007", "NA", "nan", "None", "1.0", "1"]
ARMS = {
    "assist": {"cohort": "ct", "patients": 2},
    "graded": {"cohort": "own", "subsets": ["A", "B"], "amounts": [3]},
}
SITE = {"name": "mr", "cohort": "own", "part": "other_half"}
STAGES = ("kidney", "parenchyma")


@pytest.fixture(scope="module")
def study() -> dict:
    return compose(["scale=smoke", "model.channels=[8,8,16,16]", "training.checkpoint_every=2"])


@pytest.fixture(scope="module")
def stages(study) -> dict:
    spacing = {"kidney": [8.0, 8.0, 8.0], "parenchyma": [5.0, 5.0, 5.0]}
    return {
        name: study["stages"][name] | {"steps": 2, "patch": [16, 16, 16], "spacing_mm": spacing[name]}
        for name in STAGES
    }


@pytest.fixture(scope="module")
def records() -> list[dict]:
    return [arm.record() for arm in arms({"arms": ARMS}) if arm.strategy == "pure"]


@pytest.fixture(scope="module")
def hospital(tmp_path_factory) -> Path:
    """Where the user's scans and table lie."""
    return tmp_path_factory.mktemp("hospital")


@pytest.fixture(scope="module")
def results(tiny: Path, hospital: Path, tmp_path_factory, study, stages, records) -> Path:
    """The results of a small study of six scans, whose cases and patients have the names above."""
    folder = tmp_path_factory.mktemp("ids")
    own(tiny / "cohort/mr", hospital, folder)
    normalisation = study["normalisation"]
    settings = {"stages": stages, "normalisation": normalisation}
    prepare.run(job("prepare", {"cohort": folder / "cohort/own"}, {"folder": folder / "prepare/own"}, settings))
    place(tiny / "cohort/ct", folder, records)
    for record in records:
        for stage in STAGES:
            teach(folder, record, stage, stages, study)
        score(folder, record, stages, study)
    tracked(folder, records)
    return folder


def job(step: str, inputs: dict, outputs: dict, settings: dict) -> Job:
    return Job(step, *json.loads(json.dumps([inputs, outputs, settings], default=str)))


def own(source: Path, hospital: Path, folder: Path) -> None:
    """A user's table of six simulated scans under other names, and the cohort made of it, checked."""
    drawn = read_cohort(source)
    rows = []
    for name, patient, row in zip(CASES, PATIENTS, drawn.cases.to_dict("records"), strict=True):
        for kind in ("image", "label"):
            (hospital / f"{name}.{kind}.nii.gz").hardlink_to(source / row[kind])
        rows.append((name, patient, "MR", f"{name}.image.nii.gz", f"{name}.label.nii.gz", f"MRN-{name}"))
    table = hospital / "cases.csv"
    columns = ["case", "patient", "modality", "image", "label", "hospital_number"]
    pd.DataFrame(rows, columns=columns).to_csv(table, index=False)
    settings = {
        "name": "own",
        "source": "folder",
        "table": table,
        "labels": {str(k): v for k, v in drawn.labels.items()},
    }
    cohort.run(job("cohort", {}, {"folder": folder / "cohort/own"}, settings))
    cohort.run_check(
        job("cohort.check", {"cohorts": [folder / "cohort/own"]}, {"check": folder / "cohort/check.csv"}, {})
    )


def place(assist: Path, folder: Path, records: list[dict]) -> None:
    """Draw who trains and who validates, and audit it."""
    cohorts = [assist, folder / "cohort/own"]
    training, site = folder / "split/training.json", folder / "split/mr.json"
    split.run(job("split", {"cohorts": cohorts}, {"training": training}, {"arms": ARMS, "seed": 0}))
    inputs = {"training": training, "cohort": folder / "cohort/own"}
    split.run_site(job("split.site", inputs, {"site": site}, {"site": SITE, "arms": records}))
    outputs = {"splits": folder / "split/splits.json", "audit": folder / "split/audit.csv"}
    inputs = {"training": training, "sites": {"mr": site}, "cohorts": cohorts}
    split.run_audit(job("split.audit", inputs, outputs, {"arms": records}))


def trained(folder: Path, record: dict, stage: str) -> Path:
    return folder / "train" / record["name"] / stage / "seed0"


def teach(folder: Path, record: dict, stage: str, stages: dict, study: dict) -> None:
    inputs = {"training": folder / "split/training.json", "prepared": [folder / "prepare/own"]}
    place = trained(folder, record, stage)
    outputs = {"weights": place / "model.safetensors", "history": place / "history.csv", "run": place / "run.json"}
    settings = {"arm": record, "stage": stage, "stages": {stage: stages[stage]}, "seed": 0}
    settings |= {"tags": {"study": "ids", "scale": "smoke"}, **{key: study[key] for key in ("model", "training")}}
    inputs["store"] = folder / "mlflow/store.json"
    training = job("train", inputs, outputs | {"resume": folder / "resume"}, settings)
    train.run(training)
    write_json(place / "job.json", json.loads(training.to_json()))  # as the command line leaves it


def score(folder: Path, record: dict, stages: dict, study: dict) -> None:
    """Predict and evaluate the half an arm did not train on."""
    name, cohorts = record["name"], [folder / "cohort/own"]
    predicted = folder / "predict" / name / "seed0/mr"
    inputs = {"weights": {stage: trained(folder, record, stage) / "model.safetensors" for stage in STAGES}}
    inputs |= {"site": folder / "split/mr.json", "cohorts": cohorts, "prepared": [folder / "prepare/own"]}
    settings = {"arm": record, "site": "mr", "cascade": list(STAGES), "precision": study["training"]["precision"]}
    settings |= {"seed": 0, "threads": 1, "stages": stages, **{k: study[k] for k in ("model", "normalisation")}}
    predict.run(job("predict", inputs, {"folder": predicted}, settings))
    settings = {"arm": record, "seed": 0, "site": "mr", "targets": study["targets"], "surface_tolerance_mm": 2.0}
    outputs = {"scores": folder / "evaluate" / name / "seed0/mr.csv"}
    evaluate.run(job("evaluate", {"predictions": predicted, "cohorts": cohorts}, outputs, settings))


def tracked(folder: Path, records: list[dict]) -> None:
    trainings = [
        {
            "runs": {stage: trained(folder, record, stage) / "run.json" for stage in STAGES},
            "scores": [folder / "evaluate" / record["name"] / "seed0/mr.csv"],
            "predictions": [folder / "predict" / record["name"] / "seed0/mr"],
        }
        for record in records
    ]
    inputs = {"trainings": trainings, "cohorts": [folder / "cohort/own"], "store": folder / "mlflow/store.json"}
    track.run(job("track", inputs, {"tracked": folder / "tracked.json"}, {}))


def scores_of(folder: Path) -> list[str]:
    return sorted(map(str, folder.glob("evaluate/*/seed0/mr.csv")))


def analysis(records: list[dict], study: dict) -> dict:
    settings = {"arms": records, "sites": [{"name": "mr", "title": "MR"}], "targets": study["targets"], "seed": 0}
    return settings | study["analyse"] | {"hypotheses": {}}


def test_names_come_through_the_files_of_every_step(results):
    cases = read_own(results / "cohort/own/cases.csv")
    assert cases["case"].tolist() == CASES
    # NA, None and nan are three patients; 1 and 1.0 are two.
    assert cases["patient"].tolist() == [f"own-P{number:04d}" for number in range(1, 7)]
    assert read_own(results / "cohort/own/facts.csv")["case"].tolist() == CASES
    assert "error" not in set(read_own(results / "cohort/own/faults.csv")["severity"])
    assert sorted(set(read_own(results / "prepare/own/index.csv")["case"])) == sorted(CASES)
    splits = json.loads((results / "split/splits.json").read_text())
    assert sorted(case for half in splits["subsets"].values() for case in half) == sorted(CASES)
    predicted = pd.concat([read_own(path) for path in results.glob("predict/*/seed0/mr/index.csv")])
    assert sorted(predicted["case"]) == sorted(CASES)
    scored = pd.concat([read_own(path) for path in scores_of(results)])
    assert sorted(scored["case"].unique()) == sorted(CASES)
    assert dict(zip(scored["case"], scored["patient"], strict=True)) == dict(
        zip(cases["case"], cases["patient"], strict=True)
    )


def test_runs_are_tracked_with_scores_and_pictures(results):
    from mlflow import MlflowClient

    from crossmod.runs.store import uri

    tracked = json.loads((results / "tracked.json").read_text())
    assert len(tracked) == 4
    assert any(found["metrics"] for found in tracked.values())
    client = MlflowClient(uri(results / "mlflow"))
    assert any(client.list_artifacts(run, "worst_cases") for run in tracked)


def test_the_analysis_and_the_report_find_them(results, records, study):
    settings = analysis(records, study)
    scores = read_scores(scores_of(results), Plan.of(settings))
    assert sorted(scores["case"].unique()) == sorted(CASES)
    analyse.run(job("analyse", {"scores": scores_of(results)}, {"folder": results / "analyse"}, settings))
    read = Results(results).table("scores")
    assert sorted(read["case"].unique()) == sorted(CASES)
    assert view(Results(results), read[(read["target"] == "kidney") & (read["case"] == "NA")].iloc[0]).reference.any()
    every = "".join(path.read_text() for path in (results / "analyse").rglob("*.csv"))
    assert ",NA," in every and ",None," in every and ",001," in every and ",1e5," in every


def test_no_number_of_a_patient_and_no_path_of_the_machine_is_in_the_results(results, hospital):
    files = [path for path in results.rglob("*") if path.is_file() and path.name != "private.json"]
    assert len(files) > 40 and any(path.suffix == ".db" for path in files)
    for path in files:
        assert b"MRN-" not in path.read_bytes(), path
        assert str(hospital).encode() not in path.read_bytes(), path
    private = json.loads((results / "cohort/own/private.json").read_text())
    assert private == {"root": str(hospital), "table": str(hospital / "cases.csv")}
    assert published({"cohorts": {"own": {"source": "folder", **private}}}) == {
        "cohorts": {"own": {"source": "folder", "root": None, "table": None}}
    }
