"""Jobs are plain, canonical, and their outputs whole or absent."""

import io
import json
import os
import subprocess
import sys

import pytest

from crossmod.job import Job, UserError, canonical, digest, read_json, whole


def test_job_survives_its_json():
    job = Job("train", {"b": ["x"], "a": "y"}, {"weights": "w"}, {"seed": 0}, threads=3)
    assert Job.from_json(job.to_json()) == job


def test_key_order_changes_nothing():
    assert canonical({"a": 1, "b": 2}) == canonical({"b": 2, "a": 1})
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 2, "b": 1})


def test_job_loads_from_a_file_and_from_standard_input(tmp_path, monkeypatch):
    job = Job("split", {}, {}, {"seed": 1, "title": "Größe"})
    (tmp_path / "job.json").write_text(job.to_json())
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(job.to_json().encode())))
    assert Job.load(tmp_path / "job.json") == Job.load("-", threads=3) == job


def test_a_job_of_a_megabyte_comes_through_standard_input(tmp_path):
    job = Job("train", {}, {}, {"text": "x" * 2**20})
    command = [sys.executable, "-m", "crossmod.cli", "evaluate", "-"]
    done = subprocess.run(command, input=job.to_json(), capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert "belongs to `crossmod train`" in done.stderr
    assert len(done.stderr) < 200


@pytest.mark.parametrize("text", ["{", "{}", json.dumps({"step": "train"}), "[]"])
def test_broken_job_says_what_is_expected(text):
    with pytest.raises(UserError, match="Not a job description"):
        Job.from_json(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"step": 1, "inputs": {}, "outputs": {}, "settings": {}}',
        '{"step": "train", "inputs": [], "outputs": {}, "settings": {}}',
        '{"step": "train", "inputs": {}, "outputs": null, "settings": {}}',
        '{"a": ' * 100_000,
        '{"step": ' + "9" * 5000 + "}",
    ],
)
def test_a_job_of_other_kinds_says_what_is_expected(text):
    with pytest.raises(UserError, match="Not a job description"):
        Job.from_json(text)


def test_a_job_file_that_is_no_text_is_a_message(tmp_path):
    (tmp_path / "job.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="no text in UTF-8"):
        Job.load(tmp_path / "job.json")
    with pytest.raises(UserError, match="no such job file"):
        Job.load("a\0b")


def test_a_key_that_a_job_lacks_is_told_at_any_depth():
    job = Job.from_json('{"step": "s", "inputs": {"a": {"b": 1}}, "outputs": {}, "settings": {}}')
    with pytest.raises(UserError, match="no key 'c' where it needs one, beside b"):
        job.inputs["a"]["c"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_file_that_is_no_json_is_a_message(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"x\.json: no JSON"):
        read_json(path)
    with pytest.raises(UserError, match="no such file"):
        read_json(tmp_path / "none.json")


def test_missing_job_file_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere.json: no such job file"):
        Job.load(tmp_path / "nowhere.json")


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_nothing_half_written(tmp_path, kind):
    path = tmp_path / "out"

    def write(partial, text):
        if kind == "file":
            partial.write_text(text)
        else:
            partial.mkdir()
            (partial / "inner").write_text(text)

    with whole(path) as partial:
        write(partial, "first")
    with pytest.raises(RuntimeError), whole(path) as partial:
        write(partial, "second")
        raise RuntimeError
    assert (path if kind == "file" else path / "inner").read_text() == "first"
    with whole(path) as partial:
        write(partial, "third")
    assert (path if kind == "file" else path / "inner").read_text() == "third"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_what_a_killed_process_left_is_cleared_and_a_running_ones_kept(tmp_path):
    code = f"""
import os, signal
from crossmod.job import whole
with whole({str(tmp_path / "out")!r}) as partial:
    partial.mkdir()
    (partial / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    assert [path.name for path in tmp_path.glob(".partial-*-out/*")] == ["half"]
    others = [f".partial-{os.getppid()}-out", f".partial-{2**22 + 1}-other-out"]
    for name in others:
        (tmp_path / name).write_text("somebody else's")
    with whole(tmp_path / "out") as partial:
        partial.write_text("done")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*others, "out"])
