"""What a job that comes in at the command line may do: replace only what crossmod made, and run only the project's
notebooks.

A job file can be edited, or come from somebody else. Whatever stands where such a job writes, and was not made by
crossmod, is the user's own.
"""

import contextlib
import itertools
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from crossmod.job import Job, UserError, read_json, write_json

RESULTS = "results"  # it, and what lies in it, may be links to a larger disk
ADDED_TO = ("resume",)  # a folder that a job adds to; nothing in it is replaced
NOTEBOOKS = Path("notebooks")


@contextlib.contextmanager
def admitted(job: Job) -> Iterator[None]:
    """Refuse a job that would replace what crossmod did not make, or leave the working folder; else note what it makes.

    The note is a hidden file beside the job's record: a job that was edited to write elsewhere finds none there. It is
    written before the work, so that a killed job can be repeated; of a job that fails it keeps what the job has made.

    Raises:
        UserError: naming the output, and what to do.
    """
    _refuse_foreign_code(job)
    _refuse_foreign_store(job)
    outputs = {key: _inside(f"outputs.{key}", value) for key, value in job.outputs.items()}
    replaced = {key: path for key, path in outputs.items() if key not in ADDED_TO}
    if not replaced:
        yield
        return
    record = replaced.get("job") or next(iter(replaced.values()))
    note = record.with_name(f".{record.name}.made")
    made = _made(note)
    for key, path in replaced.items():
        if path.as_posix() not in made and not _is_free(path) and not _is_record_of(path, job):
            raise UserError(
                f"outputs.{key}: {path} exists already, and it is not known to be made by this job, so it is not "
                "replaced. Move it away, or let the job write elsewhere."
            )
    _refuse_overlaps(outputs)
    _write(note, job, replaced.values())
    try:
        yield
    except BaseException:
        _write(note, job, (path for path in replaced.values() if not _is_free(path)))
        raise


def _refuse_overlaps(outputs: dict[str, Path]) -> None:
    """One output must not replace another of the same job."""
    for (a, outer), (b, inner) in itertools.permutations(outputs.items(), 2):
        if outer == inner or outer in inner.parents:
            raise UserError(f"outputs.{b}: {inner} is outputs.{a}, or lies in it. Give each output a place of its own.")


def _write(note: Path, job: Job, made: Iterable[Path]) -> None:
    write_json(note, {"step": job.step, "made": sorted(path.as_posix() for path in made)})


def _refuse_foreign_code(job: Job) -> None:
    """A notebook is code; only those of the project are executed."""
    notebook = job.inputs.get("notebook")
    if notebook is not None and (not isinstance(notebook, str) or Path(notebook).parent != NOTEBOOKS):
        raise UserError(
            f"inputs.notebook: {notebook!r} does not lie in {NOTEBOOKS}/ of the working folder: it is not executed."
        )


def _refuse_foreign_store(job: Job) -> None:
    """A store is an input that is written to, and set aside where it is damaged."""
    store = job.inputs.get("store")
    if store is not None and _inside("inputs.store", store).parts[0] != RESULTS:
        raise UserError(f"inputs.store: {store} does not lie in {RESULTS}/, where MLflow's store is kept.")


def _inside(key: str, value: Any) -> Path:
    """An output's path from the working folder, which it does not leave."""
    if not isinstance(value, str) or not value.isprintable():
        raise UserError(f"{key}: {value!r} is no path.")
    here, path = Path.cwd(), Path(value)
    leads_out = ".." in path.parts or (path.is_absolute() and not path.is_relative_to(here))
    if not leads_out:
        path = path.relative_to(here) if path.is_absolute() else path
        leads_out = path.parts[:1] != (RESULTS,) and not Path(os.path.realpath(here / path)).is_relative_to(here)
    if leads_out or not path.parts:
        raise UserError(
            f"{key}: {value} does not lie inside the working folder {here}. Let the job write into it; `{RESULTS}` may "
            "be a link to another disk."
        )
    return path


def _made(note: Path) -> set[str]:
    """What an earlier job with this record made; nothing where the note is damaged."""
    try:
        return set(read_json(note)["made"])
    except (UserError, KeyError, TypeError):
        return set()


def _is_free(path: Path) -> bool:
    """Nothing stands there, or an empty folder."""
    if path.is_dir():
        return not any(path.iterdir())
    return not (path.exists() or path.is_symlink())


def _is_record_of(path: Path, job: Job) -> bool:
    """Whether this very job is what stands there."""
    try:
        return path.is_file() and read_json(path) == json.loads(job.to_json())
    except UserError:
        return False
