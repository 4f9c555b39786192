"""The MLflow store: SQLite, one experiment per study, made under a lock, served to this machine only."""

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from filelock import FileLock

from crossmod.job import UserError

DATABASE = "mlflow.db"


def uri(store: str | Path) -> str:
    """The tracking URI of a store folder."""
    return f"sqlite:///{Path(store) / DATABASE}"


def experiment(folder: Path, study: str) -> tuple[Any, str]:
    """A client and the id of a study's experiment, made where it does not exist yet.

    Several processes on a fresh database break its migration, so it is made under a lock.
    """
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        client = MlflowClient(uri(folder))
        found = client.get_experiment_by_name(study)
        if found is None:
            # A relative artifact folder keeps machine paths out of the store.
            found_id = client.create_experiment(study, artifact_location=str(folder / "artifacts" / study))
        else:
            found_id = found.experiment_id
    return client, found_id


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
