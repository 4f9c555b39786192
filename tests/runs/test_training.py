"""MLflow watches a training.

Whatever becomes of its store, the training ends with the same bytes and one warning.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from crossmod.runs import store
from crossmod.runs.store import DATABASE, experiment, uri
from crossmod.runs.training import TrainingRun

SETTINGS = {
    "tags": {"study": "test", "scale": "smoke", "strategy": "pure"},
    "set": "a",
    "fold": 0,
    "title": "a k seed0",
    "stage": "k",
    "stages": {"k": {"steps": 3}},
    "seed": 0,
    "model": {"channels": [1]},
    "training": {},
}


@pytest.fixture
def folder(mlflow_store, tmp_path) -> Path:
    return shutil.copytree(mlflow_store, tmp_path / "mlflow")


def watched(folder: Path, between=lambda step: None) -> TrainingRun:
    """A training of three points; something happens before each of them."""
    with TrainingRun(folder / "store.json", "training", SETTINGS, folder.parent / "run_id") as run:
        for step in range(3):
            between(step)
            run.log({"step": step, "loss": 1.0})
        run.finish([{"step": 2, "loss": 1.0}])
    return run


def as_another_process() -> None:
    """MLflow keeps its connections to files, whatever becomes of their names.

    What a test does next is another command.
    """
    for engine in SqlAlchemyStore._engine_map.values():
        engine.dispose()


def lose(folder: Path) -> None:
    shutil.rmtree(folder)


def damage(folder: Path) -> None:
    (folder / DATABASE).write_bytes(b"damaged" * 1000)


def lock(folder: Path) -> None:
    holder = sqlite3.connect(folder / DATABASE, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    HELD.append(holder)


def drop(folder: Path) -> None:
    with sqlite3.connect(folder / DATABASE) as database:
        database.execute("DROP TABLE metrics")
    database.close()


HELD: list[sqlite3.Connection] = []


@pytest.fixture(autouse=True)
def _released():
    yield
    while HELD:
        HELD.pop().close()


@pytest.mark.parametrize("trouble", [damage, lock, drop])
def test_trouble_in_the_middle_is_one_warning(folder, capsys, monkeypatch, trouble):
    monkeypatch.setattr("mlflow.store.db.utils.sql.text", _impatient(monkeypatch))
    run = watched(folder, lambda step: trouble(folder) if step == 1 else None)
    said = capsys.readouterr().err
    assert said.count("warning: training: MLflow's store") == 1
    assert "result tables do not need it" in said
    assert run.run_id, "the run began before"


def _impatient(monkeypatch):
    """MLflow waits 20 s for a lock; a test need not."""
    from sqlalchemy import text

    return lambda statement: text(statement.replace("20000", "200"))


@pytest.mark.parametrize("trouble", ["lock", "folder", "file", "newer"])
def test_a_store_that_cannot_be_used_at_all_is_one_warning(folder, capsys, monkeypatch, trouble):
    monkeypatch.setattr(store, "PATIENCE_S", 0.2)
    if trouble == "lock":
        lock(folder)
    elif trouble == "folder":
        (folder / DATABASE).unlink()
        (folder / DATABASE).mkdir()
    elif trouble == "file":
        shutil.rmtree(folder)
        folder.write_text("no folder")
    else:
        with sqlite3.connect(folder / DATABASE) as database:
            database.execute("UPDATE alembic_version SET version_num = 'of the future'")
        database.close()
    run = watched(folder)
    assert run.run_id == ""
    assert capsys.readouterr().err.count("warning: ") == 1
    assert not list(folder.glob("*.damaged*")) if folder.is_dir() else True


@pytest.mark.parametrize("trouble", [lose, damage])
def test_a_store_lost_before_is_made_anew(folder, capsys, trouble):
    watched(folder)
    as_another_process()
    trouble(folder)
    run = watched(folder)
    found = MlflowClient(uri(folder)).get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert found.data.metrics["final_train_loss"] == 1.0
    assert capsys.readouterr().err.count("warning: ") == (trouble is damage)


def test_an_interrupted_training_goes_on_with_its_run_in_a_moved_study(folder, tmp_path):
    first = watched(folder)
    code = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests_of_tracking import watched
print(watched(Path(sys.argv[1]) / "mlflow").run_id)
"""
    shutil.copy(__file__, tmp_path / "tests_of_tracking.py")
    new = tmp_path / "elsewhere"
    new.mkdir()
    shutil.move(folder, new / "mlflow")
    shutil.move(tmp_path / "run_id", new / "run_id")
    done = subprocess.run(
        [sys.executable, "-c", code, str(new), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ},
    )
    assert done.stdout.strip() == first.run_id
    assert not folder.exists(), "nothing is written into the old place"
    assert json.loads((new / f"mlflow/artifacts/test/{first.run_id}/artifacts/config.json").read_text()) == SETTINGS


def test_a_remembered_run_of_another_store_is_begun_anew(folder, tmp_path):
    (tmp_path / "run_id").write_bytes(b"\xff\xfe no id")
    assert watched(folder).run_id
    (tmp_path / "run_id").write_text("0" * 32)
    assert watched(folder).run_id != "0" * 32
    client, found = experiment(folder, "test")
    assert len(client.search_runs([found])) == 2
