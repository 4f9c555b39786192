"""Many processes on a fresh store lose nothing and make no second experiment."""

import subprocess
import sys

import pytest
from mlflow import MlflowClient

from crossmod.job import Job, UserError
from crossmod.tracking import run_store
from crossmod.tracking.store import serve, uri

WRITER = """
import sys
from pathlib import Path
from crossmod.tracking.training import TrainingRun
folder, number = Path(sys.argv[1]), sys.argv[2]
arm = {"name": f"arm{number}", "strategy": "pure", "amount": 1, "subset": "A"}
settings = {"tags": {"study": "s", "scale": "smoke"}, "arm": arm, "stage": "k", "stages": {"k": {}}, "seed": 0,
            "model": {}, "training": {}}
with TrainingRun(folder / "store.json", f"arm{number}", settings, folder / f"run{number}") as run:
    for step in range(20):
        run.log({"step": step, "loss": step * 1.5})
"""


def test_parallel_writers_on_a_fresh_store(tmp_path):
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(n)]) for n in range(4)]
    assert [writer.wait(timeout=240) for writer in writers] == [0] * 4
    client = MlflowClient(uri(tmp_path))
    experiments = [e for e in client.search_experiments() if e.name != "Default"]
    assert [e.name for e in experiments] == ["s"]
    runs = client.search_runs([experiments[0].experiment_id])
    assert sorted(run.data.tags["arm"] for run in runs) == ["arm0", "arm1", "arm2", "arm3"]
    for run in runs:
        history = client.get_metric_history(run.info.run_id, "train_loss")
        assert [point.value for point in sorted(history, key=lambda p: p.step)] == [1.5 * n for n in range(20)]


def test_making_the_store_twice_is_making_it_once(tmp_path):
    job = Job("track.store", {}, {"store": str(tmp_path / "store.json")}, {"study": "s"})
    run_store(job)
    first = (tmp_path / "store.json").read_bytes()
    run_store(job)
    assert (tmp_path / "store.json").read_bytes() == first


def test_no_store_no_ui(tmp_path):
    with pytest.raises(UserError, match="no such store"):
        serve(tmp_path, 5000)
