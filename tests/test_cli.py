"""Every command has its help, and jobs go to the step they belong to."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from crossmod.cli import STEPS, app, run_job
from crossmod.job import Job, UserError

COMMANDS = sorted({step.split(".")[0] for step in STEPS} | {"config", "measure", "ui"})


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
        run_job("evaluate", Job("train", {}, {}, {}).to_json(), 1)


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
