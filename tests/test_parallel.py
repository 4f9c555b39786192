"""Work over many cases: the same results in any number of processes, and none that outlives its parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from crossmod.job import Job, UserError
from crossmod.parallel import THREADS, each


def _square(number: int) -> int:
    return number * number


def _threads(_: int) -> list[str | None]:
    return [os.environ.get(name) for name in THREADS]


def _die(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def _fail(number: int) -> int:
    if number == 3:
        raise UserError("case 3 is broken")
    return number


@pytest.mark.parametrize("threads", [1, 2, 9])
def test_results_keep_their_order(threads, capsys):
    assert list(each("work", _square, list(range(6)), threads)) == [0, 1, 4, 9, 16, 25]
    assert "work: 6 of 6 cases" in capsys.readouterr().err


def test_processes_side_by_side_have_one_thread_each(monkeypatch):
    monkeypatch.setenv(THREADS[0], "7")
    monkeypatch.delenv(THREADS[1], raising=False)
    assert list(each("work", _threads, [1, 2], 2)) == [["1"] * len(THREADS)] * 2
    assert os.environ[THREADS[0]] == "7"
    assert THREADS[1] not in os.environ


@pytest.mark.parametrize("threads", [1, 2])
def test_a_fault_of_a_case_is_told(threads):
    with pytest.raises(UserError, match="case 3 is broken"):
        list(each("work", _fail, list(range(6)), threads))


def test_a_process_ended_from_outside_is_a_message():
    with pytest.raises(UserError, match=r"work: one of its 2 processes was ended from outside.*Use fewer threads"):
        list(each("work", _die, list(range(6)), 2))


BUSY = """
import sys, time
from pathlib import Path
from crossmod.parallel import each

def work(number):
    Path(sys.argv[1], f"{number}").touch()
    if sys.argv[2] == "busy":
        while True:
            sum(range(10_000))
    time.sleep(120)

if __name__ == "__main__":
    list(each("work", work, list(range(8)), 2))
"""


def _until(true, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("what", ["busy", "idle"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_process_outlives_its_parent(tmp_path, how, what):
    program, started = tmp_path / "program.py", tmp_path / "started"
    program.write_text(BUSY)
    started.mkdir()
    parent = subprocess.Popen(
        [sys.executable, str(program), str(started), what], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    _until(lambda: len(list(started.iterdir())) == 2)
    children = psutil.Process(parent.pid).children(recursive=True)
    assert len(children) >= 2
    if how == signal.SIGINT:
        os.killpg(parent.pid, how)  # as a terminal does
    else:
        parent.send_signal(how)
    parent.communicate(timeout=30)
    gone, alive = psutil.wait_procs(children, timeout=10)
    for process in alive:
        process.kill()
    assert not alive, f"{len(alive)} of {len(gone) + len(alive)} outlived their parent"


@pytest.mark.parametrize("step", ["cohort", "prepare"])
def test_a_killed_job_leaves_no_process(tiny, tmp_path, step):
    """The jobs themselves, killed at work; what they had half written is cleared by the next one."""
    recipe = {"modality": "CT", "spacing_mm": [2.0, 2.0, 2.0]}
    settings = {"name": "c", "source": "simulated", "cases": 8, "seed": 0, "site": "a", "recipe": recipe}
    stages = {"kidney": {"structures": ["parenchyma"], "spacing_mm": [1.0, 1.0, 1.0]}}
    inputs = {}
    if step == "prepare":
        inputs = {"cohort": str(tiny / "cohort/ct")}
        settings = {"stages": stages, "normalisation": {"ct_window_hu": [-200, 300], "mr_percentiles": [0.5, 99.5]}}
    Job(step, inputs, {"folder": "out"}, settings).save(tmp_path / "job.json")
    command = [sys.executable, "-m", "crossmod.cli", step, "job.json", "--threads", "2"]
    log = tmp_path / "log"
    with log.open("w") as said:
        parent = subprocess.Popen(command, cwd=tmp_path, stderr=said)
    _until(lambda: parent.poll() is not None or len(psutil.Process(parent.pid).children()) >= 3)
    assert parent.poll() is None, log.read_text()
    time.sleep(1)
    children = psutil.Process(parent.pid).children(recursive=True)
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs(children, timeout=20)
    for process in alive:
        process.kill()
    assert not alive
    assert not (Path(tmp_path) / "out").exists()
