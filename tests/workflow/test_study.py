"""The smoke study end to end: complete, honest, tracked, and a training the same after a signal in its middle."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from urllib.parse import unquote

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from .test_reruns import AFTER_SCORES

pytestmark = pytest.mark.study


def test_every_arm_site_and_target_has_its_rows(study):
    scores = pd.read_csv(study.results / "analyse/scores.csv")
    assert scores["arm"].nunique() == 13
    assert set(scores["site"]) == {"mr", "ct", "ct_external"}
    assert scores["simulated"].all()
    for _, cell in scores.groupby(["arm", "site"]):
        assert set(cell["target"]) == {"kidney", "parenchyma_with_tumour", "parenchyma_without_tumour"}
        assert set(cell["region"]) == {"image", "predicted_box", "reference_box"}
    assert (study.results / "report/index.html").stat().st_size > 100_000


def test_26_models_one_experiment_and_nothing_lost(study):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{study.folder}/results/renal/mlflow/mlflow.db")
    experiments = [e for e in client.search_experiments() if e.name != "Default"]
    assert [experiment.name for experiment in experiments] == ["renal"]
    runs = client.search_runs([experiments[0].experiment_id], max_results=200)
    assert len(runs) == 26
    declared = {json.loads(path.read_text())["run_id"] for path in study.results.glob("train/*/*/seed0/run.json")}
    assert {run.info.run_id for run in runs} == declared
    for run in runs:
        assert {
            "study",
            "scale",
            "set",
            "stage",
            "seed",
            "config_hash",
            "git_commit",
            "strategy",
            "amount",
            "subset",
        } <= set(run.data.tags)
        assert any(key.startswith("dsc/mr/") for key in run.data.metrics), "final metrics"
        assert len(client.get_metric_history(run.info.run_id, "train_loss")) >= 1, "curve"


def test_masks_lie_in_the_scans_own_space(study):
    cases = pd.read_csv(study.results / "cohort/ct_external/cases.csv").set_index("case")
    folder = study.results / "predict/ct3+mrA006/seed0/ct_external"
    for row in pd.read_csv(folder / "index.csv").itertuples():
        scan = nib.load(study.results / "cohort/ct_external" / cases.loc[row.case, "image"])
        for kind in ("kidney", "parenchyma", "parenchyma_reference_box"):
            mask = nib.load(folder / getattr(row, kind))
            assert mask.shape == scan.shape
            np.testing.assert_allclose(mask.affine, scan.affine)


def test_progress_was_visible(study):
    said = (study.folder / "said.txt").read_text()
    assert "train ct3+mrA006/kidney seed0: 8 of 8 steps" in said
    assert "── study: " in said
    assert "left" in said


def test_any_job_can_be_repeated_by_hand(study):
    scores = study.results / "evaluate/mrA002/seed0/ct.csv"
    before = scores.read_bytes()
    scores.unlink()
    command = [sys.executable, "-m", "crossmod.cli", "evaluate", str(scores.with_suffix(".job.json"))]
    subprocess.run(command, cwd=study.folder, env=study.environment, check=True)
    assert scores.read_bytes() == before
    assert study.would_run() in ({}, AFTER_SCORES)
    study.snakemake("--config", "scale=smoke", "--touch")


# Stands before the project's own package: a training that reaches its fifth step sends a signal to the whole workflow,
# as a power failure (SIGKILL), the user's Ctrl-C (SIGINT) or the machine's shutdown (SIGTERM) would.
AT_STEP_5 = """
import sys

if sys.argv[:1] and sys.argv[0].endswith("crossmod") and "train" in sys.argv[1:2]:
    import os, signal

    os.environ.pop("CROSSMOD_WARM", None)  # this process is to train, and to fail
    from crossmod.train.loop import Curve

    def die(self, trainer, *_):
        if trainer.global_step == 5:
            os.killpg(os.getpgid(0), signal.SIGNAL)

    Curve.on_train_batch_start = die
