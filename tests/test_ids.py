"""Ids are text, from the user's table to the report: names that look like numbers or gaps come through every step."""

import json
from pathlib import Path

import pandas as pd
import pytest

from crossmod import analyse, cohort, evaluate, predict, prepare, split, track, train
from crossmod.analyse.design import Design
from crossmod.analyse.scores import read_scores
from crossmod.cohort.table import Cohort, read_cohort
from crossmod.design import splits
from crossmod.design.arms import Arm, arms, factors_of, published, trainings
from crossmod.design.compose import compose, validate
from crossmod.design.targets import targets_of
from crossmod.design.trainings import Training
from crossmod.job import Job
from crossmod.report.overlays import view
from crossmod.report.results import Results
from crossmod.tables import read_own

CASES = ["001", "NA", "None", "1e5", "TRUE", "1.0"]
PATIENTS = ["007", "NA", "nan", "None", "1.0", "1"]


@pytest.fixture(scope="module")
def hospital(tmp_path_factory) -> Path:
    """Where the user's scans and table lie."""
    return tmp_path_factory.mktemp("hospital")


@pytest.fixture(scope="module")
def drawn(tiny: Path) -> Cohort:
    """The six simulated scans that the user's table lists under other names."""
    return read_cohort(tiny / "cohort/mr")


@pytest.fixture(scope="module")
def study(hospital: Path, drawn: Cohort) -> dict:
    """The renal study of six scans of a table, trained without CT alone, on three scans of one half or the other."""
    spacing = {"kidney": [8.0, 8.0, 8.0], "parenchyma": [5.0, 5.0, 5.0]}
    composed = compose(["scale=smoke", "model.channels=[8,8,16,16]", "training.checkpoint_every=2"])
    assist = composed["cohorts"]["ct"]
    own = {"source": "folder", "title": "own MR", "table": str(hospital / "cases.csv"), "labels": drawn.labels}
    stages = {
        name: stage | {"steps": 2, "patch": [16, 16, 16], "spacing_mm": spacing[name]}
        for name, stage in composed["stages"].items()
    }
    pools = {"ct": {"cohort": "ct", "patients": 2}, "mr": {"cohort": "own", "subsets": ["A", "B"], "amounts": [3]}}
    changed = {
        "cohorts": {"ct": assist | {"cases": 4}, "own": own},
        "pools": pools,
        "arms": [{"strategy": "pure"}],
        "sites": {"mr": {"cohort": "own", "title": "MR", "part": "other_half"}},
        "stages": stages,
        "analyse": composed["analyse"] | {"hypotheses": {}, "contrast": None, "dose": None},
    }
    return validate(composed | changed)


@pytest.fixture(scope="module")
def results(tiny: Path, hospital: Path, drawn: Cohort, study: dict, tmp_path_factory) -> Path:
    """The results of that study, whose cases and patients have the names above."""
    folder = tmp_path_factory.mktemp("ids")
    own(drawn, hospital, folder, study)
    settings = {key: study[key] for key in ("stages", "normalisation")}
    prepare.run(job("prepare", {"cohort": folder / "cohort/own"}, {"folder": folder / "prepare/own"}, settings))
    place(tiny / "cohort/ct", folder, study)
    for training in trainings(study).values():
        teach(folder, training, study)
    for arm in arms(study):
        score(folder, arm, study)
    tracked(folder, study)
    return folder


def job(step: str, inputs: dict, outputs: dict, settings: dict) -> Job:
    return Job(step, *json.loads(json.dumps([inputs, outputs, settings], default=str)))


def own(drawn: Cohort, hospital: Path, folder: Path, study: dict) -> None:
    """A user's table of the scans under other names, and the cohort made of it, checked."""
    rows = []
    for name, patient, row in zip(CASES, PATIENTS, drawn.cases.to_dict("records"), strict=True):
        for kind in ("image", "label"):
            (hospital / f"{name}.{kind}.nii.gz").hardlink_to(drawn.root / row[kind])
        rows.append((name, patient, "MR", f"{name}.image.nii.gz", f"{name}.label.nii.gz", f"MRN-{name}"))
    columns = ["case", "patient", "modality", "image", "label", "hospital_number"]
    pd.DataFrame(rows, columns=columns).to_csv(hospital / "cases.csv", index=False)
    settings = {key: value for key, value in study["cohorts"]["own"].items() if value is not None and key != "title"}
    cohort.run(job("cohort", {}, {"folder": folder / "cohort/own"}, {"name": "own", **settings}))
    cohort.run_check(
        job("cohort.check", {"cohorts": [folder / "cohort/own"]}, {"check": folder / "cohort/check.csv"}, {})
    )


def place(assist: Path, folder: Path, study: dict) -> None:
    """Draw who trains and who validates, and audit it."""
    cohorts = [assist, folder / "cohort/own"]
    training, site = folder / "split/training.json", folder / "split/mr.json"
    split.run(job("split", {"cohorts": cohorts}, {"training": training}, splits.split_settings(study)))
    inputs = {"training": training, "cohort": folder / "cohort/own"}
    split.run_site(job("split.site", inputs, {"site": site}, splits.site_settings(study, "mr")))
    outputs = {"splits": folder / "split/splits.json", "audit": folder / "split/audit.csv"}
    inputs = {"training": training, "sites": {"mr": site}, "cohorts": cohorts}
    split.run_audit(job("split.audit", inputs, outputs, splits.audit_settings(study)))


