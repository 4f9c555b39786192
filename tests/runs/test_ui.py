"""The UI is one process on the loopback interface; it ends when it is told to, and leaves nothing behind."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def command(mlflow_store, tmp_path, monkeypatch) -> list[str]:
    shutil.copytree(mlflow_store, tmp_path / "results/test/mlflow")
    monkeypatch.chdir(tmp_path)
    return [sys.executable, "-m", "crossmod.cli", "ui", "--study", "test", "--port"]


def answers(port: int, seconds: float = 90) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            time.sleep(0.2)
    return False


@pytest.fixture
def started(command):
    port = free_port()
    server = subprocess.Popen([*command, str(port)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert answers(port)
    yield server, port
    server.kill()
    server.communicate()


def test_it_is_one_process_of_this_machine(started):
    server, port = started
    process = psutil.Process(server.pid)
    assert process.children(recursive=True) == []
    assert process.memory_info().rss < 800e6
    listening = [c.laddr for c in process.net_connections() if c.status == psutil.CONN_LISTEN]
    assert {tuple(address) for address in listening} == {("127.0.0.1", port)}
    page = f"http://127.0.0.1:{port}/ajax-api/2.0/mlflow/experiments/get-by-name?experiment_name=test"
    with urllib.request.urlopen(page, timeout=20) as answer:
        assert b'"name": "test"' in answer.read()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as answer:
        assert b"<html" in answer.read()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_it_is_told_to(started, how):
    server, port = started
    server.send_signal(how)
    said, _ = server.communicate(timeout=20)
    assert server.returncode in (-how, 128 + how)
    assert "Traceback" not in said
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_taken_port_is_one_line(command):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run([*command, str(port)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"Port {port} of this machine cannot be used" in done.stderr
    assert len(done.stderr.splitlines()) == 1 and done.stdout == ""


def test_a_damaged_store_is_one_line(command):
    Path("results/test/mlflow/mlflow.db").write_bytes(b"damaged" * 1000)
    done = subprocess.run([*command, str(free_port())], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "mlflow.db is damaged (file is not a database)" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_other_interface_can_be_asked_for(command):
    done = subprocess.run(
        [*command, "5000", "--host", "0.0.0.0"], capture_output=True, text=True, check=False, env={**os.environ}
    )
    assert done.returncode == 2
    assert "No such option" in done.stderr
