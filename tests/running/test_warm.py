"""The warm process: a command run there is the same as one run here, and where it cannot be, it is run here."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crossmod.running import warm

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="jobs are forked on Linux only")

SERVER = """
import os, signal, sys, time
from pathlib import Path
from crossmod.running.warm import serve

def work(arguments):
    print(os.getpid(), Path.cwd(), os.environ.get("COLOUR"), *arguments, flush=True)
    print("aside", file=sys.stderr)
    if arguments == ["wait"]:
        print(sys.stdin.readline(), end="", flush=True)
        time.sleep(60)
    if arguments == ["die"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return 3

serve(Path(sys.argv[1]), lambda: None, work)
"""
COMMAND = (
    "import sys; from crossmod.running.warm import elsewhere; "
    "code = elsewhere(sys.argv[1:]); sys.exit(99 if code is None else code)"
)


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "warm"
    folder.mkdir()
    command = [sys.executable, "-c", SERVER, str(folder / "jobs")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    _until((folder / "jobs").exists)
    yield process, folder / "jobs"
    process.stdin.close()
    process.wait(10)


def environment(address, **others):
    return {**os.environ, warm.ADDRESS: str(address), **dict.fromkeys(warm.THREADS, "1"), **others}


def command(address, *arguments, **others):
    return subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments],
        env=environment(address, **others),
        capture_output=True,
        text=True,
        check=False,
    )


def _until(true, seconds=10):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def _runs(pid):
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rsplit(")")[1].split()[0] != "Z"


def test_a_job_has_the_folder_environment_output_and_code_of_its_command(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = command(server[1], "one", "two words", COLOUR="grün")
    pid, *rest = done.stdout.split(maxsplit=1)
    assert rest == [f"{tmp_path} grün one two words\n"]
    assert (done.returncode, done.stderr) == (3, "aside\n")
    assert int(pid) not in (os.getpid(), server[0].pid)


def test_each_job_is_a_process_of_its_own(server):
    assert command(server[1]).stdout != command(server[1]).stdout


def test_a_job_reads_its_command_s_input_and_ends_with_it(server):
    waiting = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "wait"],
        env=environment(server[1]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    pid = int(waiting.stdout.readline().split()[0])
    waiting.stdin.write("heard\n")
    waiting.stdin.flush()
    assert waiting.stdout.readline() == "heard\n"
    assert _runs(pid)
    waiting.kill()
    waiting.wait()
    _until(lambda: not _runs(pid))


def test_a_job_that_dies_is_told_as_killed(server):
    assert command(server[1], "die").returncode == 128 + signal.SIGKILL
    assert command(server[1]).returncode == 3  # others are not touched


def test_it_ends_with_the_workflow_and_leaves_nothing(server):
    process, address = server
    process.stdin.close()
    assert process.wait(10) == 0
    assert not address.parent.exists()
    assert command(address).returncode == 99


@pytest.mark.parametrize("threads", ["2", ""])
def test_a_job_of_several_threads_is_run_here(server, threads):
    assert command(server[1], OMP_NUM_THREADS=threads).returncode == 99


def test_another_python_s_command_is_run_here(server):
    foreign = COMMAND.replace("code =", "import crossmod.running.warm as w; w._python = lambda: ['elsewhere']; code =")
    done = subprocess.run([sys.executable, "-c", foreign], env=environment(server[1]), check=False)
    assert done.returncode == 99


def test_without_a_workflow_a_command_is_run_here(tmp_path):
    assert command("").returncode == 99
    assert command(tmp_path / "none").returncode == 99


def test_the_workflow_s_own_one_runs_jobs_of_crossmod():
    """A user's mistake is the same short message, and exit code, from there as from here."""
    code = """
import os, subprocess, sys
from crossmod.running import warm
warm.start("crossmod")
environment = {**os.environ, **dict.fromkeys(warm.THREADS, "1")}
command = [sys.executable, "-X", "importtime", "-m", "crossmod.cli", "train", "none.json"]
done = subprocess.run(command, env=environment, capture_output=True, text=True)
print(done.returncode, "no such job file" in done.stderr, "Traceback" in done.stderr, "crossmod.source" in done.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "True", "False", "False"]
    assert done.stderr == ""


def test_what_is_loaded_can_be_forked_and_tells_nobody():
    """A thread of a library would not be there after a fork (Arrow's allocator starts its own again).

    MLflow's telemetry is off before it is loaded.
    """
    code = """
import os
from pathlib import Path
from crossmod.__main__ import load
load()
threads = {path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")}
print(*threads - {Path("/proc/self/comm").read_text().strip(), "jemalloc_bg_thd"})
print(os.environ["MLFLOW_DISABLE_TELEMETRY"])
"""
    one = dict.fromkeys(warm.THREADS, "1")
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **one}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["true"]
