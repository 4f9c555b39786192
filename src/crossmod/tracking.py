"""MLflow watches: one experiment per study on SQLite, one flat run per training. Analyses never read it."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_DISABLE_AGENT_TRACING", "true")

from filelock import FileLock

from crossmod.job import Job, Plain, UserError, canonical, digest, write_json

DATABASE = "mlflow.db"


def uri(store: str | Path) -> str:
    """The tracking URI of a store folder."""
    return f"sqlite:///{Path(store) / DATABASE}"


def run_store(job: Job) -> None:
    """Create the database and the study's experiment. settings: ``study``. outputs: ``store`` (JSON beside the database).

    Several processes on a fresh database break its migration, so it is made once, under a lock, before any training.
    """
    folder = Path(job.outputs["store"]).parent
    _client, experiment = _experiment(folder, job.settings["study"])
    write_json(job.outputs["store"], {"experiment": job.settings["study"], "experiment_id": experiment})


def _experiment(folder: Path, study: str) -> tuple[Any, str]:
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        client = MlflowClient(uri(folder))
        found = client.get_experiment_by_name(study)
        if found is None:
            # A relative artifact folder keeps machine paths out of the store.
            experiment = client.create_experiment(study, artifact_location=str(folder / "artifacts" / study))
        else:
            experiment = found.experiment_id
    return client, experiment


class TrainingRun:
    """The MLflow run of one training; a resumed training goes on with its run.

    Args:
        store: the JSON that :func:`run_store` wrote.
        name: of the run.
        settings: of the training job.
        memory: file that keeps the run id between interruptions.
    """

    def __init__(self, store: str | Path, name: str, settings: Plain, memory: Path) -> None:
        self.folder, self.name, self.settings, self.memory = Path(store).parent, name, settings, memory
        self.run_id = ""

    def __enter__(self) -> Self:
        from mlflow.exceptions import MlflowException

        self.client, experiment = _experiment(self.folder, self.settings["tags"]["study"])
        if self.memory.is_file():
            try:
                self.run_id = self.client.get_run(self.memory.read_text()).info.run_id
                self.client.update_run(self.run_id, status="RUNNING")
                return self
            except MlflowException:
                pass  # The store was thrown away meanwhile; it is disposable.
        self.run_id = self.client.create_run(experiment, run_name=self.name, tags=self._tags()).info.run_id
        self.client.log_dict(self.run_id, self.settings, "config.json")
        self._log_params()
        self.memory.write_text(self.run_id)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.set_terminated(self.run_id, "FINISHED" if kind is None else "FAILED")

    def log(self, row: Mapping[str, float]) -> None:
        """Log one point of the training curve."""
        for key, value in row.items():
            if key != "step":
                self.client.log_metric(self.run_id, f"train_{key}", value, step=int(row["step"]))

    def finish(self, rows: list[dict[str, float]]) -> None:
        """Log what the training ended with."""
        if rows:
            self.client.log_metric(self.run_id, "final_train_loss", rows[-1]["loss"])

    def _tags(self) -> dict[str, str]:
        arm = self.settings["arm"]
        return {
            **{key: str(value) for key, value in self.settings["tags"].items()},
            "arm": arm["name"],
            "strategy": arm["strategy"],
            "amount": str(arm["amount"]),
            "subset": arm["subset"],
            "stage": self.settings["stage"],
            "seed": str(self.settings["seed"]),
            "config_hash": digest(self.settings),
            "git_commit": git_commit(),
        }

    def _log_params(self) -> None:
        stage = self.settings["stages"][self.settings["stage"]]
        sections = {"model": self.settings["model"], "training": self.settings["training"], "stage": stage}
        for section, values in sections.items():
            for key, value in values.items():
                text = value if isinstance(value, str) else canonical(value)
                self.client.log_param(self.run_id, f"{section}.{key}", text[:500])


def log_results(store: str | Path, run_id: str, metrics: Mapping[str, float], pictures: Iterable[Path]) -> None:
    """Add the final metrics and pictures to a finished run."""
    from mlflow import MlflowClient

    client = MlflowClient(uri(Path(store).parent))
    for key, value in metrics.items():
        client.log_metric(run_id, key, value)
    for picture in pictures:
        client.log_artifact(run_id, str(picture), "worst_cases")


def run(job: Job) -> None:
    """Add an arm's scores and pictures of its worst cases to the runs of its stages.

    inputs: ``runs`` (stage → JSON), ``scores`` (CSVs, one per site), ``predictions`` and ``cohorts`` (folders), ``store``.
    settings: ``arm``, ``seed``. outputs: ``tracked`` (JSON with what was logged).
    """
    import json
    import tempfile

    import pandas as pd

    from crossmod.report.pictures import worst_cases

    scores = pd.concat([pd.read_csv(path) for path in job.inputs["scores"]], ignore_index=True)
    logged = {}
    for stage, path in job.inputs["runs"].items():
        run_id = json.loads(Path(path).read_text(encoding="utf-8"))["run_id"]
        rows = scores[scores["target"].str.startswith(stage)]
        metrics = _means(rows)
        with tempfile.TemporaryDirectory() as folder:
            pictures = worst_cases(rows, job.inputs["predictions"], job.inputs["cohorts"], Path(folder))
            log_results(job.inputs["store"], run_id, metrics, pictures)
        logged[stage] = {"run_id": run_id, "metrics": metrics}
    write_json(job.outputs["tracked"], logged)


def _means(rows: Any) -> dict[str, float]:
    """Mean of each metric per site, target and region, named as MLflow allows."""
    metrics = {}
    for (site, target, region), cell in rows.groupby(["site", "target", "region"]):
        for metric in ("dsc", "surface_dsc", "volume_difference_ml"):
            value = cell[metric].mean()
            if value == value:
                metrics[f"{metric}/{site}/{target}/{region}"] = round(float(value), 6)
    return metrics


def serve(store: Path, port: int) -> None:
    """Open the MLflow UI on a store, on the loopback interface only.

    Raises:
        UserError: if there is no store yet.
    """
    if not (store / DATABASE).is_file():
        raise UserError(f"{store / DATABASE}: no such store. Run a study first, e.g. `make reproduce`.")
    print(f"MLflow UI on http://127.0.0.1:{port} (stop with Ctrl-C)", flush=True)
    arguments = ["ui", "--backend-store-uri", uri(store), "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    subprocess.run([sys.executable, "-m", "mlflow", *arguments], check=False)


def git_commit() -> str:
    """The commit of the code that runs, with ``-dirty`` where files differ; ``unknown`` outside a checkout."""
    folder = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("-dirty" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
