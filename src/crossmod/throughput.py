"""Throughput: how many planes a second networks segment on this machine.

What is measured differs from run to run: no other result depends on it, and it is the same on no two machines.
"""

import os
import platform
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossmod.job import Job, Plain, UserError, whole

# ASSUME: 25 planes a second are real time, as in film; one plane then takes 40 ms at most.
REAL_TIME_MS = 40.0
# ASSUME: a processor that others have for a twentieth of the time makes a figure too slow to be believed.
BUSY = 0.05


@dataclass(frozen=True)
class Speed:
    """How long one call takes.

    Attributes:
        median_ms: half of the calls were faster.
        p95_ms: 95 of 100 were faster.
        waited: share of the time in which other programs had the processor; None where the system does not tell.
    """

    median_ms: float
    p95_ms: float
    waited: float | None


def run(job: Job) -> None:
    """Time the networks of a study on one plane after another, one at a time.

    A plane is segmented as the predict step does it: cut into windows or patches, put together again, and turned into
    probabilities; reading, resampling and writing do not count. Weights are random, for none of it depends on them.

    inputs: none. outputs: ``table`` (CSV). settings: ``models`` (name → network), ``stage`` (what they learn; its
    ``patch`` is one voxel thick), ``slice`` (pixels along both axes of the plane), ``warm_up`` and ``repeats`` (calls
    before and while it is timed), ``threads``, ``precision``.

    Columns of the table, one row per network: ``model``; ``parameters``; ``slice``; ``device``, ``processor``,
    ``threads``, ``cores``, ``precision`` and ``torch``, which say what computed it; ``warm_up``, ``repeats``;
    ``median_ms``, ``p95_ms``; ``slices_per_s``, by the median; ``real_time``, whether the median is ``limit_ms`` or
    less; ``waited``, the share of the time in which other programs had the processor (Linux); ``note``, which warns
    where that was too much.

    Raises:
        UserError: if the stage's patch is not one voxel thick, or a network does not fit it.
    """
    import pandas as pd
    import torch

    settings, table = job.settings, job.outputs["table"]
    torch.set_num_threads(settings["threads"])
    rows = []
    for name, model in settings["models"].items():
        rows.append({"model": name, **timed(model, settings)})
        _tell(rows[-1])
    with whole(table) as partial:
        pd.DataFrame(rows).to_csv(partial, index=False, lineterminator="\n")


def _tell(row: Plain) -> None:
    print("throughput {model}: {median_ms} ms a plane, {slices_per_s} a second".format(**row), file=sys.stderr)
    if row["note"]:
        print(f"warning: throughput {row['model']}: {row['note']}", file=sys.stderr)


def _note(waited: float | None) -> str:
    """A warning where others had the processor for too long."""
    if waited is None or waited <= BUSY:
        return ""
    return (
        f"other programs had the processor in {waited:.0%} of the time, so that this network is faster than told; "
        "measure again on a quiet machine"
    )


def timed(model: Plain, settings: Plain) -> Plain:
    """The row of one network, but for its name."""
    import torch

    from crossmod.models.stage import build_for
    from crossmod.models.thin import thin_axis
    from crossmod.predict.network import TrainedStage

    stage = settings["stage"]
    if thin_axis(stage["patch"]) is None:
        raise UserError(f"stage.patch: {stage['patch']} is no plane; throughput is of patches one voxel thick.")
    torch.manual_seed(0)
    network = build_for(model, stage)
    trained = TrainedStage.of(network, stage, settings["precision"])
    image = np.random.default_rng(0).normal(size=_plane(stage["patch"], settings["slice"])).astype(np.float32)
    speed = measured(lambda: trained.probability(image, 0.0), settings["warm_up"], settings["repeats"])
    gpu = trained.machine.accelerator == "gpu"
    return {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "slice": "x".join(map(str, settings["slice"])),
        "device": torch.cuda.get_device_name() if gpu else "cpu",
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "precision": trained.machine.precision,
        "torch": str(torch.__version__),
        "warm_up": settings["warm_up"],
        "repeats": settings["repeats"],
        "median_ms": round(speed.median_ms, 2),
        "p95_ms": round(speed.p95_ms, 2),
        "slices_per_s": round(1000 / speed.median_ms, 1),
        "real_time": speed.median_ms <= REAL_TIME_MS,
        "limit_ms": REAL_TIME_MS,
        "waited": None if speed.waited is None else round(speed.waited, 3),
        "note": _note(speed.waited),
    }


def measured(call: Callable[[], object], warm_up: int, repeats: int) -> Speed:
    """Time a call again and again.

    Args:
        call: ends when its result is there.
        warm_up: calls before the clock runs.
        repeats: calls that are timed, each by itself.
    """
    for _ in range(warm_up):
        call()
    taken_ms, before_s = [], _waited_s()
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        taken_ms.append(1000 * (time.perf_counter() - start))
    after_s = _waited_s()
    waited = None if before_s is None or after_s is None else 1000 * (after_s - before_s) / sum(taken_ms)
    return Speed(float(np.median(taken_ms)), float(np.percentile(taken_ms, 95)), waited)


def _waited_s() -> float | None:
    """For how long this thread could have run and did not, as Linux counts it."""
    told = Path("/proc/thread-self/schedstat")
    return int(told.read_text(encoding="ascii").split()[1]) / 1e9 if told.is_file() else None


def processor() -> str:
    """The kind of processor, such as its maker calls it; nothing that tells one machine from another of its kind."""
    told = Path("/proc/cpuinfo")
    named = (
        re.search(r"^model name\s*:\s*(.+)$", told.read_text(encoding="utf-8"), re.MULTILINE)
        if told.is_file()
        else None
    )
    return named[1].strip() if named else platform.processor() or platform.machine()


def _plane(patch: list[int], size: list[int]) -> list[int]:
    """Shape of an image of one plane, thin where the patch is."""
    sides = iter(size)
    return [1 if side == 1 else next(sides) for side in patch]
