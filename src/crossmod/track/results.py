"""What is added to a finished run: final metrics per site, and pictures of the worst cases."""

import tempfile
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from crossmod.analyse.scores import read_file
from crossmod.job import Job, write_json
from crossmod.progress import Progress
from crossmod.report.pictures import worst_cases
from crossmod.runs.store import uri
from crossmod.runs.training import run_of
from crossmod.runs.watch import Watch

METRICS = ("dsc", "surface_dsc", "volume_difference_ml")


def track(job: Job) -> None:
    """Add scores and pictures to the runs of every training; see :func:`crossmod.track.run` for the job."""
    trainings = job.inputs["trainings"]
    progress = Progress("track", len(trainings), "trainings")
    watch = Watch(Path(job.inputs["store"]).parent, "track")
    logged = {}
    for training in trainings:
        logged |= _track_one(training, job, watch)
        progress.advance()
    write_json(job.outputs["tracked"], logged)


def _track_one(training: Mapping[str, Any], job: Job, watch: Watch) -> dict[str, Any]:
    """Run id (without a store the file that should name it) → what was logged, for the stages of one arm and seed."""
    scores = pd.concat([read_file(Path(path)) for path in training["scores"]], ignore_index=True)
    logged = {}
    for stage, path in training["runs"].items():
        rows = scores[scores["target"].str.startswith(stage)]
        metrics = _means(rows)
        run_id = run_of(job.inputs["store"], Path(path), watch)
        if not watch.ended:
            with tempfile.TemporaryDirectory() as folder:
                pictures = worst_cases(rows, training["predictions"], job.inputs["cohorts"], Path(folder))
                watch.ask(partial(log_results, job.inputs["store"], run_id, metrics, pictures))
        logged[run_id or path] = {"run": path, "metrics": metrics}
    return logged


def _means(rows: Any) -> dict[str, float]:
    """Mean of each metric per site, target and region, named as MLflow allows."""
    metrics = {}
    for (site, target, region), cell in rows.groupby(["site", "target", "region"]):
        for metric in METRICS:
            value = cell[metric].mean()
            if value == value:
                metrics[f"{metric}/{site}/{target}/{region}"] = round(float(value), 6)
    return metrics


def log_results(store: str | Path, run_id: str, metrics: Mapping[str, float], pictures: Iterable[Path]) -> None:
    """Add the final metrics and pictures to a finished run."""
    from mlflow import MlflowClient

    client = MlflowClient(uri(Path(store).parent))
    for key, value in metrics.items():
        client.log_metric(run_id, key, value)
    for picture in pictures:
        client.log_artifact(run_id, str(picture), "worst_cases")
