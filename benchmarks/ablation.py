"""Which ingredients of the simulated patients matter on real scans: kidney DSC with and without each, several seeds.

    python benchmarks/ablation.py --data ../shared/data --cores 2

Trains the kidney stage of the study `measure`, smaller and coarser, on cohorts that differ in one thing, and scores
every training on the real scans of `real_scans.py`. Seeds differ in the network and in the order of patches; the
patients are the same bodies throughout, but for planted kidneys. What is finished is kept under ``--folder`` and not
done again.
"""

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from measured import ROOT, write
from real_scans import SETS, VALUES, dsc, scans_of
from rich.console import Console
from rich.table import Table
from scipy import stats

from crossmod.design.arms import arms
from crossmod.design.compose import compose
from crossmod.predict.cascade import segment_image
from crossmod.predict.network import TrainedStage
from crossmod.predict.on_grid import on_grids
from crossmod.scans.grid import Grid

BASE = (
    "cohorts.ct.cases=120",
    "cohorts.mr.cases=200",
    "pools.ct.patients=120",
    "pools.mr.amounts=[200]",
    "stages.kidney.spacing_mm=[4.5,4.5,4.5]",
    "stages.kidney.patch=[64,56,56]",
    # The audit wants the sites' patients, too; nothing is measured on them.
    "cohorts.mr_new.cases=2",
    "cohorts.ct_new.cases=2",
    "cohorts.ct_plain.cases=2",
)
# What is changed, by the folder of its cohorts; `{shapes}` is the folder of label maps.
CHANGES: dict[str, tuple[str, ...]] = {
    "all": (),
    "shapes": tuple(f"+cohorts.{c}.population.shapes={{shapes}}" for c in ("ct", "mr")),
    "bias": ("+cohorts.mr.recipe.mr.bias=0",),
    "blur": tuple(f"+cohorts.{c}.recipe.slice_thickness_mm=1" for c in ("ct", "mr")),
    "randomisation": tuple(f"cohorts.{c}.randomised=0" for c in ("ct", "mr")),
}
# Title, folder, and the strategy of the arm.
VARIANTS = (
    ("as they are", "all", "mixed"),
    ("with real kidneys (KiTS23) planted", "shapes", "mixed"),
    ("without receive field (bias)", "bias", "mixed"),
    ("without partial volume through the plane", "blur", "mixed"),
    ("without domain randomisation", "randomisation", "mixed"),
    ("without CT", "all", "pure"),
)


def overrides(change: str, options: argparse.Namespace) -> list[str]:
    """Hydra overrides of the cohorts of one change."""
    extra = [text.format(shapes=options.data.resolve() / "kits23_3mm") for text in CHANGES[change]]
    seeds = f"seeds=[{','.join(map(str, range(options.seeds)))}]"
    return ["study=measure", *BASE, f"stages.kidney.steps={options.steps}", seeds, *extra]


def trainings(change: str, strategy: str, options: argparse.Namespace) -> list[Path]:
    """Weights of every seed, relative to the folder of the change."""
    arm = next(arm.name for arm in arms(compose(overrides(change, options))) if arm.levels["strategy"] == strategy)
    return [
        Path(f"results/measure/laptop/train/{arm}/kidney/seed{seed}/model.safetensors") for seed in range(options.seeds)
    ]


def command(change: str, options: argparse.Namespace) -> list[str]:
    """Snakemake, for all trainings that one change needs, on one core."""
    wanted = [
        str(path) for _, at, strategy in VARIANTS if at == change for path in trainings(change, strategy, options)
    ]
    keys = overrides(change, options)
    where = ["-s", str(ROOT / "Snakefile"), "--directory", str(options.folder / change), "--cores", "1"]
    return ["snakemake", *where, *wanted, "--config", "study=measure", "override=" + " ".join(keys[1:])]


def train(change: str, words: list[str], options: argparse.Namespace) -> str:
    """Simulate, prepare and train; what went wrong, or nothing."""
    folder = options.folder / change
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.txt"
    with log.open("w") as stream:
        done = subprocess.run(words, cwd=ROOT, stdout=stream, stderr=subprocess.STDOUT, check=False)
    return "" if done.returncode == 0 else f"{log}:\n" + "\n".join(log.read_text().splitlines()[-15:])


