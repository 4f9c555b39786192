"""Kidney DSC after equal training time, crossmod and nnU-Net on one cohort and the same cores.

    python benchmarks/contest.py --folder FOLDER      # measures speed, then trains whatever is not there yet
    python benchmarks/contest.py --folder FOLDER --only crossmod --threads 1     # and the others beside it
    python benchmarks/contest.py --folder FOLDER --only-show

Simulated CT of the renal study; the first stage of crossmod beside nnU-Net as it plans itself, and as it plans for
crossmod's patch and spacing. First the seconds of a step, patches included, are measured in turns on a quiet machine. A
minute then is a number of steps: trainings may run beside other work, each with the learning rate of its maker falling
to zero at its own end. Preparing is not counted. DSC is that of the masks in the scans' own space.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pingouin
from filelock import FileLock
from measured import ms, show, write
from prepare import nnunet, nnunet_raw
from real_scans import dsc

from crossmod.anatomy.structures import RENAL
from crossmod.anatomy.units import mask_of
from crossmod.cohort.simulated import write_cohort
from crossmod.cohort.table import read_cohort
from crossmod.design.compose import compose
from crossmod.scans.files import read_scan

CROSSMOD = str(Path(sys.executable).parent / "crossmod")
COHORTS = {"train": {"cases": 116, "seed": 7101}, "test": {"cases": 24, "seed": 7202}}
OURS, OWN, SAME = "crossmod", "nnU-Net, its own plan", "nnU-Net, planned for crossmod's patch"
PLANS = {OWN: "nnUNetPlans", SAME: "samePlans"}
MINUTES = {OURS: (1, 2, 5, 10, 30), SAME: (30, 10), OWN: (30, 10)}
STUDY = compose(["study=renal"])
STAGE = STUDY["stages"]["kidney"]


def as_file(job: dict[str, Any], path: Path) -> str:
    """A job as the file that `crossmod STEP` reads."""
    path.write_text(json.dumps(job, indent=1), encoding="utf-8")
    return str(path)


def make(folder: Path, cores: int) -> None:
    """Cohorts, crossmod's arrays and nnU-Net's; what is there stays."""
    facts = {key: STUDY["cohorts"]["ct"][key] for key in ("site", "recipe")}
    for name, own in COHORTS.items():
        if not (folder / name).exists():
            write_cohort("ct", folder / name, {**facts, **own}, cores)
        job = {
            "step": "prepare",
            "inputs": {"cohort": str(folder / name)},
            "outputs": {"folder": str(folder / f"prepared/{name}")},
            "settings": {"stages": {"kidney": STAGE}, "normalisation": STUDY["normalisation"]},
        }
        if not (folder / f"prepared/{name}").exists():
            asked = as_file(job, folder / f"prepare_{name}.json")
            subprocess.run([CROSSMOD, "prepare", asked, "--threads", str(cores)], cwd=folder, check=True)
    if not (folder / "raw").exists():
        nnunet_raw(folder / "train", folder, lambda name: name.split("_")[-1] in STAGE["classes"]["kidney"])
    spacing = {OWN: None, SAME: STAGE["spacing_mm"]}
    for name, plans in PLANS.items():
        if not (folder / f"preprocessed/Dataset001_Kidney/{plans}.json").is_file():
            command = [part for part in nnunet(cores, spacing[name]) if part != "--clean"]
            rename = ["-overwrite_plans_name", plans] if spacing[name] else []
            subprocess.run([*command, *rename], check=True)
    _plan_for_our_patch(folder / f"preprocessed/Dataset001_Kidney/{PLANS[SAME]}.json")


def _plan_for_our_patch(path: Path) -> None:
    """The network that nnU-Net's rules give for a patch: as many levels, strides and features as it allows."""
    from nnunetv2.experiment_planning.experiment_planners.network_topology import get_pool_and_conv_props

    plans = json.loads(path.read_text(encoding="utf-8"))
    configuration = plans["configurations"]["3d_fullres"]
    _, strides, kernels, patch, _ = get_pool_and_conv_props(
        configuration["spacing"], list(reversed(STAGE["patch"])), 4, 999999
    )
    whole = lambda rows: [[int(n) for n in row] for row in rows]  # noqa: E731
    levels = len(strides)
    configuration |= {"patch_size": [int(n) for n in patch], "batch_size": STUDY["training"]["batch"]}
    configuration["architecture"]["arch_kwargs"] |= {
        "n_stages": levels,
        "features_per_stage": [min(320, 32 * 2**level) for level in range(levels)],
        "kernel_sizes": whole(kernels),
        "strides": whole(strides),
        "n_conv_per_stage": [2] * levels,
        "n_conv_per_stage_decoder": [2] * (levels - 1),
    }
    path.write_text(json.dumps(plans, indent=2), encoding="utf-8")


