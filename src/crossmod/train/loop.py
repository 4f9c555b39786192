"""One training from its job: resumable, locked, deterministic, tracked."""

import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import pandas as pd
import torch
from filelock import FileLock, Timeout
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader

from crossmod.job import Job, Plain, UserError, digest, file_digest, whole, write_json
from crossmod.models.build import save_weights, start_from
from crossmod.models.hardware import hardware_for
from crossmod.models.stage import build_for, fitted
from crossmod.prepare.stored import Prepared
from crossmod.progress import Progress
from crossmod.source import source_digest, targets_in
from crossmod.train.cases import training_set
from crossmod.train.module import Training
from crossmod.train.optimise import steps_of
from crossmod.train.resume import LAST, LastState, step_to_resume
from crossmod.train.sampling import Onward, Patches
from crossmod.train.tasks import task_of

for _name in ("lightning.pytorch", "lightning.fabric"):
    logging.getLogger(_name).setLevel(logging.WARNING)

LOG_EVERY = 10  # steps per point of the training curve
PRIOR_OF = 200  # patches that tell how many of them hold foreground


def train(job: Job) -> None:
    """Train, or go on with an interrupted training; see :func:`crossmod.train.run` for the job.

    Raises:
        UserError: if the training set is empty for this stage, or the weights to start from do not fit.
    """
    from crossmod.runs.training import TrainingRun

    settings = job.settings
    stage, training = settings["stages"][settings["stage"]], settings["training"]
    cases = training_set(job)
    start = job.inputs.get("start")
    found = [
        json.dumps(settings),
        source_digest("crossmod.train:run", *targets_in(settings)),
        _fingerprint(cases),
        _hash(start),
    ]
    resume = Path(job.outputs["resume"]) / digest(found, 16)
    resume.mkdir(parents=True, exist_ok=True)
    with _alone(resume, job) as first:
        if not first:
            return
        torch.set_num_threads(training["threads"])
        torch.use_deterministic_algorithms(True)
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        patches = Patches(cases, stage, training, settings["seed"])
        steps = steps_of(stage, training, len(patches.cases))
        torch.manual_seed(settings["seed"])
        network = build_for(settings["model"], stage)
        started = asdict(start_from(network, start)) if start else None
        module = Training(
            network,
            task_of(stage, training),
            training,
            steps,
            hardware_for(network, stage["patch"], training["precision"]),
        )
        _tell(settings, module, len(patches.cases), started)
        with TrainingRun(job.inputs["store"], settings["title"], settings, resume / "run_id") as run:
            curve = Curve(settings["title"], steps, run)
            _fit(module, patches, settings, resume, curve)
            run.finish(curve.rows)
        save_weights(module.result, job.outputs["weights"], _facts(settings, stage))
        with whole(job.outputs["history"]) as partial:
            pd.DataFrame(curve.rows).to_csv(partial, index=False, lineterminator="\n")
        record = {
            "run_id": run.run_id,
            "cases": len(cases),
            "steps": steps,
            "loss": module.task.config,
            "start": started,
            "foreground": patches.prior(PRIOR_OF),
        }
        write_json(job.outputs["run"], record)
        (resume / LAST).unlink(missing_ok=True)


def _facts(settings: Plain, stage: Plain) -> Plain:
    """What whoever uses the weights must know, for the file's header: the network, and what it is given."""
    return {
        "set": settings["set"],
        "fold": settings["fold"],
        "stage": {settings["stage"]: stage},
        "seed": settings["seed"],
        "model": fitted(settings["model"], stage),
        "normalisation": settings["normalisation"],
        "precision": settings["training"]["precision"],
    }


def _tell(settings: Plain, module: Training, cases: int, started: Plain | None) -> None:
    """Print what is trained, on how much, and from where."""
    title, training, stage = settings["title"], settings["training"], settings["stages"][settings["stage"]]
    lines = [module.machine.chosen(module.network)]
    if training["budget"] == "passes":
        batches = f"{stage['passes']} passes over {cases} cases in batches of {training['batch']}"
        lines.append(f"{batches} are {module.steps} steps")
    if module.task.config != training["loss"]:
        lines.append(f"learns {stage['learns']} by {module.task.config['_target_']}, not the loss of segmentations")
    if started:
        loaded, new = len(started["loaded"]), started["new"]
        lines.append(
            f"starts from {loaded} tensors of another training; {len(new)} are new{': ' * bool(new)}{', '.join(new)}"
        )
    for line in lines:
        print(f"train {title}: {line}", file=sys.stderr)


@contextlib.contextmanager
def _alone(resume: Path, job: Job) -> Iterator[bool]:
    """Two copies of one training can meet after a killed workflow: the second waits, and takes the first one's
    result.
    """
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
    """The training curve; it travels with the checkpoint, and a resumed run therefore has the whole of it."""

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

    def on_train_start(self, trainer: lightning.Trainer, module: Training) -> None:
        """Count a resumed run from where it is."""
        self.progress.done = self.progress.first = trainer.global_step
        self.progress.start = time.monotonic()

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Training, outputs: Any, *_: Any) -> None:
        """Average the loss over a few steps."""
        self.pending.append(float(outputs["loss"]))
        if trainer.global_step % LOG_EVERY == 0 or trainer.global_step == trainer.max_steps:
            loss = sum(self.pending) / len(self.pending)
            rate = trainer.optimizers[0].param_groups[0]["lr"]
            self.rows.append({"step": trainer.global_step, "loss": loss, "learning_rate": rate})
            self.run.log(self.rows[-1])
            self.pending = []
        self.progress.advance(note=f", loss {self.rows[-1]['loss']:.3f}" if self.rows else "")


def _fit(module: Training, patches: Patches, settings: Plain, resume: Path, curve: Curve) -> None:
    training, last = settings["training"], resume / LAST
    trainer = lightning.Trainer(
        accelerator=module.machine.accelerator,
        devices=1,
        precision=module.machine.precision,
        max_steps=module.steps,
        max_epochs=-1,
        gradient_clip_val=training["clip_norm"],
        logger=False,
        callbacks=[curve, LastState(last)],
        deterministic=True,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=resume,
    )
    batch = training["batch"]
    order = Onward(training["checkpoint_every"] * batch, batch, lambda: trainer.global_step)
    loader = DataLoader(patches, batch_size=batch, sampler=order, num_workers=0)
    step = step_to_resume(last, module, module.steps, curve.state_key)
    if step is not None:
        print(f"{curve.progress.what}: resuming from step {step}", file=sys.stderr)
    trainer.fit(module, loader, ckpt_path=last if step is not None else None, weights_only=True)


def _fingerprint(cases: list[Prepared]) -> list[Any]:
    """What a resumed run must share with the interrupted one, beside its settings."""
    return [[case.cohort, case.case, int(case.label.sum()), float(case.image.sum(dtype=float))] for case in cases]


def _hash(start: str | None) -> str | None:
    """SHA-256 of the weights to start from; None where there are none."""
    if start is None:
        return None
    if not Path(start).is_file():
        raise UserError(f"{start}: no such weights to start from. Run the training that makes them.")
    return file_digest(Path(start))
