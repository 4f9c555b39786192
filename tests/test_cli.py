"""Every command has its help, and jobs go to the step they belong to."""

import json
import shutil
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from crossmod import cli
from crossmod.cli import STEPS, app, run_job
from crossmod.job import Job, UserError

COMMANDS = sorted({step.split(".")[0] for step in STEPS} | {"config", "measure", "scores", "treat", "ui"})


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command):
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert len(result.output) > 200


def test_every_step_exists():
    import importlib

    for module, function, _ in STEPS.values():
        assert callable(getattr(importlib.import_module(module), function))


def test_a_job_of_another_step_is_refused():
    with pytest.raises(UserError, match="belongs to `crossmod train`, not to `crossmod evaluate`"):
        run_job("evaluate", Job("train", {}, {}, {}))


def test_steps_without_networks_do_not_load_torch():
    modules = (
        "crossmod.cohort, crossmod.split, crossmod.evaluate, crossmod.analyse, crossmod.report, crossmod.prepare.pool"
    )
    modules += (
        ", crossmod.cohort.check, crossmod.evaluate.scores, crossmod.report.page, crossmod.split.draw, crossmod.cli"
    )
    code = f"import sys, {modules}; print([m for m in ('torch', 'monai', 'lightning', 'mlflow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_mistake_is_a_message_not_a_traceback(tmp_path):
    command = [sys.executable, "-m", "crossmod.cli", "train", str(tmp_path / "none.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no such job file" in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("free", "told"), [(1_000_000, True), (10**12, False)])
def test_a_full_disk_is_a_message(monkeypatch, capsys, free, told):
    def fails():
        raise OSError("3602500 requested and 262080 written")  # as numpy says it

    usage = shutil.disk_usage(".")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=free))
    monkeypatch.setattr("crossmod.cli.app", fails)
    monkeypatch.setattr("sys.argv", ["crossmod", "prepare"])
    monkeypatch.setattr("gc.set_threshold", lambda *_: None)
    with pytest.raises(SystemExit if told else OSError):
        cli.main()
    assert ("the disk is full" in capsys.readouterr().err) is told


def test_summaries_of_nnunet_become_scores(tmp_path):
    metrics = {"Dice": 0.9, "FN": 1, "FP": 1, "IoU": 9 / 11, "TN": 80, "TP": 9, "n_pred": 10, "n_ref": 10}
    case = {"metrics": {"1": metrics}, "prediction_file": "p/a_1.nii.gz", "reference_file": "r/a_1.nii.gz"}
    whole = {"foreground_mean": metrics, "mean": {"1": metrics}, "metric_per_case": [case]}
    (tmp_path / "summary.json").write_text(json.dumps(whole))
    out = tmp_path / "scores.csv"
    command = ["scores", f"pure={tmp_path / 'summary.json'}", "--out", str(out), "--label", "1=kidney"]
    done = CliRunner().invoke(app, [*command, "--patient", r"^(.+)_\d$"])
    assert done.exit_code == 0, done.output
    assert out.read_text().splitlines()[1].startswith("pure,a_1,a,kidney,0.9,")


def test_a_contact_sheet_replaces_sheets_alone(tmp_path, monkeypatch):
    from PIL import Image

    from crossmod.phantom import sheet

    monkeypatch.setattr(sheet, "PROTOCOLS", dict(list(sheet.PROTOCOLS.items())[:1]))
    mine = tmp_path / "mine.png"
    Image.new("L", (4, 4)).save(mine)
    before = mine.read_bytes()
    refused = CliRunner().invoke(app, ["phantom", "--out", str(mine)])
    assert isinstance(refused.exception, UserError) and "not replaced" in str(refused.exception)
    assert mine.read_bytes() == before
    for seed in ("1", "2"):
        done = CliRunner().invoke(app, ["phantom", "--out", str(tmp_path / "sheet.png"), "--seed", seed])
        assert done.exit_code == 0, done.output
