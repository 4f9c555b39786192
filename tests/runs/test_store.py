"""The store is whole or absent, loses nothing of many writers, follows its folder, and is told when it is damaged."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from crossmod.job import UserError
from crossmod.runs.store import DATABASE, experiment, serve, uri

WRITER = """
import sys
from pathlib import Path
from crossmod.runs.training import TrainingRun
folder, number = Path(sys.argv[1]), sys.argv[2]
settings = {"tags": {"study": "s", "scale": "smoke"}, "set": f"set{number}", "fold": 0, "stage": "k",
            "stages": {"k": {}}, "seed": 0, "model": {}, "training": {}}
with TrainingRun(folder / "store.json", f"set{number}", settings, folder / f"run{number}") as run:
    for step in range(20):
        run.log({"step": step, "loss": step * 1.5})
"""


@pytest.fixture
def store(mlflow_store, tmp_path) -> Path:
    """A store with one run."""
    folder = shutil.copytree(mlflow_store, tmp_path / "mlflow")
    client, found = experiment(folder, "test")
    client.create_run(found)
    return folder


def test_parallel_writers_on_a_fresh_store(tmp_path):
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(n)]) for n in range(4)]
    assert [writer.wait(timeout=240) for writer in writers] == [0] * 4
    client = MlflowClient(uri(tmp_path))
    experiments = [e for e in client.search_experiments() if e.name != "Default"]
    assert [e.name for e in experiments] == ["s"]
    runs = client.search_runs([experiments[0].experiment_id])
    assert sorted(run.data.tags["set"] for run in runs) == ["set0", "set1", "set2", "set3"]
    for run in runs:
        history = client.get_metric_history(run.info.run_id, "train_loss")
        assert [point.value for point in sorted(history, key=lambda p: p.step)] == [1.5 * n for n in range(20)]


def test_making_the_store_twice_is_making_it_once(tmp_path):
    experiment(tmp_path, "s")
    first = (tmp_path / "store.json").read_bytes()
    experiment(tmp_path, "s")
    assert (tmp_path / "store.json").read_bytes() == first


# Makes a store, and dies by its own hand when a given number of tables is there.
KILLED = """
import os, signal, sqlite3, sys
from pathlib import Path
from sqlalchemy import event
from sqlalchemy.engine import Engine
from crossmod.runs.store import experiment

left = [int(sys.argv[2])]

@event.listens_for(Engine, "after_cursor_execute")
def die(connection, cursor, statement, *_):
    if statement.lstrip().upper().startswith(("CREATE", "ALTER", "INSERT", "UPDATE")):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

