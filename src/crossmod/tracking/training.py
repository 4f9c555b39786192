"""The MLflow run of one training."""

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from crossmod.job import Plain, canonical, digest
from crossmod.tracking.store import experiment


class TrainingRun:
    """The MLflow run of one training; a resumed training goes on with its run.

    Args:
        store: the JSON that :func:`crossmod.tracking.run_store` wrote.
        name: of the run.
        settings: of the training job.
        memory: file that keeps the run id between interruptions.
    """

    def __init__(self, store: str | Path, name: str, settings: Plain, memory: Path) -> None:
        self.folder, self.name, self.settings, self.memory = Path(store).parent, name, settings, memory
        self.run_id = ""

    def __enter__(self) -> Self:
        from mlflow.exceptions import MlflowException

        self.client, study = experiment(self.folder, self.settings["tags"]["study"])
        if self.memory.is_file():
            try:
                self.run_id = self.client.get_run(self.memory.read_text()).info.run_id
                self.client.update_run(self.run_id, status="RUNNING")
                return self
            except MlflowException:
                pass  # The store was thrown away meanwhile; it is disposable.
        self.run_id = self.client.create_run(study, run_name=self.name, tags=self._tags()).info.run_id
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
        from mlflow.entities import Metric

        now, step = round(1e3 * time.time()), int(row["step"])
        metrics = [Metric(f"train_{key}", value, now, step) for key, value in row.items() if key != "step"]
        self.client.log_batch(self.run_id, metrics)  # one transaction

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
        from mlflow.entities import Param

        params = []
        stage = self.settings["stages"][self.settings["stage"]]
        sections = {"model": self.settings["model"], "training": self.settings["training"], "stage": stage}
        for section, values in sections.items():
            for key, value in values.items():
                text = value if isinstance(value, str) else canonical(value)
                params.append(Param(f"{section}.{key}", text[:500]))
        self.client.log_batch(self.run_id, params=params)


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
