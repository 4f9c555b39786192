"""One training from its job: resumable, locked, deterministic, tracked."""

import contextlib
import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Lightning and MONAI are chatty about matters of other users.
warnings.filterwarnings("ignore", module="lightning|monai|torch|pydantic")

import lightning.pytorch as lightning  # noqa: E402
import pandas as pd  # noqa: E402
import torch  # noqa: E402
from filelock import FileLock, Timeout  # noqa: E402
from lightning.pytorch.callbacks import Callback  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402

from crossmod.job import Job, UserError, digest, read_json, whole, write_json  # noqa: E402
from crossmod.models.build import build, save_weights  # noqa: E402
from crossmod.models.hardware import Hardware, hardware_for  # noqa: E402
from crossmod.prepare.arrays import Prepared, read_prepared  # noqa: E402
from crossmod.progress import Progress  # noqa: E402
from crossmod.source import source_digest  # noqa: E402
from crossmod.split.draw import training_cases  # noqa: E402
from crossmod.train.module import Segmentation  # noqa: E402
from crossmod.train.resume import LAST, LastState, step_to_resume  # noqa: E402
from crossmod.train.sampling import Onward, Patches  # noqa: E402

for _name in ("lightning.pytorch", "lightning.fabric"):
    logging.getLogger(_name).setLevel(logging.WARNING)

LOG_EVERY = 10  # steps per point of the training curve


def train(job: Job) -> None:
    """Train, or go on with an interrupted training; see :func:`crossmod.train.run` for the job.

    Raises:
        UserError: if the training set is empty for this stage.
    """
    from crossmod.runs.training import TrainingRun

    settings = job.settings
    stage, training = settings["stages"][settings["stage"]], settings["training"]
    cases = _cases(job)
    resume = Path(job.outputs["resume"]) / digest([settings, source_digest("crossmod.train"), _fingerprint(cases)], 16)
    resume.mkdir(parents=True, exist_ok=True)
    with _alone(resume, job) as first:
        if not first:
            return
        torch.set_num_threads(training["threads"])
        torch.use_deterministic_algorithms(True)
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.manual_seed(settings["seed"])
        network = build(settings["model"])
        machine = hardware_for(network, stage["patch"], training["precision"])
        module = Segmentation(network, training, stage["steps"], machine)
        name = f"{settings['arm']['name']} {settings['stage']} seed{settings['seed']}"
        with TrainingRun(job.inputs["store"], name, settings, resume / "run_id") as run:
            curve = Curve(name, stage["steps"], run)
            _fit(module, cases, stage, settings, machine, resume, curve)
            run.finish(curve.rows)
        facts = {"arm": settings["arm"], "stage": {settings["stage"]: stage}, "seed": settings["seed"]}
        save_weights(module.network, job.outputs["weights"], facts | {"model": settings["model"]})
        with whole(job.outputs["history"]) as partial:
            pd.DataFrame(curve.rows).to_csv(partial, index=False, lineterminator="\n")
        write_json(job.outputs["run"], {"run_id": run.run_id, "cases": len(cases)})
        (resume / LAST).unlink(missing_ok=True)


@contextlib.contextmanager
def _alone(resume: Path, job: Job) -> Iterator[bool]:
    """Two copies of one training can meet after a killed workflow: the second waits, and takes the first one's result."""
    lock = FileLock(resume / "lock")
    waited = False
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("the same training is running already; waiting for it to end", file=sys.stderr, flush=True)
        waited = True
        lock.acquire()
    try:
        yield not (waited and all(Path(job.outputs[key]).is_file() for key in ("weights", "history", "run")))
    finally:
        lock.release()


class Curve(Callback):
    """The training curve; it travels with the checkpoint, so a resumed run has the whole of it."""

    def __init__(self, name: str, steps: int, run: Any) -> None:
        self.rows: list[dict[str, float]] = []
        self.pending: list[float] = []
        self.progress = Progress(f"train {name}", steps, "steps", every_s=20)
        self.run = run

    def state_dict(self) -> dict[str, Any]:
        """Rows so far, for the checkpoint."""
        return {"rows": self.rows, "pending": self.pending}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Rows of the interrupted run."""
        self.rows, self.pending = list(state["rows"]), list(state["pending"])

    def on_train_start(self, trainer: lightning.Trainer, module: Segmentation) -> None:
        """Count a resumed run from where it is."""
        self.progress.done = self.progress.first = trainer.global_step
        self.progress.start = time.monotonic()

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Segmentation, outputs: Any, *_: Any) -> None:
        """Average the loss over a few steps."""
        self.pending.append(float(outputs["loss"]))
        if trainer.global_step % LOG_EVERY == 0 or trainer.global_step == trainer.max_steps:
            loss = sum(self.pending) / len(self.pending)
            rate = trainer.optimizers[0].param_groups[0]["lr"]
            self.rows.append({"step": trainer.global_step, "loss": loss, "learning_rate": rate})
            self.run.log(self.rows[-1])
            self.pending = []
        self.progress.advance(note=f", loss {self.rows[-1]['loss']:.3f}" if self.rows else "")


def _fit(
    module: Segmentation,
    cases: list[Prepared],
    stage: dict,
    settings: dict,
    machine: Hardware,
    resume: Path,
    curve: Curve,
) -> None:
    training = settings["training"]
    last = resume / LAST
    print(f"{curve.progress.what}: {machine.chosen(module.network)}", file=sys.stderr)
    trainer = lightning.Trainer(
        accelerator=machine.accelerator,
        devices=1,
        precision=machine.precision,
        max_steps=stage["steps"],
        max_epochs=-1,
        logger=False,
        callbacks=[curve, LastState(last)],
        deterministic=True,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=resume,
    )
    batch = training["batch"]
    patches = Patches(cases, stage, training, settings["seed"])
    order = Onward(training["checkpoint_every"] * batch, batch, lambda: trainer.global_step)
    loader = DataLoader(patches, batch_size=batch, sampler=order, num_workers=0)
    step = step_to_resume(last, module, stage["steps"], curve.state_key)
    if step is not None:
        print(f"{curve.progress.what}: resuming from step {step}", file=sys.stderr)
    trainer.fit(module, loader, ckpt_path=last if step is not None else None, weights_only=True)


def _cases(job: Job) -> list[Prepared]:
    training = read_json(job.inputs["training"])
    folders = {Path(folder).name: Path(folder) for folder in job.inputs["prepared"]}
    cases = [
        case
        for cohort, names in sorted(training_cases(training, job.settings["arm"]).items())
        for case in read_prepared(folders[cohort], job.settings["stage"], names, teaching=True)
    ]
    if not any(len(case.foreground) for case in cases):
        raise UserError(
            f"Arm '{job.settings['arm']['name']}' has no foreground for stage '{job.settings['stage']}': none of its "
            f"{len(cases)} cases has a voxel of {job.settings['stages'][job.settings['stage']]['structures']}."
        )
    return cases


def _fingerprint(cases: list[Prepared]) -> list:
    """What a resumed run must share with the interrupted one, beside its settings."""
    return [[case.cohort, case.case, int(case.label.sum()), float(case.image.sum(dtype=float))] for case in cases]
