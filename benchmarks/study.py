"""A whole study from nothing: wall time, core time, peak memory, and the DSC it reached.

    python benchmarks/study.py --scale smoke --cores 2

The project is copied to a temporary folder (or ``--folder``), so nothing finished before is taken over.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from measured import PeakMemory
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("Snakefile", "workflow", "profiles", "conf", "src", "notebooks", "environment.yml")


def main() -> None:
    """Run the study and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", default="smoke")
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--folder", type=Path, help="keep the study here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        record = measure(folder, options.scale, options.cores)
    target = ROOT / "results/benchmarks" / f"study_{options.scale}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    show(record)


def measure(folder: Path, scale: str, cores: int) -> dict:
    """Copy the project, run the study, and return what was measured."""
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy2
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / part, folder / part)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PYTHONPATH": str(folder / "src"), "PATH": path}
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores), "--config", f"scale={scale}"]
    start, before = time.monotonic(), os.times()
    study = subprocess.Popen(command, cwd=folder, env=environment)
    memory = PeakMemory(study.pid)
    memory.start()
    code = study.wait()
    memory.done.set()
    after = os.times()
    if code:
        sys.exit(f"the study failed with exit code {code}")
    return {
        "scale": scale,
        "cores": cores,
        "wall_s": time.monotonic() - start,
        "core_s": after.children_user - before.children_user + after.children_system - before.children_system,
        "peak_memory_gb": memory.peak / 1e9,
        "kidney_dsc": kidney_dsc(folder / "results/renal" / scale),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
    }


def kidney_dsc(results: Path) -> dict[str, dict[str, float]]:
    """Arm → site → mean DSC of the kidney target."""
    scores = pd.read_csv(results / "analyse/scores.csv")
    means = scores[scores["target"] == "kidney"].groupby(["arm", "site"], sort=False)["dsc"].mean()
    return {
        arm: {site: round(value, 4) for (_, site), value in cell.items()}
        for arm, cell in means.groupby(level=0, sort=False)
    }


def show(record: dict) -> None:
    """Print what was measured."""
    table = Table(title=f"renal at scale {record['scale']}, {record['cores']} cores ({record['machine']})")
    for column in ("wall (min)", "core (min)", "peak memory (GB)"):
        table.add_column(column, justify="right")
    table.add_row(f"{record['wall_s'] / 60:.1f}", f"{record['core_s'] / 60:.1f}", f"{record['peak_memory_gb']:.2f}")
    console = Console()
    console.print(table)
    sites = list(next(iter(record["kidney_dsc"].values())))
    scores = Table(title="mean DSC, kidney (simulated patients)")
    for column in ("arm", *sites):
        scores.add_column(column, justify="left" if column == "arm" else "right")
    for arm, cells in record["kidney_dsc"].items():
        scores.add_row(arm, *(f"{cells[site]:.3f}" for site in sites))
    console.print(scores)


if __name__ == "__main__":
    main()
