"""Troubles of the machine are one sentence that names the right path and disk."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crossmod.cli import run_job
from crossmod.job import Job, UserError
from crossmod.machine import FULL_BYTES, trouble

CLI = [sys.executable, "-m", "crossmod.cli"]


@pytest.fixture
def disks(tmp_path, monkeypatch):
    """Function (full) → a working folder whose `results` is a link to another disk; which of the two is full."""
    usage = shutil.disk_usage(tmp_path)
    here, other = tmp_path / "here", tmp_path / "other"
    here.mkdir()
    other.mkdir()
    (here / "results").symlink_to(other)
    monkeypatch.chdir(here)

    def make(full: str) -> None:
        def free(path):
            disk = "other" if Path(path).resolve().is_relative_to(other) else "here"
            return usage._replace(free=0 if disk == full else FULL_BYTES * 10)

        monkeypatch.setattr("shutil.disk_usage", free)

    return make


@pytest.mark.parametrize(("full", "told"), [("other", True), ("here", False)])
def test_the_disk_that_is_looked_at_is_that_of_the_path(disks, full, told):
    disks(full)
    problem = trouble(
        OSError("3602500 requested and 262080 written"), Path("results/s/x/prepare/ct")
    )  # as numpy says it
    assert (problem is not None) is told
    if told:
        assert problem.startswith("results/s/x/prepare/ct: the disk is full")


def test_the_path_that_failed_counts_more_than_the_outputs(disks):
    disks("here")
    error = OSError(errno.ENOSPC, "No space left on device", "/tmp/elsewhere")
    assert trouble(error, Path("results/a")).startswith("/tmp/elsewhere: the disk is full")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        MemoryError("Unable to allocate 1.00 PiB for an array with shape (9, 9, 9)"),  # as numpy says it
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
    ],
)
def test_too_little_memory_is_told(error):
    problem = trouble(error, Path("results/a"))
    assert problem.startswith("There is not enough memory (")
    assert "fewer threads" in problem


def test_a_job_tells_the_disk_of_its_outputs(disks, monkeypatch):
    disks("other")

    def fails(_):
        raise RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed")  # no OSError at all

    monkeypatch.setattr("crossmod.split.run", fails)
    with pytest.raises(UserError, match=r"results/s/split\.json: the disk is full \(PytorchStreamWriter.*Make room"):
        run_job("split", Job("split", {}, {"training": "results/s/split.json"}, {}))


@pytest.mark.parametrize(
    "number", [errno.EACCES, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP]
)
def test_a_path_that_cannot_be_used_is_named_with_a_cure(number):
    problem = trouble(OSError(number, os.strerror(number), "some/where"), Path())
    assert problem.startswith(f"some/where: {os.strerror(number)}. ")
    assert len(problem.split(". ", 1)[1]) > 10


@pytest.mark.parametrize("error", [ValueError("wrong"), KeyError("x"), OSError("odd"), OSError(errno.EBADF, "bad")])
def test_faults_of_the_program_stay_what_they_are(error):
    assert trouble(error, Path()) is None


@pytest.mark.parametrize("place", ["file", "readonly"])
def test_an_unwritable_output_is_one_line(tmp_path, place):
    if place == "file":
        (tmp_path / "results").write_text("a file")
    elif os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    else:
        (tmp_path / "results").mkdir(mode=0o500)
    settings = {"name": "c", "source": "simulated", "cases": 1, "seed": 0, "site": "a", "recipe": {"modality": "CT"}}
    job = Job("cohort", {}, {"folder": "results/s/c", "job": "results/s/c.job.json"}, settings)
    done = subprocess.run(
        [*CLI, "cohort", "-"], cwd=tmp_path, input=job.to_json(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "results" in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("key", ["inputs", "outputs"])
def test_a_path_with_a_nul_is_a_message(tmp_path, key):
    job = {"step": "prepare", "inputs": {"cohort": "c"}, "outputs": {"folder": "out"}, "settings": {}}
    job[key][next(iter(job[key]))] = "a\0b"
    job["settings"] = {"stages": {}, "normalisation": {}}
    done = subprocess.run([*CLI, "prepare", json.dumps(job)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", [b"\xff", b"a b", "é".encode(), b"x" * 300, b"-", b"[red]"])
@pytest.mark.parametrize("command", ["config", "ui", "train", "measure"])
def test_an_odd_path_is_a_message(tmp_path, command, name):
    given = {"config": b"study=" + name, "ui": b"--study=" + name}.get(command, b"./" + name)
    done = subprocess.run([*CLI, command, given], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert done.stderr.strip()


def test_ctrl_c_is_no_traceback(tmp_path):
    """At any moment after the interpreter has read the program."""
    code = "import os, sys, threading, time, signal; from crossmod import cli\n"
    code += "threading.Timer(float(sys.argv.pop(1)), lambda: os.kill(os.getpid(), signal.SIGINT)).start(); cli.main()"
    for wait in ("0.01", "1.0"):
        command = [sys.executable, "-c", code, wait, "phantom", "--out", str(tmp_path / "sheet.png")]
        before = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 128 + signal.SIGINT
        assert "Traceback" not in done.stderr
        assert time.monotonic() - before < 60
    assert list(tmp_path.iterdir()) == []


def test_a_closed_pipe_is_no_traceback(root):
    reader, writer = os.pipe()
    process = subprocess.Popen([*CLI, "config"], cwd=root, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    os.close(reader)
    assert process.communicate(timeout=60)[1].strip() == ""
    assert process.returncode in (0, 1)
