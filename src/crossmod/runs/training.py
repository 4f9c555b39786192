"""The MLflow run of one training."""

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pandas as pd

from crossmod.job import Plain, canonical, digest, read_json
from crossmod.runs.store import experiment, run_in
from crossmod.runs.watch import Watch


class TrainingRun:
    """The MLflow run of one training; a resumed training goes on with its run.

    MLflow only watches: where its store cannot be used, one warning says so, and the training goes on without it.

    Args:
        store: the JSON beside the store's database.
        name: of the run.
        settings: of the training job.
        memory: file that keeps the run id between interruptions; None: the training is over, and its run is made again.
        watch: asks the store; None: one of its own.

    Attributes:
        run_id: of the run; empty where the store could not be used.
    """

    def __init__(
        self, store: str | Path, name: str, settings: Plain, memory: Path | None, watch: Watch | None = None
    ) -> None:
        self.folder, self.name, self.settings, self.memory = Path(store).parent, name, settings, memory
        self.watch = watch or Watch(self.folder, name)
        self.run_id = ""

    def __enter__(self) -> Self:
        self.watch.ask(self._begin)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.watch.ask(lambda: self.client.set_terminated(self.run_id, "FINISHED" if kind is None else "FAILED"))

    def log(self, row: Mapping[str, float]) -> None:
        """Log one point of the training curve."""
        self.watch.ask(lambda: self.client.log_batch(self.run_id, _metrics(row)))  # one transaction

    def finish(self, rows: list[dict[str, float]]) -> None:
        """Log what the training ended with."""
        if rows:
            self.watch.ask(lambda: self.client.log_metric(self.run_id, "final_train_loss", rows[-1]["loss"]))

    def _begin(self) -> None:
        self.client, study = experiment(self.folder, self.settings["tags"]["study"])
        self.run_id = (self._remembered(self.memory) if self.memory else "") or self._new(study)

    def _remembered(self, memory: Path) -> str:
        """The run of the interrupted training, which goes on; empty where this store has no such run."""
        try:
            run_id = run_in(self.client, memory.read_text(encoding="utf-8"))
        except (FileNotFoundError, UnicodeDecodeError):
            return ""
        if run_id:
            self.client.update_run(run_id, status="RUNNING")
        return run_id

    def _new(self, study: str) -> str:
        run_id = self.client.create_run(study, run_name=self.name, tags=self._tags()).info.run_id
        self.client.log_dict(run_id, self.settings, "config.json")
        self.client.log_batch(run_id, params=self._params())
        if self.memory:
            self.memory.write_text(run_id, encoding="utf-8")
        return run_id

    def _tags(self) -> dict[str, str]:
        """The workflow's own tags, and what tells one training from another."""
        own = {key: self.settings[key] for key in ("set", "fold", "stage", "seed")}
        return {
            **{key: str(value) for key, value in (self.settings["tags"] | own).items()},
            "config_hash": digest(self.settings),
            "git_commit": git_commit() if self.memory else "unknown",
        }

    def _params(self) -> list[Any]:
        from mlflow.entities import Param

        stage = self.settings["stages"][self.settings["stage"]]
        sections = {"model": self.settings["model"], "training": self.settings["training"], "stage": stage}
        return [
            Param(f"{section}.{key}", (value if isinstance(value, str) else canonical(value))[:500])
            for section, values in sections.items()
            for key, value in values.items()
        ]


def _metrics(row: Mapping[str, float]) -> list[Any]:
    """One point of a curve, as MLflow takes it."""
    from mlflow.entities import Metric

    now, step = round(1e3 * time.time()), int(row["step"])
    return [Metric(f"train_{key}", value, now, step) for key, value in row.items() if key != "step"]


def run_of(store: str | Path, record: Path, watch: Watch) -> str:
    """The run of a finished training.

    If the store was lost since, the run is made again from what lies beside its record.

    Args:
        store: the JSON beside the store's database.
        record: ``run.json`` of the training, with ``job.json`` and ``history.csv`` beside it.
        watch: asks the store.

    Returns:
        The id of the run; empty where the store cannot be used.
    """
    settings = read_json(record.with_name("job.json"))["settings"]
    found = watch.ask(lambda: _found(store, settings, read_json(record)["run_id"]))
    if found or watch.ended:
        return found or ""
    history = pd.read_csv(record.with_name("history.csv")).to_dict("records")
    rows = [{str(column): value for column, value in row.items()} for row in history]
    with TrainingRun(store, settings["title"], settings, None, watch) as run:
        for row in rows:
            run.log(row)
        run.finish(rows)
    return run.run_id


def _found(store: str | Path, settings: Plain, run_id: str) -> str:
    """The run by its id, else one that was made again of the same settings; empty where there is none."""
    client, study = experiment(Path(store).parent, settings["tags"]["study"])
    if run_id and run_in(client, run_id):
        return run_id
    made = client.search_runs([study], f"tags.config_hash = '{digest(settings)}'", max_results=1)
    return made[0].info.run_id if made else ""


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
