"""What users see, seen by a real browser: the report page and MLflow's pages."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import numpy as np
import pytest
from PIL import Image

pytestmark = [pytest.mark.study, pytest.mark.browser]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Function (url, wait_ms) → (DOM after scripts ran, screenshot)."""
    binary = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if binary is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs a Chromium")
        pytest.skip("no Chromium installed")
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += " --disable-component-update --disable-sync --hide-scrollbars"

    def look(url: str, wait_ms: int = 2000, height: int = 2400):
        folder = tmp_path_factory.mktemp("browser")
        common = [binary, *flags.split(), f"--user-data-dir={folder / 'profile'}", f"--virtual-time-budget={wait_ms}"]
        size = f"--window-size=1200,{height}"
        dom = subprocess.run(
            [*common, "--dump-dom", url], capture_output=True, text=True, timeout=120, check=True
        ).stdout
        shot = folder / "shot.png"
        subprocess.run([*common, size, f"--screenshot={shot}", url], capture_output=True, timeout=120, check=True)
        return dom, np.asarray(Image.open(shot).convert("L"))

    return look


def test_the_report_page(study, browser):
    dom, picture = browser(f"file://{study.results}/report/index.html")
    for text in ("Findings", "Simulated", "ct3+mrA006", "Methods", "Software"):
        assert text in dom
    assert picture.std() > 15, "the page is not blank"
    assert "http://" not in dom.replace("http://www.w3.org", ""), "nothing is loaded from elsewhere"


@pytest.fixture(scope="module")
def ui(study):
    """The MLflow UI, started as `make ui` does."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "crossmod.cli", "ui", "--study", "renal", "--port", str(port)]
    server = subprocess.Popen(
        command,
        cwd=study.folder,
        env=study.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=2) as answer:
                assert answer.status == 200
                break
        except OSError:
            time.sleep(0.5)
    else:
        pytest.fail("the MLflow UI did not start")
    yield address
    os.killpg(server.pid, 15)
    server.wait(timeout=30)


def test_mlflows_compare_page(study, ui, browser):
    records = sorted(study.results.glob("train/*/kidney/seed0/run.json"))[:3]
    runs = [json.loads(path.read_text())["run_id"] for path in records]
    experiment = json.loads((study.folder / "results/renal/mlflow/store.json").read_text())["experiment_id"]
    query = urllib.parse.urlencode({"runs": json.dumps(runs), "experiments": json.dumps([experiment])})
    dom, picture = browser(f"{ui}/#/compare-runs?{query}", wait_ms=20000)
    assert "Comparing 3 Runs" in dom
    assert records[0].parents[2].name in dom
    assert "train_loss" in dom
    assert picture.std() > 5


def test_the_ui_listens_to_this_machine_only(ui):
    port = int(ui.rsplit(":", 1)[1])
    listening = subprocess.run(
        ["python3", "-c", "import socket; print(socket.gethostbyname(socket.gethostname()))"],
        capture_output=True,
        text=True,
    ).stdout.strip()
    if not listening or listening.startswith("127."):
        pytest.skip("this machine has no other address")
    with socket.socket() as probe:
        probe.settimeout(2)
        assert probe.connect_ex((listening, port)) != 0