def score(options: argparse.Namespace) -> pd.DataFrame:
    """One row per variant, seed and real scan: DSC of both kidneys."""
    study = compose(overrides("all", options))
    stage, rows = study["stages"]["kidney"], []
    ready = []
    for real in SETS:
        for name, scan, labels in scans_of(options.data, real):
            grids = on_grids(scan, real.modality, {"kidney": stage}, study["normalisation"])
            ready.append(
                (real.title, name, grids, Grid(scan.array.shape, scan.affine), np.isin(labels, [*VALUES.values()]))
            )
    for title, change, strategy in VARIANTS:
        for seed, path in enumerate(trainings(change, strategy, options)):
            weights = options.folder / change / path
            network = TrainedStage.load(weights, stage, study["model"], study["training"]["precision"])
            for real, name, grids, native, both in ready:
                found = segment_image(grids, "kidney", network, native) > 0
                rows.append({"variant": title, "seed": seed, "set": real, "scan": name, "dsc": dsc(found, both)})
    return pd.DataFrame(rows)


def compare(scores: pd.DataFrame) -> pd.DataFrame:
    """Per set and variant: mean DSC of each seed, and the difference from the patients as they are.

    The interval is Welch's over the seeds (95 %): how much of the difference is chance of training. The scans are
    fixed.
    """
    rows = []
    for real, part in scores.groupby("set", sort=False):
        by_seed = part.groupby(["variant", "seed"], sort=False)["dsc"].mean().unstack("seed")
        base = by_seed.iloc[0].to_numpy()
        for variant, values in zip(by_seed.index, by_seed.to_numpy(), strict=True):
            row = {"set": real, "variant": variant, "seeds": values.round(3).tolist(), "mean": values.mean()}
            if variant != by_seed.index[0]:
                interval = stats.ttest_ind(values, base, equal_var=False).confidence_interval()
                row |= {"difference": values.mean() - base.mean(), "low": interval.low, "high": interval.high}
            rows.append(row)
    return pd.DataFrame(rows)


def show(table: pd.DataFrame, scores: pd.DataFrame) -> None:
    """Print one table per set."""
    console = Console(width=140)
    for real, part in table.groupby("set", sort=False):
        scans = scores.loc[scores["set"] == real, "scan"].nunique()
        drawn = Table(title=f"{real}: kidney DSC, mean of {scans} scans")
        for column in ("patients", "each seed", "mean", "difference", "95 % over seeds"):
            drawn.add_column(column, justify="left" if column == "patients" else "right")
        for row in part.to_dict("records"):
            first = np.isnan(row["difference"])
            drawn.add_row(
                row["variant"],
                ", ".join(f"{value:.3f}" for value in row["seeds"]),
                f"{row['mean']:.3f}",
                "" if first else f"{row['difference']:+.3f}",
                "" if first else f"{row['low']:+.3f} to {row['high']:+.3f}",
            )
        console.print(drawn)


def main() -> None:
    """Train, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folder", type=Path, default=ROOT / "results/benchmarks/ablation")
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2500)
    options = parser.parse_args()
    options.folder = options.folder.resolve()
    if not any(any(options.data.glob(real.images)) for real in SETS):
        sys.exit(f"{options.data}: none of {', '.join(real.images for real in SETS)} is there")
    if not any((options.data / "kits23_3mm").rglob("*.nii.gz")):  # before an hour of training
        sys.exit(f"{options.data / 'kits23_3mm'}: no label maps of KiTS23 (*.nii.gz), whose kidneys one row plants")
    commands = {change: command(change, options) for change in CHANGES}  # here: Hydra composes one config at a time
    with ThreadPoolExecutor(options.cores) as pool:
        faults = [text for text in pool.map(lambda item: train(*item, options), commands.items()) if text]
    if faults:
        sys.exit("\n".join(faults))
    scores = score(options)
    table = compare(scores)
    show(table, scores)
    record = {
        "steps": options.steps,
        "table": table.astype(object).where(table.notna(), None).to_dict("records"),
        "scores": scores.to_dict("records"),
    }
    write("ablation", record)


if __name__ == "__main__":
    main()
