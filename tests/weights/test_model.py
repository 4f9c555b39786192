"""What `crossmod measure --model` reads of a folder is data: it runs no code and leads to no other folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from crossmod.job import UserError
from crossmod.weights import RECORD
from crossmod.weights.model import Model

SHIPPED = json.loads(RECORD.read_text(encoding="utf-8"))


def arm(root: Path, change=None) -> Path:
    """The folder of a trained arm, with the job of its prediction; the networks themselves are not there."""
    settings = {
        "arm": "a1",
        "cascade": list(SHIPPED["stages"]),
        "stages": SHIPPED["stages"],
        "models": SHIPPED["models"],
        "normalisation": SHIPPED["normalisation"],
        "precision": "auto",
    }
    settings = json.loads(json.dumps(settings))
    if change:
        change(settings)
    jobs = root / "predict/a1/seed0"
    jobs.mkdir(parents=True)
    (jobs / "mr.job.json").write_text(json.dumps({"step": "predict", "settings": settings}))
    folder = root / "train/a1"
    folder.mkdir(parents=True)
    return folder


def test_a_study_s_own_job_is_read(tmp_path):
    model = Model.load(arm(tmp_path), 0)
    assert model.models == SHIPPED["models"]
    assert list(model.stages) == list(model.weights) == ["kidney", "parenchyma"]
    assert model.weights["kidney"] == (tmp_path / "train/a1/kidney/seed0/model.safetensors",)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda s: s["models"]["kidney"].update(act={"_target_": "os.system"}), "nothing nested is built"),
        (lambda s: s["models"]["parenchyma"].update(_target_="crossmod.models.build.torch.load"), "not a network"),
        (lambda s: s["models"].update(kidney="monai"), "kidney"),
        (
            lambda s: (
                s["stages"].update({"../../x": s["stages"].pop("kidney")})
                or s["models"].update({"../../x": s["models"].pop("kidney")})
                or s.update(cascade=["../../x", "parenchyma"])
            ),
            "pattern",
        ),
        (lambda s: s.update(cascade=["kidney"]), "at least 2"),
        (lambda s: s["cascade"].reverse(), "first stage looks at the whole image"),
        (lambda s: s.update(cascade=["kidney", "liver"]), "lacks 'liver'"),
        (lambda s: s.update(cascade=5), "lacks"),
        (lambda s: s["stages"]["kidney"].update(patch=[1024, 1024, 1024]), "16777216 voxels"),
        (lambda s: s["stages"]["kidney"].update(spacing_mm=[0.09, 1, 1]), "greater than or equal to 0.1"),
        (lambda s: s["stages"]["kidney"].update(spacing_mm=[float("nan"), 1, 1]), "finite"),
        (lambda s: s["stages"]["kidney"].update(overlap=1.0), "less than 1"),
        (lambda s: s["stages"]["kidney"].pop("keep"), "Field required"),
        (lambda s: s["stages"]["kidney"].update(keep=None), "stages.kidney.keep"),
        (lambda s: s["stages"]["kidney"].update(keep={"largest": 2}), "the first stage keeps one kidney a side"),
        (lambda s: s["stages"]["kidney"]["classes"].update(liver=["liver"]), "at most 1 item"),
        (lambda s: s["models"].pop("parenchyma"), "lacks 'parenchyma'"),
        (lambda s: s["normalisation"].update(ct_window_hu=[300, -200]), "lower limit must be below"),
        (lambda s: s.update(precision="8"), "Input should be"),
        (lambda s: s.pop("normalisation"), "lacks 'normalisation'"),
    ],
)
def test_other_jobs_are_refused(tmp_path, change, problem):
    with pytest.raises(UserError, match=rf"mr\.job\.json: no job that networks can be read by \(.*{problem}"):
        Model.load(arm(tmp_path, change), 0)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"settings": 3}'])
def test_a_damaged_job_is_a_message(tmp_path, content):
    folder = arm(tmp_path)
    (tmp_path / "predict/a1/seed0/mr.job.json").write_bytes(content)
    with pytest.raises(UserError, match="no job that networks can be read by"):
        Model.load(folder, 0)


@pytest.mark.parametrize("folder", ["/", "x", "."])
def test_a_folder_of_no_study_is_a_message(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no arm of a finished study"):
        Model.load(Path(folder), 0)


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd", "", ".hidden", "a/b"])
def test_a_record_leads_to_no_other_folder(tmp_path, name):
    (tmp_path / "secret.safetensors").write_bytes(b"")
    folder = tmp_path / "package"
    folder.mkdir()
    record = json.loads(RECORD.read_text())
    record["weights"]["kidney"] = {name: "0"}
    (folder / "weights.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="not a record of this version's networks"):
        Model.shipped(folder)


def test_the_command_runs_nothing_of_the_folder(tmp_path):
    """The command itself, with a job that would leave a file if any of it were called."""
    left = tmp_path / "canary"
    call = {"_target_": "pathlib.Path.touch", "self": {"_target_": "pathlib.Path", "_args_": [str(left)]}}
    folder = arm(tmp_path, lambda s: s["models"]["kidney"].update(act=call))
    command = [sys.executable, "-m", "crossmod.cli", "measure", str(tmp_path / "scan.nii.gz"), "--model", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 2
    assert "nothing nested is built" in done.stderr
    assert "Traceback" not in done.stderr
    assert not left.exists()
