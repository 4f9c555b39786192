"""A cohort made ready for training.

crossmod's prepare step and nnU-Net's `plan_and_preprocess` run as the commands that users type.

    python benchmarks/prepare.py --cases 24 --cores 2

crossmod writes the arrays of both stages of the renal study; nnU-Net those of `3d_fullres`, once as it plans itself and
once on the spacing of the study's finer stage. nnU-Net is left out where it is not installed. Then crossmod alone on
twice and four times the cases, and on scans of twice and four times the voxels: time should grow as they do, memory
only with the voxels of one scan.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from measured import PeakMemory, show, take_turns, told_s, write

from crossmod.cohort.simulated import write_cohort
from crossmod.design.compose import compose
from crossmod.phantom import LABELS

VOXELS = {1: 2.0, 2: 2.0 / 2 ** (1 / 3), 4: 2.0 / 4 ** (1 / 3)}  # times as many: edge in mm


def cohort_of(folder: Path, cases: int, spacing_mm: float, threads: int) -> Path:
    """Simulated CT; written once."""
    target = folder / f"ct{cases}x{spacing_mm:.2f}"
    if not target.exists():
        settings = {"cases": cases, "seed": 5, "site": "bench", "recipe": {"spacing_mm": [spacing_mm] * 3}}
        write_cohort("ct", target, settings, threads)
    return target


def ours(cohort: Path, out: Path, cores: int) -> list[str]:
    """`crossmod prepare` with the renal study's stages."""
    study = compose(["study=renal"])
    job = {
        "step": "prepare",
        "inputs": {"cohort": str(cohort)},
        "outputs": {"folder": str(out)},
        "settings": {"stages": study["stages"], "normalisation": study["normalisation"]},
    }
    return [f"{Path(sys.executable).parent}/crossmod", "prepare", json.dumps(job), "--threads", str(cores)]


def nnunet_raw(cohort: Path, folder: Path, wanted: Callable[[str], bool]) -> None:
    """The same cohort as nnU-Net wants it: links to the images, and one label of all wanted structures."""
    import nibabel as nib

    dataset = folder / "raw/Dataset001_Kidney"
    for part in ("imagesTr", "labelsTr"):
        (dataset / part).mkdir(parents=True)
    values = [value for value, name in LABELS.items() if wanted(name)]
    images = sorted((cohort / "images").glob("*.nii.gz"))
    for image in images:
        name = image.name.removesuffix(".nii.gz")
        (dataset / f"imagesTr/{name}_0000.nii.gz").symlink_to(image.resolve())
        label = nib.load(cohort / "labels" / image.name)
        mask = np.isin(np.asanyarray(label.dataobj), values).astype(np.uint8)
        nib.save(nib.Nifti1Image(mask, label.affine), dataset / f"labelsTr/{name}.nii.gz")
    facts = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "foreground": 1}, "file_ending": ".nii.gz"}
    (dataset / "dataset.json").write_text(json.dumps(facts | {"numTraining": len(images)}), encoding="utf-8")


def nnunet(cores: int, spacing_mm: list[float] | None) -> list[str]:
    """nnU-Net's own command."""
    command = f"{Path(sys.executable).parent}/nnUNetv2_plan_and_preprocess"
    own = [] if spacing_mm is None else ["-overwrite_target_spacing", *map(str, spacing_mm)]
    return [
        command,
        "-d",
        "1",
        "-c",
        "3d_fullres",
        "-np",
        str(cores),
        "-npfp",
        str(cores),
        "--no_pbar",
        "--clean",
        *own,
    ]


class Command:
    """A command that is run anew each time; its largest memory is kept."""

    def __init__(self, arguments: list[str], output: Path) -> None:
        self.arguments, self.output, self.peak = arguments, output, 0

    def __call__(self) -> None:
        """Run it.

        Raises:
            SystemExit: if it fails.
        """
        shutil.rmtree(self.output, ignore_errors=True)
        with tempfile.TemporaryFile("w+") as said:
            process = subprocess.Popen(self.arguments, cwd=self.output.parent, stdout=said, stderr=said)
            memory = PeakMemory(process.pid, every_s=0.1)
            memory.start()
            code = process.wait()
            memory.done.set()
            self.peak = max(self.peak, memory.peak)
            if code:
                said.seek(0)
                raise SystemExit(f"{self.arguments[0]} failed:\n{said.read()[-2000:]}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=24)
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        record = {"options": vars(options), "peers": peers(folder, options), "growth": growth(folder, options)}
    write("prepare", record)


def peers(folder: Path, options: argparse.Namespace) -> dict:
    """crossmod and nnU-Net on one cohort."""
    cohort = cohort_of(folder, options.cases, VOXELS[1], options.cores)
    commands = {"crossmod, two stages": Command(ours(cohort, folder / "ours", options.cores), folder / "ours")}
    if (Path(sys.executable).parent / "nnUNetv2_plan_and_preprocess").is_file():
        nnunet_raw(cohort, folder, lambda name: name.endswith("parenchyma"))
        os.environ |= {f"nnUNet_{name}": str(folder / name) for name in ("raw", "preprocessed", "results")}
        for title, spacing in (("nnU-Net, its own plan", None), ("nnU-Net at 2 mm", [2.0, 2.0, 2.0])):
            commands[title] = Command(nnunet(options.cores, spacing), folder / "preprocessed")
    seconds = take_turns(commands, options.repeats, warm=0)
    first = np.median(seconds["crossmod, two stages"])
    rows = [
        (name, told_s(seconds[name]), f"{np.median(seconds[name]) / first:.1f}×", f"{command.peak / 1e9:.2f}")
        for name, command in commands.items()
    ]
    columns = ("", "seconds", "of crossmod's time", "peak memory (GB)")
    show(f"{options.cases} simulated CT of 2 mm, {options.cores} cores", columns, rows)
    return {name: {"seconds": seconds[name], "peak_bytes": command.peak} for name, command in commands.items()}


def growth(folder: Path, options: argparse.Namespace) -> list[dict]:
    """crossmod on more cases, and on larger scans."""
    sizes = [(times, 1) for times in (1, 2, 4)] + [(1, times) for times in (2, 4)]
    commands = {}
    for cases, voxels in sizes:
        cohort = cohort_of(folder, cases * options.cases, VOXELS[voxels], options.cores)
        out = folder / f"out{cases}x{voxels}"
        commands[cases, voxels] = Command(ours(cohort, out, options.cores), out)
    seconds = take_turns(commands, options.repeats, warm=0)
    record = [
        {"cases": cases, "voxels": voxels, "seconds": seconds[cases, voxels], "peak_bytes": command.peak}
        for (cases, voxels), command in commands.items()
    ]
    rows = [
        (f"{row['cases']} ×", f"{row['voxels']} ×", told_s(row["seconds"]), f"{row['peak_bytes'] / 1e9:.2f}")
        for row in record
    ]
    show("Growth", ("cases", "voxels", "seconds", "peak memory (GB)"), rows)
    middle = {key: np.median(values) for key, values in seconds.items()}
    exponents = {
        what: math.log(middle[key] / middle[1, 1]) / math.log(4)
        for what, key in (("cases", (4, 1)), ("voxels", (1, 4)))
    }
    print(f"time grows as cases^{exponents['cases']:.2f} and voxels^{exponents['voxels']:.2f}")
    return record


if __name__ == "__main__":
    main()
