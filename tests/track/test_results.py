"""What `track` adds to finished runs, with a store and without; a lost one is filled again from the results."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient

from crossmod import track
from crossmod.evaluate.scores import Asked
from crossmod.job import Job
from crossmod.runs.store import DATABASE, experiment, uri
from crossmod.runs.training import TrainingRun
from tests.patients import RENAL
from tests.runs.test_training import SETTINGS, as_another_process, damage, lock, lose

ROWS = [{"step": 10, "loss": 0.9, "learning_rate": 0.1}, {"step": 20, "loss": 0.5, "learning_rate": 0.05}]


@pytest.fixture
def job(mlflow_store, tmp_path, monkeypatch) -> Job:
    """Two sites scored by one training, and its run in the store."""
    folder = shutil.copytree(mlflow_store, tmp_path / "mlflow")
    with TrainingRun(folder / "store.json", "a k seed0", SETTINGS, tmp_path / "run_id") as run:
        for row in ROWS:
            run.log(row)
        run.finish(ROWS)
    as_another_process()
    train = tmp_path / "train"
    train.mkdir()
    (train / "run.json").write_text(json.dumps({"run_id": run.run_id, "cases": 1}))
    (train / "job.json").write_text(json.dumps({"settings": SETTINGS}))
    pd.DataFrame(ROWS).to_csv(train / "history.csv", index=False)
    scores = pd.DataFrame(
        {
            "case": ["001", "NA"],
            "patient": ["01", "None"],
            "side": ["both", "both"],
            "site": ["mr", "mr"],
            "target": ["kidney", "kidney"],
            "region": ["image", "image"],
            "dsc": [0.5, 0.7],
            "surface_dsc": [0.5, None],
            "volume_difference_ml": [1.0, 3.0],
            "simulated": [True, True],
            **{"arm": "a", "seed": 0, "modality": "MR", "unit": "pair", "tumour": False, "tumour_ml": 0.0},
        }
    ).reindex(columns=Asked.of(RENAL).columns)
    scores.to_csv(tmp_path / "mr.csv", index=False)

    def worst(rows, stage, predictions, cohorts, settings, pictures):
        assert stage == "kidney" and settings["units"] == RENAL["units"]
        assert sorted(rows["case"]) in ([], ["001", "NA"]), "ids are text"
        (pictures / "worst.png").write_bytes(b"picture")
        return [pictures / "worst.png"]

    monkeypatch.setattr("crossmod.track.results.worst_cases", worst)
    arm = {
        "arm": "a",
        "runs": {"kidney": [str(train / "run.json")]},
        "scores": [str(tmp_path / "mr.csv")],
        "predictions": [],
    }
    inputs = {"trainings": [arm], "cohorts": [], "store": str(folder / "store.json")}
    settings = {key: RENAL[key] for key in ("stages", "units", "targets")}
    settings["levels"] = {"a": {"strategy": "pure", "amount": 40}, "a+b": {"strategy": "pure", "amount": 80}}
    return Job("track", inputs, {"tracked": str(tmp_path / "track.json")}, settings)


METRICS = {
    "dsc/mr/kidney/image": 0.6,
    "surface_dsc/mr/kidney/image": 0.5,
    "volume_difference_ml/mr/kidney/image": 2.0,
}


def logged(job: Job) -> dict:
    return json.loads(Path(job.outputs["tracked"]).read_text())


def test_metrics_and_pictures_reach_the_run(job, tmp_path, capsys):
    track.run(job)
    ((run_id, told),) = logged(job).items()
    assert run_id == (tmp_path / "run_id").read_text()
    assert told["metrics"] == METRICS
    data = MlflowClient(uri(tmp_path / "mlflow")).get_run(run_id).data
    assert METRICS.items() <= data.metrics.items()
    assert list((tmp_path / "mlflow").rglob("worst_cases/worst.png"))
    assert "warning" not in capsys.readouterr().err


def test_a_training_that_arms_share_keeps_the_results_of_each(job, tmp_path):
    (arm,) = job.inputs["trainings"]
    scores = pd.read_csv(arm["scores"][0], dtype=str, keep_default_na=False)
    scores.assign(arm="a+b", dsc="0.25").to_csv(tmp_path / "other.csv", index=False)
    job.inputs["trainings"].append({**arm, "arm": "a+b", "scores": [str(tmp_path / "other.csv")]})
    track.run(job)
    ((run_id, told),) = logged(job).items()
    shared = {f"a/{name}": value for name, value in METRICS.items()}
    shared |= {f"a b/{name}": value for name, value in METRICS.items()} | {"a b/dsc/mr/kidney/image": 0.25}
    assert told["metrics"] == shared
    found = MlflowClient(uri(tmp_path / "mlflow")).get_run(run_id).data
    assert shared.items() <= found.metrics.items()
    assert found.tags["strategy"] == "pure" and "amount" not in found.tags, "tags are what both arms agree in"
    assert len(list((tmp_path / "mlflow").rglob("worst_cases/worst.png"))) == 2


def test_targets_belong_to_the_stage_they_declare_whatever_their_name(job):
    job.settings["targets"] = {"kidney": {"stage": "parenchyma", "unit": "image"}}
    track.run(job)
    assert [told["metrics"] for told in logged(job).values()] == [{}]


@pytest.mark.parametrize("trouble", [lose, damage])
def test_a_lost_store_is_filled_again_and_once(job, tmp_path, trouble):
    trouble(tmp_path / "mlflow")
    for _ in range(2):
        track.run(job)
    client, found = experiment(tmp_path / "mlflow", "test")
    (run,) = client.search_runs([found])
    assert list(logged(job)) == [run.info.run_id]
    assert METRICS.items() <= run.data.metrics.items()
    assert run.data.metrics["final_train_loss"] == 0.5
    assert [m.value for m in client.get_metric_history(run.info.run_id, "train_loss")] == [0.9, 0.5]
    assert run.data.tags["git_commit"] == "unknown", "the code of today did not train it"


@pytest.mark.parametrize("trouble", ["lock", "folder"])
def test_a_store_that_cannot_be_used_is_one_warning(job, tmp_path, capsys, monkeypatch, trouble):
    monkeypatch.setattr("crossmod.runs.store.PATIENCE_S", 0.2)
    if trouble == "lock":
        lock(tmp_path / "mlflow")
    else:
        (tmp_path / "mlflow" / DATABASE).unlink()
        (tmp_path / "mlflow" / DATABASE).mkdir()
    track.run(job)
    assert [told["metrics"] for told in logged(job).values()] == [METRICS]
    assert capsys.readouterr().err.count("warning: ") == 1


def test_a_training_that_went_without_a_store_gets_its_run(job, tmp_path):
    (tmp_path / "train/run.json").write_text(json.dumps({"run_id": "", "cases": 1}))
    lose(tmp_path / "mlflow")
    track.run(job)
    (run_id,) = logged(job)
    assert MlflowClient(uri(tmp_path / "mlflow")).get_run(run_id).info.status == "FINISHED"
