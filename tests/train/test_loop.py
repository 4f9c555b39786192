"""A training: learns, repeats to the bit, resumes as if nothing had happened, and is tracked."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from safetensors import safe_open

from crossmod import train
from crossmod.job import Job, UserError
from crossmod.runs.store import uri


def outputs(job: Job) -> tuple[bytes, bytes]:
    return Path(job.outputs["weights"]).read_bytes(), Path(job.outputs["history"]).read_bytes()


@pytest.mark.parametrize("stage", ["kidney", "parenchyma"])
def test_a_training_learns_and_repeats_to_the_bit(training_job, tmp_path, stage):
    jobs = [training_job(tmp_path / name, stage, steps=30) for name in ("one", "two")]
    for job in jobs:
        train.run(job)
    assert outputs(jobs[0]) == outputs(jobs[1])
    history = pd.read_csv(jobs[0].outputs["history"])
    assert history["step"].tolist() == [10, 20, 30]
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    assert history["learning_rate"].iloc[-1] < history["learning_rate"].iloc[0]


# `crossmod train` that dies by its own hand at a given moment: no race between the training and the test.
KILLED = """
import os, signal
from crossmod import cli
from crossmod.train.loop import Curve

def die(self, trainer, *_):
    if trainer.global_step == {step}:
        os.kill(os.getpid(), signal.SIGKILL)

Curve.{moment} = die
cli.main()
"""


@pytest.mark.parametrize(
    ("moment", "step", "resumed"),
    [
        ("on_train_batch_start", 4, 4),
        ("on_train_batch_start", 7, 6),
        ("on_train_batch_start", 11, 10),
        ("on_fit_end", 12, 12),
    ],
)
def test_killed_and_resumed_is_the_same_as_undisturbed(training_job, tmp_path, moment, step, resumed):
    undisturbed, killed = training_job(tmp_path / "one", steps=12), training_job(tmp_path / "two", steps=12)
    train.run(undisturbed)
    (tmp_path / "job.json").write_text(killed.to_json())
    arguments = ["train", str(tmp_path / "job.json")]
    program = KILLED.format(moment=moment, step=step)
    died = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert not Path(killed.outputs["weights"]).exists()
    command = [sys.executable, "-m", "crossmod.cli", *arguments]
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert f"resuming from step {resumed}" in again.stderr
    assert outputs(undisturbed) == outputs(killed)
    runs = MlflowClient(uri(Path(killed.inputs["store"]).parent)).search_runs(["1"])
    assert len(runs) == 1, "the resumed training goes on with its run"


def test_a_second_copy_waits_and_takes_the_first_ones_result(training_job, tmp_path):
    job = training_job(tmp_path / "one", steps=40)
    (tmp_path / "job.json").write_text(job.to_json())
    command = [sys.executable, "-m", "crossmod.cli", "train", str(tmp_path / "job.json")]
    copies = [subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [copy.communicate(timeout=180)[1] for copy in copies]
    assert [copy.returncode for copy in copies] == [0, 0]
    assert sum("waiting for it to end" in text for text in said) == 1
    assert len(MlflowClient(uri(Path(job.inputs["store"]).parent)).search_runs(["1"])) == 1


def test_the_run_says_what_it_was(training_job, tmp_path):
    job = training_job(tmp_path / "one", steps=10)
    train.run(job)
    record = json.loads(Path(job.outputs["run"]).read_text())
    run = MlflowClient(uri(Path(job.inputs["store"]).parent)).get_run(record["run_id"])
    assert {key: run.data.tags[key] for key in ("study", "scale", "strategy", "set", "fold", "stage", "seed")} == {
        "study": "test",
        "scale": "smoke",
        "strategy": "pure",
        "set": "mrA004",
        "fold": "0",
        "stage": "kidney",
        "seed": "0",
    }
    assert {"config_hash", "git_commit"} <= set(run.data.tags)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["final_train_loss"] == run.data.metrics["train_loss"]


def test_the_weights_say_what_their_user_must_know(training_job, tmp_path):
    job = training_job(tmp_path / "one", steps=2)
    train.run(job)
    with safe_open(job.outputs["weights"], "pt") as file:
        facts = json.loads(file.metadata()["crossmod"])
    settings = job.settings
    assert facts == {
        "set": "mrA004",
        "fold": 0,
        "stage": settings["stages"],
        "seed": 0,
        "model": settings["model"],
        "normalisation": settings["normalisation"],
        "precision": "auto",
    }
    assert json.loads(Path(job.outputs["run"]).read_text())["steps"] == 2


def test_a_set_without_foreground_is_refused(training_job, tiny, tmp_path):
    job = training_job(tmp_path / "one")
    empty = shutil.copytree(tiny / "prepare/mr", tmp_path / "mr")
    for path in empty.glob("*.kidney.foreground.npy"):
        np.save(path, np.zeros((0, 3), dtype=np.int16))
    job.inputs["prepared"][0] = str(empty)
    with pytest.raises(UserError, match="Set 'mrA004' has no foreground for stage 'kidney': none of its 4 cases"):
        train.run(job)


@pytest.mark.parametrize(("name", "fold"), [("mrB004", 0), ("mrA004", 1)])
def test_an_unknown_set_or_fold_is_named(training_job, tmp_path, name, fold):
    job = training_job(tmp_path / "one")
    job.settings.update(set=name, fold=fold)
    with pytest.raises(UserError, match=rf"no set '{name}' with a fold {fold}; there are mrA004 \(1\)"):
        train.run(job)


def test_a_set_without_boxes_is_refused_where_the_stage_looks_into_them(training_job, tiny, tmp_path):
    job = training_job(tmp_path / "one", "parenchyma")
    empty = shutil.copytree(tiny / "prepare/mr", tmp_path / "mr")
    index = pd.read_csv(empty / "index.csv", dtype=str).assign(boxes="{}")
    index.to_csv(empty / "index.csv", index=False)
    job.inputs["prepared"][0] = str(empty)
    with pytest.raises(UserError, match="None of the 4 training cases has a box to look into"):
        train.run(job)