def trained(folder: Path, training: Training) -> Path:
    return folder / "train" / training.name / "seed0"


def teach(folder: Path, training: Training, study: dict) -> None:
    inputs = {"training": folder / "split/training.json", "prepared": [folder / "prepare/own"], "start": None}
    inputs["store"] = folder / "mlflow/store.json"
    place = trained(folder, training)
    outputs = {"weights": place / "model.safetensors", "history": place / "history.csv", "run": place / "run.json"}
    settings = {"set": training.set.name, "fold": training.fold, "stage": training.stage, "seed": 0, "derived": []}
    settings |= {"stages": {training.stage: study["stages"][training.stage]}, "title": f"{training.name} seed0"}
    settings |= {"tags": {"study": "ids", "scale": "smoke"}, "model": training.model, "training": training.settings}
    settings["normalisation"] = study["normalisation"]
    described = job("train", inputs, outputs | {"resume": folder / "resume"}, settings)
    train.run(described)
    described.save(place / "job.json")  # as the command line leaves it


def score(folder: Path, arm: Arm, study: dict) -> None:
    """Predict and evaluate the half an arm did not train on."""
    cohorts, predicted = [folder / "cohort/own"], folder / "predict" / arm.name / "seed0/mr"
    weights = {
        stage: [trained(folder, training) / "model.safetensors" for training in folds]
        for stage, folds in arm.trainings.items()
    }
    inputs = {"weights": weights, "site": folder / "split/mr.json", "cohorts": cohorts}
    inputs["prepared"] = [folder / "prepare/own"]
    settings = {"arm": arm.name, "site": "mr", "cascade": arm.stages, "models": arm.models, "treat": arm.treat}
    settings |= {
        "segmenter": arm.segmenter,
        "seed": 0,
        **{key: study["training"][key] for key in ("precision", "threads")},
    }
    settings |= {key: study[key] for key in ("stages", "normalisation", "normalise_as")}
    predict.run(job("predict", inputs, {"folder": predicted}, settings))
    settings = {"arm": arm.name, "seed": 0, "site": "mr", "targets": targets_of(study)}
    settings |= {key: study[key] for key in ("stages", "units", "metrics", "surface_tolerance_mm")}
    outputs = {"scores": folder / "evaluate" / arm.name / "seed0/mr.csv"}
    evaluate.run(job("evaluate", {"predictions": predicted, "cohorts": cohorts}, outputs, settings))


def tracked(folder: Path, study: dict) -> None:
    followed = [
        {
            "arm": arm.name,
            "runs": {
                stage: [trained(folder, each) / "run.json" for each in folds] for stage, folds in arm.trainings.items()
            },
            "scores": [folder / "evaluate" / arm.name / "seed0/mr.csv"],
            "predictions": [folder / "predict" / arm.name / "seed0/mr"],
        }
        for arm in arms(study)
    ]
    inputs = {"trainings": followed, "cohorts": [folder / "cohort/own"], "store": folder / "mlflow/store.json"}
    settings = {"stages": study["stages"], "units": study["units"], "targets": targets_of(study)}
    settings["levels"] = {arm.name: arm.levels for arm in arms(study)}
    track.run(job("track", inputs, {"tracked": folder / "tracked.json"}, settings))


def scores_of(folder: Path) -> list[str]:
    return sorted(map(str, folder.glob("evaluate/*/seed0/mr.csv")))


def analysis(study: dict) -> dict:
    """The settings of the analyse step."""
    compared = arms(study)
    settings = {"arms": [arm.record() for arm in compared], "factors": factors_of(compared), "seed": 0, "seeds": [0]}
    settings |= {"sites": [{"name": "mr", "title": "MR"}], "targets": list(targets_of(study))}
    settings |= {key: study[key] for key in ("units", "metrics")}
    return settings | {key: value for key, value in study["analyse"].items() if key != "good_dsc"}


def test_names_come_through_the_files_of_every_step(results):
    cases = read_own(results / "cohort/own/cases.csv")
    assert cases["case"].tolist() == CASES
    # NA, None and nan are three patients; 1 and 1.0 are two.
    assert cases["patient"].tolist() == [f"own-P{number:04d}" for number in range(1, 7)]
    assert read_own(results / "cohort/own/facts.csv")["case"].tolist() == CASES
    assert "error" not in set(read_own(results / "cohort/own/faults.csv")["severity"])
    assert sorted(set(read_own(results / "prepare/own/index.csv")["case"])) == sorted(CASES)
    drawn = json.loads((results / "split/splits.json").read_text())
    assert sorted(case for half in drawn["parts"]["mr"].values() for case in half) == sorted(CASES)
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


def test_the_analysis_and_the_report_find_them(results, study):
    settings = analysis(study)
    scores = read_scores(scores_of(results), Design.of(settings))
    assert sorted(scores["case"].unique()) == sorted(CASES)
    analyse.run(job("analyse", {"scores": scores_of(results)}, {"folder": results / "analyse"}, settings))
    reported = Results(results, study)
    read = reported.table("scores")
    assert sorted(read["case"].unique()) == sorted(CASES)
    assert view(reported, read[(read["target"] == "kidney") & (read["case"] == "NA")].iloc[0]).reference.any()
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