experiment(Path(sys.argv[1]), "s")
"""


@pytest.mark.parametrize("statement", [1, 40])
def test_killed_while_it_is_made_it_is_made_by_the_next(tmp_path, statement):
    folder = tmp_path / "mlflow"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(statement)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (folder / DATABASE).exists(), "whole or absent"
    client, found = experiment(folder, "s")
    assert client.get_experiment(found).name == "s"
    assert sorted(path.name for path in folder.iterdir()) == [".lock", DATABASE, "store.json"]


def test_what_an_older_version_left_half_made_is_set_aside(tmp_path, capsys):
    """It made the store in its place; killed there, every later command ended in "table already exists"."""
    with sqlite3.connect(tmp_path / DATABASE) as database:
        database.execute("CREATE TABLE experiments (experiment_id INTEGER PRIMARY KEY)")
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
    database.close()
    client, _ = experiment(tmp_path, "s")
    assert client.get_experiment_by_name("s") is not None
    assert (tmp_path / f"{DATABASE}.damaged-1").is_file()
    assert "is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["text", "middle"])
def test_a_damaged_store_is_set_aside_and_made_anew(store, capsys, damage):
    path = store / DATABASE
    content = path.read_bytes()
    size = len(content)
    path.write_bytes(
        {
            "text": b"no database at all, but text of some length" * 100,
            "middle": content[:4096] + b"\xff" * (size - 4096),
        }[damage]
    )
    broken = path.read_bytes()
    client, found = experiment(store, "test")
    assert client.search_runs([found]) == []
    assert (store / f"{DATABASE}.damaged-1").read_bytes() == broken
    said = capsys.readouterr().err
    assert said.count("warning:") == 1 and f"{DATABASE}.damaged-1" in said


def test_an_empty_file_is_no_store_yet(tmp_path):
    (tmp_path / DATABASE).touch()
    client, found = experiment(tmp_path, "s")
    assert client.get_experiment(found).name == "s"
    assert not list(tmp_path.glob("*.damaged*"))


def test_of_many_that_meet_a_damaged_store_one_makes_it_anew(tmp_path):
    (tmp_path / DATABASE).write_bytes(b"damaged" * 1000)
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(n)]) for n in range(3)]
    assert [writer.wait(timeout=240) for writer in writers] == [0] * 3
    client = MlflowClient(uri(tmp_path))
    found = client.get_experiment_by_name("s")
    assert len(client.search_runs([found.experiment_id])) == 3
    assert [path.name for path in tmp_path.glob("*.damaged*")] == [f"{DATABASE}.damaged-1"]


@pytest.mark.parametrize("how", ["moved", "copied"])
def test_a_moved_store_writes_into_its_new_place(store, tmp_path, how):
    client, found = experiment(store, "test")
    run = client.create_run(found).info.run_id
    first = store / "artifacts/test" / run / "artifacts/first.json"  # as an earlier process wrote it
    first.parent.mkdir(parents=True)
    first.write_text("{}")
    old = {path: path.stat().st_mtime_ns for path in store.rglob("*.json")}
    new = tmp_path / "other place" / "mlflow"
    (shutil.copytree if how == "copied" else shutil.move)(store, new)
    client, again = experiment(new, "test")
    client.log_dict(run, {"a": 2}, "second.json")
    later = client.create_run(again).info.run_id
    client.log_dict(later, {"a": 3}, "third.json")
    files = sorted(path.relative_to(new).as_posix() for path in new.rglob("artifacts/**/*.json"))
    assert files == sorted(
        f"artifacts/test/{of}/artifacts/{name}.json" for of, name in ((run, "first"), (run, "second"), (later, "third"))
    )
    left = {path: path.stat().st_mtime_ns for path in store.rglob("*.json")} if store.exists() else {}
    assert left == (old if how == "copied" else {})
    assert [item.path for item in client.list_artifacts(run)] == ["first.json", "second.json"]


def test_a_locked_store_is_told_soon(store, monkeypatch):
    monkeypatch.setattr("crossmod.runs.store.PATIENCE_S", 0.2)
    holder = sqlite3.connect(store / DATABASE, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    before = time.monotonic()
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        experiment(store, "test")
    assert time.monotonic() - before < 5
    holder.execute("ROLLBACK")
    holder.close()
    assert not list(store.glob("*.damaged*")), "a locked store is not a damaged one"


@pytest.mark.parametrize("trouble", ["folder", "file", "unwritable"])
def test_a_store_that_cannot_be_opened_is_told_at_once(tmp_path, trouble):
    """MLflow itself would try again for most of an hour."""
    folder = tmp_path / "mlflow"
    if trouble == "file":
        folder.write_text("no folder")
    else:
        folder.mkdir()
        if trouble == "folder":
            (folder / DATABASE).mkdir()
        elif os.geteuid() == 0:
            pytest.skip("root may write everywhere")
        else:
            folder.chmod(0o500)
    before = time.monotonic()
    with pytest.raises((sqlite3.Error, OSError)):
        experiment(folder, "s")
    assert time.monotonic() - before < 10


def test_no_store_no_ui(tmp_path):
    with pytest.raises(UserError, match="no such store"):
        serve(tmp_path, 5000)