def crossmod_command(folder: Path, out: Path, steps: int, threads: int) -> list[str]:
    """`crossmod train` of the first stage on the whole cohort."""
    out.mkdir(parents=True, exist_ok=True)
    cases = read_cohort(folder / "train").cases["case"].tolist()
    drawn = {"seed": 0, "sets": {"ct": [{"train": cases}]}, "parts": {}}
    (out / "training.json").write_text(json.dumps(drawn), encoding="utf-8")
    job = {
        "step": "train",
        "inputs": {
            "prepared": [str(folder / "prepared/train")],
            "training": str(out / "training.json"),
            "store": str(folder / "results/mlflow/store.json"),
        },
        "outputs": {
            "weights": str(out / "model.safetensors"),
            "history": str(out / "history.csv"),
            "run": str(out / "run.json"),
            "resume": str(out / "resume"),
        },
        "settings": {
            "title": "contest",
            "set": "ct",
            "fold": 0,
            "derived": [],
            "seed": 0,
            "stage": "kidney",
            "stages": {"kidney": {**STAGE, "steps": steps}},
            "model": STUDY["model"],
            "normalisation": STUDY["normalisation"],
            "training": {**STUDY["training"], "threads": threads},
            "tags": {"study": "contest", "scale": "laptop"},
        },
    }
    return [CROSSMOD, "train", as_file(job, out / "asked.json")]


def crossmod_masks(folder: Path, out: Path, threads: int) -> dict[str, np.ndarray]:
    """Case → kidneys in the scan's own space."""
    import torch

    from crossmod.predict.cascade import segment_image
    from crossmod.predict.network import TrainedStage
    from crossmod.predict.on_grid import OnGrid
    from crossmod.prepare.stored import read_prepared
    from crossmod.scans.grid import Grid

    torch.set_num_threads(threads)
    stage = TrainedStage.load(out / "model.safetensors", STAGE, STUDY["model"], "auto")
    masks = {}
    for case, image, _ in test_cases(folder):
        scan = read_scan(image)
        (prepared,) = read_prepared(folder / "prepared/test", "kidney", [case])
        on_grid = OnGrid({"kidney": prepared.image}, {"kidney": prepared.grid}, prepared.background)
        masks[case] = segment_image(on_grid, "kidney", stage, Grid(scan.array.shape, scan.affine)) > 0
    return masks


def nnunet_trainer(folder: Path, name: str, steps: int, threads: int) -> Any:
    """Its trainer as it stands, on the processor; the rate falls over as many steps as are made."""
    import torch
    from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    base = folder / "preprocessed/Dataset001_Kidney"
    plans = json.loads((base / f"{PLANS[name]}.json").read_text(encoding="utf-8")) | {"continue_training": False}
    facts = json.loads((base / "dataset.json").read_text(encoding="utf-8"))
    trainer = nnUNetTrainer(plans, "3d_fullres", "all", facts, torch.device("cpu"))
    trainer.initialize()
    trainer.on_train_start()
    trainer.network.train()
    trainer.lr_scheduler = PolyLRScheduler(trainer.optimizer, trainer.initial_lr, steps)
    return trainer


def nnunet_step(trainer: Any, step: int) -> None:
    """One step of it."""
    trainer.lr_scheduler.step(step)
    trainer.train_step(next(trainer.dataloader_train))


def nnunet_masks(folder: Path, trainer: Any) -> dict[str, np.ndarray]:
    """Case → kidneys, by its predictor: overlap of a half, no mirroring.

    Its network is computed as crossmod's are, or its own plan would take hours.
    """
    import torch
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    from crossmod.models.hardware import hardware_for

    trainer.set_deep_supervision_enabled(False)
    trainer.network.eval()
    hardware = hardware_for(trainer.network, trainer.configuration_manager.patch_size, "auto")
    hardware.lay_out(trainer.network)
    predictor = nnUNetPredictor(
        use_mirroring=False, device=torch.device("cpu"), perform_everything_on_device=False, allow_tqdm=False
    )
    predictor.manual_initialization(
        trainer.network,
        trainer.plans_manager,
        trainer.configuration_manager,
        [trainer.network.state_dict()],
        trainer.dataset_json,
        "nnUNetTrainer",
        None,
    )
    masks = {}
    for case, image, _ in test_cases(folder):
        array, properties = SimpleITKIO().read_images([str(image)])
        with hardware.autocast():
            masks[case] = predictor.predict_single_npy_array(array, properties).transpose(2, 1, 0) > 0
    return masks


