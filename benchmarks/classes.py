"""What a class costs: training step, inference and way back to the scan's grid, of one network with 1 to 24 classes.

    python benchmarks/classes.py --threads 2

The network, patch and grid are those of the inversion study. Networks have random weights; the probabilities of the way
back are balls of 2 to 6 cm, one for each class, which is about what organs are. All contenders take turns.
"""

import argparse
import os
from collections.abc import Callable

import numpy as np
import torch
import yaml
from measured import ROOT, Apart, ms, ratio, show, take_turns, times, write
from training_step import step_on

from crossmod.models.stage import build_for
from crossmod.predict.native import native_mask
from crossmod.predict.network import TrainedStage
from crossmod.scans.grid import Grid
from crossmod.train.tasks import task_of

CLASSES = (1, 3, 8, 24)
SPACING_MM = 3.5
SCAN_MM = (2.0, 2.0, 5.0)


def stage_of(classes: int, patch: tuple[int, ...]) -> dict:
    """A stage with so many classes; what they consist of plays no part."""
    named = {f"class{number}": [f"structure{number}"] for number in range(classes)}
    return {"learns": "segmentation", "classes": named, "patch": list(patch), "overlap": 0.2, "keep": None}


def config(kind: str, name: str) -> dict:
    """A file of conf/."""
    return yaml.safe_load((ROOT / f"conf/{kind}/{name}.yaml").read_text(encoding="utf-8"))


def training_step(classes: int, patch: tuple[int, ...], threads: int) -> Callable[[], None]:
    """One optimiser step on noise."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    stage, training = stage_of(classes, patch), config("training", "default")
    network = build_for(config("model", "unet"), stage)
    image = torch.randn(training["batch"], 1, *patch)
    label = torch.randint(0, classes + 1, image.shape)
    return step_on(network, task_of(stage, training), training, patch, (image, label))


def inference(classes: int, patch: tuple[int, ...], threads: int, shape: tuple[int, ...]) -> Callable[[], None]:
    """Probabilities of a whole image on the grid of the stage."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    stage, training = stage_of(classes, patch), config("training", "default")
    network = TrainedStage.of(build_for(config("model", "unet"), stage), stage, training["precision"])
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    return lambda: network.probability(image, 0.0) is None


def way_back(classes: int, shape: tuple[int, ...]) -> Callable[[], None]:
    """Class values on the grid of a scan."""
    rng = np.random.default_rng(0)
    index = np.indices(shape, dtype=np.float32)
    balls = []
    for _ in range(classes):
        centre, radius = rng.uniform(0.2, 0.8, 3) * shape, rng.uniform(10, 30) / SPACING_MM
        distance = np.sqrt(sum((axis - place) ** 2 for axis, place in zip(index, centre, strict=True)))
        balls.append(1 / (1 + np.exp(2 * (distance - radius))))
    found = np.stack(balls) / np.maximum(1, np.sum(balls, axis=0))
    probability = found[0] if classes == 1 else np.concatenate([1 - found.sum(axis=0, keepdims=True), found])
    grid = Grid(shape, np.diag([SPACING_MM] * 3 + [1.0]))
    scan = Grid(tuple(int(n * SPACING_MM / mm) for n, mm in zip(shape, SCAN_MM, strict=True)), np.diag([*SCAN_MM, 1.0]))
    stage, values = stage_of(classes, shape), probability.astype(np.float32)
    return lambda: native_mask(values, grid, stage, scan) is None


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--patch", type=int, nargs=3, default=(64, 56, 48))
    parser.add_argument("--shape", type=int, nargs=3, default=(114, 91, 86), help="of the image on the stage's grid")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    patch, shape = tuple(options.patch), tuple(options.shape)
    parts = {
        "training step": (training_step, (patch, options.threads)),
        "inference": (inference, (patch, options.threads, shape)),
        "back to the scan": (way_back, (shape,)),
    }
    rows, record = [], {}
    for part, (make, arguments) in parts.items():
        ways = {str(classes): Apart(make, classes, *arguments) for classes in CLASSES}
        seconds = take_turns(ways, options.repeats, warm=2)
        for way in ways.values():
            way.close()
        # A ratio above one: how many times as long as with a single class.
        longer = {name: ratio(taken, seconds["1"]) for name, taken in seconds.items()}
        rows += [(part, name, ms(seconds[name]), times(longer[name])) for name in ways]
        record[part] = {"seconds": seconds, "longer": longer}
    size = f"patch {'×'.join(map(str, patch))}, image {'×'.join(map(str, shape))}, {options.threads} threads"
    show(f"What a class costs, {size}", ("part", "classes", "ms", "against one class"), rows)
    write("classes", {"options": vars(options), "parts": record})


if __name__ == "__main__":
    main()