"""


def test_the_same_seed_gives_the_same_bytes(study, again):
    """One arm once more, from nothing, in another folder and on one core instead of two."""
    table = "evaluate/ct3+mrA006/seed0/mr.csv"
    again.snakemake(f"results/renal/smoke/{table}", "--cores", "1", "--config", "scale=smoke")
    before, after = study.tables(), again.tables()
    assert table in after
    assert len(after) >= 7
    assert {name: before[name] for name in after} == after
    for stage in ("kidney", "parenchyma"):
        weights = f"train/ct3+mrA006/{stage}/seed0/model.safetensors"
        assert (study.results / weights).read_bytes() == (again.results / weights).read_bytes()


@pytest.mark.real
def test_a_fourth_real_site_from_scans_to_the_page(branch, real_data, tmp_path):
    """The nine fat-suppressed T2 MR with manual kidneys, scored by every arm; nothing is trained again."""
    scans = sorted((real_data / "chaos_t2spir").glob("image_*.nii.gz"))
    numbers = [scan.name[6:-7] for scan in scans]
    rows = [f"chaos-{n},{n},MR,fs-t2,chaos,image_{n}.nii.gz,label_{n}.nii.gz" for n in numbers]
    table = tmp_path / "cases.csv"
    table.write_text("\n".join(["case,patient,modality,sequence,site,image,label", *rows]) + "\n")
    labels = "{1: liver, 2: right_kidney, 3: left_kidney, 4: spleen}"
    values = {"table": table, "root": real_data / "chaos_t2spir", "title": "Real MR (CHAOS)", "labels": labels}
    given = "override=" + " ".join(f"cohorts.mr_real.{key}={value}" for key, value in values.items())
    before = {path: path.read_bytes() for path in branch.results.rglob("*") if path.is_file() and path.suffix != ".log"}
    said = branch.snakemake("--config", "study=renal_real", "scale=smoke", given).stdout
    assert "train " not in said, "the networks are those of the renal study"
    assert {path: path.read_bytes() for path in before} == before, "and its results stay as they are"
    results = branch.folder / "results/renal_real/smoke"
    hashes = {
        json.loads((folder / "analyse/record.json").read_text())["plan_sha256"] for folder in (branch.results, results)
    }
    assert len(hashes) == 2, "a family of more sites is another family"
    scores = pd.read_csv(results / "analyse/scores.csv")
    real = scores[scores["site"] == "mr_real"]
    assert not real["simulated"].any()
    assert scores.loc[scores["site"] != "mr_real", "simulated"].all()
    assert set(real["target"]) == {"kidney"}, "whose parenchyma was drawn by nobody is not scored"
    assert real["arm"].nunique() == 13
    assert (real.groupby("arm")["case"].nunique() == len(scans)).all()
    page = (results / "report/index.html").read_text()
    assert "Real MR (CHAOS)" in page
    links = set(re.findall(r'href="(\.\./[^"#]+)"', page))
    assert any(link.startswith("../../../renal/smoke/evaluate/") for link in links)
    assert all((results / "report" / unquote(link)).exists() for link in links)


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda sent: sent.name)
def test_a_training_goes_on_after_a_signal_and_ends_with_the_same_bytes(study, tmp_path, sent):
    folder = study.results / "train/mrB004/kidney"
    kept = shutil.move(folder, tmp_path / "kept")
    weights = folder / "seed0/model.safetensors"
    goal = str(weights.relative_to(study.folder))
    (tmp_path / "sitecustomize.py").write_text(AT_STEP_5.replace("SIGNAL", sent.name))
    environment = {**study.environment, "PYTHONPATH": f"{tmp_path}{os.pathsep}{study.environment['PYTHONPATH']}"}
    command = [sys.executable, "-m", "snakemake", goal, "--cores", "2", "--config", "scale=smoke"]
    ended = subprocess.run(
        command, cwd=study.folder, env=environment, start_new_session=True, capture_output=True, text=True, check=False
    )
    if sent == signal.SIGKILL:
        assert ended.returncode == -sent
    else:
        assert ended.returncode == 1
        said = (ended.stdout + ended.stderr).split("── interrupted at: train mrB004/kidney, seed 0.", 1)[1]
        assert said.splitlines()[-1].startswith("── stopped. The same command continues")
        assert "Traceback" not in said and "{" not in said
    assert list((study.results / "train/.resume").glob("*/last.ckpt"))
    assert not weights.exists()
    resumed = study.snakemake(goal, "--config", "scale=smoke")
    # Checkpoints are taken every other step; a training that hears SIGTERM ends its step, and takes one more.
    assert re.search(r"resuming from step (4|6)\n", resumed.stdout)
    assert weights.read_bytes() == (kept / "seed0/model.safetensors").read_bytes()
    history = "seed0/history.csv"
    assert (folder / history).read_bytes() == (kept / history).read_bytes()
    shutil.rmtree(folder)
    shutil.move(kept, folder)
    assert study.would_run() == {}


def test_two_workflows_do_not_run_one_study_at_once(study):
    import fcntl

    with (study.results / ".running").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        refused = study.snakemake("--config", "scale=smoke", "override=analyse.alpha=0.01", check=False)
    assert refused.returncode != 0
    assert "Another snakemake is running this study" in refused.stdout


def test_mistyped_keys_stop_everything_before_any_job(bare):
    refused = bare.snakemake("--config", "scale=smoke", "override=training.bach=4", check=False)
    assert refused.returncode != 0
    assert "training.bach: unknown key; did you mean 'training.batch'?" in refused.stdout
    assert not (bare.folder / "results").exists()


def test_the_commands_of_the_readme_start(bare, root, tmp_path):
    """`make reproduce`, `make weights` and every `snakemake` line of the README, as they stand there, as dry runs."""
    made = subprocess.run(
        ["make", "-n", "reproduce", "weights"], cwd=root, capture_output=True, text=True, check=True
    ).stdout
    commands = [line for line in made.splitlines() if line.startswith("snakemake")]
    commands += re.findall(r'^snakemake (?:[^"\n]|"[^"]*")*$', (root / "README.md").read_text(), re.MULTILINE)
    assert len(commands) >= 4
    assert any("study=renal_real" in command for command in commands)
    table = tmp_path / "cases.csv"
    table.write_text("case,patient,modality,image,label\na,p,MR,a.nii.gz,a.nii.gz\n")
    (tmp_path / "a.nii.gz").touch()
    for command in commands:
        command = command.replace("/data/my_mr/cases.csv", str(table))
        done = subprocess.run(
            f"{command} -n", shell=True, cwd=bare.folder, env=bare.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        assert "Job stats" in done.stdout + done.stderr


def test_lint_is_content(bare):
    lint = bare.snakemake("--lint", check=False)
    assert "Congratulations" in lint.stdout, lint.stdout[-3000:]