def test_cases(folder: Path) -> list[tuple[str, Path, Path]]:
    """Name, image and labels of those who are scored."""
    cohort = read_cohort(folder / "test")
    return [(row["case"], cohort.root / row["image"], cohort.root / row["label"]) for _, row in cohort.cases.iterrows()]


def speed(folder: Path, threads: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of a step, patches included, in turns: crossmod's is the difference of a long and a short training."""
    seconds: dict[str, list[float]] = {name: [] for name in MINUTES}
    few = {SAME: 10, OWN: 1}
    trainers = {name: nnunet_trainer(folder, name, 1000, threads) for name in few}
    for name, trainer in trainers.items():
        for step in range(few[name]):
            nnunet_step(trainer, step)
    for _ in range(rounds):
        took = {}
        for steps in (100, 1000):
            with tempfile.TemporaryDirectory() as temporary:
                command = crossmod_command(folder, Path(temporary), steps, threads)
                start = time.perf_counter()
                subprocess.run(command, cwd=temporary, check=True, capture_output=True)
                took[steps] = time.perf_counter() - start
        seconds[OURS].append((took[1000] - took[100]) / 900)
        for name, trainer in trainers.items():
            start = time.perf_counter()
            for step in range(few[name]):
                nnunet_step(trainer, step)
            seconds[name].append((time.perf_counter() - start) / few[name])
    return seconds


def contest(folder: Path, name: str, steps: int, threads: int) -> dict[str, float]:
    """Train, and return the DSC of every test case."""
    with tempfile.TemporaryDirectory() as temporary:
        if name == OURS:
            subprocess.run(crossmod_command(folder, Path(temporary), steps, threads), cwd=temporary, check=True)
            masks = crossmod_masks(folder, Path(temporary), threads)
        else:
            trainer = nnunet_trainer(folder, name, steps, threads)
            for step in range(steps):
                nnunet_step(trainer, step)
            masks = nnunet_masks(folder, trainer)
    labels = read_cohort(folder / "test").labels
    return {
        case: float(dsc(masks[case], mask_of(read_scan(label).array, labels, RENAL)))
        for case, _, label in test_cases(folder)
    }


def main() -> None:
    """Measure what is not measured yet, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="keeps cohorts, arrays and what was measured")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=MINUTES, default=list(MINUTES), help="train these alone")
    parser.add_argument("--only-show", action="store_true")
    options = parser.parse_args()
    folder = options.folder.resolve()
    os.environ |= {f"nnUNet_{name}": str(folder / name) for name in ("raw", "preprocessed", "results")}
    os.environ |= {"nnUNet_n_proc_DA": "1"}  # one process beside the trainer makes its patches
    known = Known(folder / "contest.json")
    if not options.only_show:
        make(folder, options.threads)
        seconds = known("step_s", lambda: speed(folder, options.threads, options.rounds))
        for name, minutes in [(one, turn) for one in options.only for turn in MINUTES[one]]:
            steps = max(1, round(60 * minutes / float(np.median(seconds[name]))))
            known(f"{name} | {minutes}", lambda n=name, s=steps: contest(folder, n, s, options.threads))
    told(known.values)
    write("contest", known.values)


class Known:
    """Results in a JSON file that several processes add to; a measurement that is there is not repeated."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def values(self) -> dict[str, Any]:
        """What is known by now."""
        return json.loads(self.path.read_text(encoding="utf-8")) if self.path.is_file() else {}

    def __call__(self, key: str, measure: Callable[[], Any]) -> Any:
        """The value of a key, measured if need be."""
        if key not in self.values:
            found = measure()
            with FileLock(self.path.with_suffix(".lock")):
                self.path.write_text(json.dumps(self.values | {key: found}, indent=2) + "\n", encoding="utf-8")
        return self.values[key]


def told(values: dict[str, Any]) -> None:
    """Print DSC by minutes, and crossmod's advantage with its interval."""
    show("A step, patches included", ("", "ms"), [(name, ms(s)) for name, s in values["step_s"].items()])
    scores = pd.DataFrame({tuple(key.split(" | ")): cases for key, cases in values.items() if key != "step_s"})
    rows = []
    for name, minutes in scores:
        mine, theirs = scores[OURS, minutes], scores[name, minutes]
        ahead = ""
        if name != OURS:
            low, high = pingouin.compute_bootci(mine - theirs, func="mean", method="bca", seed=0, n_boot=9999)
            ahead = f"{(mine - theirs).mean():+.3f} ({low:+.3f} to {high:+.3f})"
        rows.append((name, minutes, f"{theirs.mean():.3f} ({theirs.min():.3f}–{theirs.max():.3f})", ahead))
    columns = ("", "minutes", "mean DSC (range)", "crossmod's advantage (95 %)")
    show(f"Kidneys of {len(scores)} simulated CT", columns, rows)


if __name__ == "__main__":
    main()
