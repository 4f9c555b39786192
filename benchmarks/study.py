"""A whole study from nothing: wall time, core time, peak memory, and the DSC it reached.

    python benchmarks/study.py --scale smoke --cores 2
    python benchmarks/study.py --scale laptop --folder FOLDER --only-bare  # the last table again

Beside the wall time stands what its training steps and its networks' inference take by themselves, without patches,
files, masks, scores, statistics and the start of processes: measured after the study with as many processes at a time
as it had cores.

The project is copied to a temporary folder (or ``--folder``), so nothing finished before is taken over.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
from measured import PeakMemory, take_turns
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("Snakefile", "workflow", "profiles", "conf", "src", "notebooks", "environment.yml")


def step_s(job: dict) -> float:
    """Median seconds of a bare training step: the job's network, batch and threads on noise."""
    import torch
    from training_step import bare_step

    from crossmod.models.stage import build_for

    settings = job["settings"]
    torch.set_num_threads(settings["training"]["threads"])
    torch.use_deterministic_algorithms(True)
    stage = settings["stages"][settings["stage"]]
    step = bare_step(build_for(settings["model"], stage), settings["training"], stage["patch"])
    return statistics.median(take_turns({"step": step}, repeats=50, warm=10)["step"])


def networks_s(job: dict, folder: Path, few: int = 6) -> float:
    """Seconds that the networks of a predict job need: measured on a few of its cases, times their number."""
    import numpy as np
    import torch

    from crossmod.predict.network import TrainedStage
    from crossmod.prepare.stored import read_prepared

    settings = job["settings"]
    torch.set_num_threads(settings["threads"])
    first, second = (
        TrainedStage.load(
            folder / job["inputs"]["weights"][name][0],
            settings["stages"][name],
            settings["models"][name],
            settings["precision"],
        )
        for name in settings["cascade"]
    )
    placed = json.loads((folder / job["inputs"]["site"]).read_text(encoding="utf-8"))[settings["arm"]]
    prepared = {Path(path).name: folder / path for path in job["inputs"]["prepared"]}
    box = np.zeros(second.stage["patch"], dtype=np.float32)
    total = 0.0
    for cohort, names in ((cohort, list(cases)) for cohort, cases in placed.items()):
        cases = read_prepared(prepared[cohort], settings["cascade"][0], names[:few])
        first.probability(cases[0].image, cases[0].background)  # warm
        start = time.perf_counter()
        for case in cases:
            first.probability(case.image, case.background)
            for _ in range(4):  # two kidneys, in their own boxes and in those of the reference
                second.probability(box, case.background)
        total += (time.perf_counter() - start) / len(cases) * len(names)
    return total


def bare_s(folder: Path, scale: str, cores: int) -> dict[str, float]:
    """Seconds of all training steps and of all inference of a study that is there, summed over its jobs."""
    results = folder / "results/renal" / scale
    read = lambda paths: [json.loads(path.read_text(encoding="utf-8")) for path in sorted(paths)]  # noqa: E731
    trainings, predictions = (
        read(results.glob("train/*/*/seed*/job.json")),
        read(results.glob("predict/*/seed*/*.job.json")),
    )
    by_stage = {job["settings"]["stage"]: job for job in trainings}
    by_site = {job["settings"]["site"]: job for job in predictions}
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
        step = {stage: statistics.mean(pool.map(step_s, [job] * cores)) for stage, job in by_stage.items()}
        site = {
            name: statistics.mean(pool.map(networks_s, [job] * cores, [folder] * cores))
            for name, job in by_site.items()
        }
    steps = [
        (job["settings"]["stage"], job["settings"]["stages"][job["settings"]["stage"]]["steps"]) for job in trainings
    ]
    return {
        "training": sum(step[stage] * count for stage, count in steps),
        "inference": sum(site[job["settings"]["site"]] for job in predictions),
    }


def main() -> None:
    """Run the study and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", default="smoke")
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--folder", type=Path, help="keep the study here")
    parser.add_argument("--only-bare", action="store_true", help="the study in --folder is there already")
    options = parser.parse_args()
    target = ROOT / "results/benchmarks" / f"study_{options.scale}.json"
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        if options.only_bare:
            record = json.loads(target.read_text(encoding="utf-8"))
        else:
            record = measure(folder, options.scale, options.cores)
        record["bare_s"] = bare_s(folder, options.scale, options.cores)
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
        arm: {site: float(value) for (_, site), value in cell.items()}
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
    bare = sum(record["bare_s"].values()) / record["cores"]
    console.print(
        f"training steps {record['bare_s']['training'] / 60:.1f} core min, networks' inference "
        f"{record['bare_s']['inference'] / 60:.1f} core min: the study takes {record['wall_s'] / bare:.2f} times "
        "as long as these alone"
    )
    sites = list(next(iter(record["kidney_dsc"].values())))
    scores = Table(title="mean DSC, kidney (simulated patients)")
    for column in ("arm", *sites):
        scores.add_column(column, justify="left" if column == "arm" else "right")
    for arm, cells in record["kidney_dsc"].items():
        scores.add_row(arm, *(f"{cells[site]:.3f}" for site in sites))
    console.print(scores)


if __name__ == "__main__":
    main()
