"""The MLflow store: SQLite, one experiment per study.

It is disposable: nothing that crossmod computes depends on it.
"""

import contextlib
import itertools
import logging
import os
import re
import shutil
import sqlite3
import sys
import tempfile
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# A connection that is kept open would go on in a database that was set aside.
os.environ.setdefault("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")

from filelock import FileLock

from crossmod.job import UserError, as_text, read_json, write_json

DATABASE = "mlflow.db"
RECORD = "store.json"
PATIENCE_S = 20  # for a store that somebody else has locked
MAKING_S = 120  # making a store takes 7 s on an idle core
_MAKING = ".making-"
# What is said of a store that is damaged, or was half made by an older version; other troubles may pass.
_DAMAGE = re.compile(r"table \S+ already exists|no such (table|column)|duplicate column|not a database|malformed")


def uri(store: str | Path) -> str:
    """The tracking URI of a store folder."""
    return f"sqlite:///{Path(store) / DATABASE}"


def experiment(folder: Path, study: str) -> tuple[Any, str]:
    """A client and the id of a study's experiment, made where it does not exist yet.

    A damaged store is set aside, and a new one made. A store that was moved with its folder writes into its new place.

    Raises:
        Exception: whatever MLflow, SQLAlchemy, SQLite or the file system raise where the store cannot be used: it is
            locked, read-only, full, or of another MLflow. Whoever calls does without the store.
    """
    _quiet()
    folder.mkdir(parents=True, exist_ok=True)
    _make_if_absent(folder, study)
    file = _inode(folder)
    try:
        return _opened(folder, study)
    except Exception as error:
        if not _DAMAGE.search(str(error)):
            raise
        _set_aside(folder, file, error)
    _make_if_absent(folder, study)
    return _opened(folder, study)


def _quiet() -> None:
    import mlflow  # noqa: F401  it sets its own level when it is loaded

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


def run_in(client: Any, run_id: str) -> str:
    """The id of a run that the store has; empty where it has no such run."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id).info.run_id
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return ""


def _lock(folder: Path) -> FileLock:
    """One process at a time makes a store, or sets one aside: several on a fresh database break its migration."""
    return FileLock(folder / ".lock", timeout=MAKING_S)


def _make_if_absent(folder: Path, study: str) -> None:
    """A whole store or none: it is made under another name, for a process killed half-way leaves tables that MLflow
    cannot mend.
    """
    if _is_there(folder):
        return
    with _lock(folder):
        if _is_there(folder):
            return
        for left in folder.glob(f"{_MAKING}*"):
            shutil.rmtree(left)
        with tempfile.TemporaryDirectory(dir=folder, prefix=_MAKING) as making:
            made = Path(making)
            with _database(made / DATABASE, "rwc") as database:
                database.execute(
                    "PRAGMA user_version = 1"
                )  # a full disk is told here; MLflow would try again for most of an hour
            _client(made).create_experiment(study, artifact_location=_artifacts(folder, study))
            (made / DATABASE).replace(folder / DATABASE)


def _is_there(folder: Path) -> bool:
    """SQLite takes an empty file for a database without tables, which is none yet."""
    path = folder / DATABASE
    return path.exists() and not (path.is_file() and path.stat().st_size == 0)


def _inode(folder: Path) -> int:
    return (folder / DATABASE).stat().st_ino


def _opened(folder: Path, study: str) -> tuple[Any, str]:
    _bring_home(folder, study)
    client = _client(folder)
    found = client.get_experiment_by_name(study)
    if found is None:  # a store of another study
        with _lock(folder):
            found = client.get_experiment_by_name(study)
            found_id = (
                client.create_experiment(study, artifact_location=_artifacts(folder, study)) if found is None else ""
            )
    found_id = found.experiment_id if found else found_id
    record, path = {"experiment": study, "experiment_id": found_id}, folder / RECORD
    if not path.is_file() or path.read_bytes() != as_text(record).encode():
        write_json(path, record)
    return client, found_id


@contextlib.contextmanager
def _database(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    """SQLite itself, with every statement on its own."""
    address = f"file:{urllib.parse.quote(str(path))}?mode={mode}"
    with contextlib.closing(sqlite3.connect(address, PATIENCE_S, isolation_level=None, uri=True)) as database:
        yield database


def _client(folder: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(uri(folder))


def _artifacts(folder: Path, study: str) -> str:
    return str((folder / "artifacts" / study).absolute())


def _bring_home(folder: Path, study: str) -> None:
    """MLflow keeps the absolute place of its files; where the store was moved since, or copied, it becomes the new
    place.

    This asks for the right to write at once: MLflow itself would try to open a store that it cannot for most of an
    hour.
    """
    home = _artifacts(folder, study)
    with _database(folder / DATABASE, "rw") as database:
        database.execute("BEGIN IMMEDIATE")
        found = database.execute("SELECT artifact_location FROM experiments WHERE name = ?", [study]).fetchone()
        if found and found[0] != home:
            old = f"{found[0]}/"
            update = (
                "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, length(?)) WHERE substr(artifact_uri, 1, "
                "length(?)) = ?"
            )
            database.execute(update, [home, old, old, old])
            database.execute("UPDATE experiments SET artifact_location = ? WHERE name = ?", [home, study])
        database.execute("COMMIT")


def _set_aside(folder: Path, file: int, why: Exception) -> None:
    """Keep a damaged database under another name; somebody may mend it."""
    with _lock(folder):
        if not _is_there(folder) or _inode(folder) != file:  # another process was faster
            return
        number = next(n for n in itertools.count(1) if not (folder / f"{DATABASE}.damaged-{n}").exists())
        for tail in ("", "-journal", "-wal", "-shm"):
            path = folder / f"{DATABASE}{tail}"
            if path.exists():
                path.replace(folder / f"{DATABASE}.damaged-{number}{tail}")
    print(
        f"warning: {folder / DATABASE} is damaged ({reason(why)}). It is kept as {DATABASE}.damaged-{number}, and a "
        "new store is made.",
        file=sys.stderr,
        flush=True,
    )


def reason(error: BaseException) -> str:
    """The first line of what went wrong."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def serve(store: Path, port: int) -> None:
    """Open the MLflow UI on a store, on the loopback interface only, until it is stopped.

    Raises:
        UserError: if there is no store yet, it is damaged, or the port is taken.
    """
    if not (store / DATABASE).is_file():
        raise UserError(f"{store / DATABASE}: no such store. Run a study first, e.g. `make reproduce`.")
    from crossmod.runs.ui import run

    _quiet()
    try:
        _bring_home(store, str(read_json(store / RECORD)["experiment"]))
    except (UserError, KeyError, TypeError, sqlite3.OperationalError):
        pass  # The UI shows what it can: a store in use, read-only, or without its record.
    except sqlite3.DatabaseError as error:
        raise UserError(
            f"{store / DATABASE} is damaged ({error}). The next training, or `crossmod track`, keeps it under another "
            "name and makes a new one."
        ) from error
    run(uri(store), store / "artifacts", port)
