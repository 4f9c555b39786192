"""What is added to a finished run: final metrics per site, and pictures of the worst cases."""

import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from crossmod.job import Job, Plain, write_json
from crossmod.progress import Progress
from crossmod.report.pictures import worst_cases
from crossmod.runs.store import uri
from crossmod.runs.training import run_of
from crossmod.runs.watch import Watch
from crossmod.tables import read_own

METRICS = ("dsc", "surface_dsc", "volume_difference_ml")
TEXT = ("arm", "site", "case", "patient", "target", "region", "unit", "side", "part")


def track(job: Job) -> None:
    """Add scores and pictures to the runs of every training; see :func:`crossmod.track.run` for the job."""
    arms = job.inputs["trainings"]
    users = Counter(path for arm in arms for paths in arm["runs"].values() for path in paths)
    progress = Progress("track", len(arms), "arms")
    watch = Watch(Path(job.inputs["store"]).parent, "track")
    logged: dict[str, Plain] = {}
    for arm in arms:
        scores = pd.concat([read_own(path, TEXT) for path in arm["scores"]], ignore_index=True)
        for stage, paths in arm["runs"].items():
            rows = scores[scores["target"].isin(_targets(job.settings["targets"], stage, arm["runs"]))]
            for path in paths:
                # Where arms share a training, its run holds the results of each under the arm's name.
                own = "" if users[path] == 1 else _for_mlflow(f"{arm['arm']}/")
                tags = _agreed(path, arms, job.settings["levels"])
                run, metrics = _track_one(path, stage, rows, own, tags, arm, job, watch)
                logged.setdefault(run, {"run": path, "metrics": {}})["metrics"] |= metrics
        progress.advance()
    write_json(job.outputs["tracked"], logged)


def _targets(targets: Plain, stage: str, stages: Plain) -> list[str]:
    """The targets that an arm answers by a stage: of several stages that a target names, by the first it has."""
    named = {name: [t["stage"]] if isinstance(t["stage"], str) else t["stage"] for name, t in targets.items()}
    return [name for name, ones in named.items() if next((one for one in ones if one in stages), None) == stage]


def _track_one(
    path: str, stage: str, rows: pd.DataFrame, prefix: str, tags: dict[str, str], arm: Plain, job: Job, watch: Watch
) -> tuple[str, dict[str, float]]:
    """Add to the run of one training what one arm's scores say of it.

    Returns:
        The run id, or the training's record where there is no store; and what was logged.
    """
    metrics = {f"{prefix}{name}": value for name, value in _means(rows).items()}
    run_id = run_of(job.inputs["store"], Path(path), watch)
    if not watch.ended:
        with tempfile.TemporaryDirectory() as folder:
            pictures = worst_cases(rows, stage, arm["predictions"], job.inputs["cohorts"], job.settings, Path(folder))
            watch.ask(partial(log_results, job.inputs["store"], run_id, metrics, pictures, prefix, tags))
    return run_id or path, metrics


def _agreed(path: str, arms: list[Plain], levels: Plain) -> dict[str, str]:
    """Factor → level, of the factors in which all arms that use a training agree.

    They tell the runs of the training apart in the UI.
    """
    users = [levels[arm["arm"]] for arm in arms if any(path in paths for paths in arm["runs"].values())]
    return {factor: str(level) for factor, level in users[0].items() if all(user[factor] == level for user in users)}


def _for_mlflow(name: str) -> str:
    """A name as MLflow allows it: arms are joined by a plus, which it refuses, and no arm's name has a blank."""
    return name.replace("+", " ")


def _means(rows: pd.DataFrame) -> dict[str, float]:
    """Mean of each metric per site, target and region."""
    metrics = {}
    for (site, target, region), cell in rows.groupby(["site", "target", "region"]):
        for metric in (name for name in METRICS if name in cell):
            value = cell[metric].mean()
            if value == value:
                metrics[f"{metric}/{site}/{target}/{region}"] = round(float(value), 6)
    return metrics


def log_results(
    store: str | Path,
    run_id: str,
    metrics: Mapping[str, float],
    pictures: Iterable[Path],
    prefix: str = "",
    tags: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Add the final metrics, pictures and tags to a finished run.

    The pictures of each prefix go into a folder of their own.
    """
    from mlflow import MlflowClient

    client = MlflowClient(uri(Path(store).parent))
    for key, value in tags.items():
        client.set_tag(run_id, key, value)
    for key, number in metrics.items():
        client.log_metric(run_id, key, number)
    for picture in pictures:
        client.log_artifact(run_id, str(picture), f"{prefix}worst_cases")
