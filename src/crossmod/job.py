"""A job is one unit of work of one step: what it reads, what it writes, and its settings, as plain values.

The same record travels through all three doors: the workflow writes it as a file and hands that to ``crossmod STEP``,
the command saves it beside its outputs, and ``crossmod STEP path/to/job.json`` repeats that very job by hand.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Plain = dict[str, Any]
STANDARD_INPUT = "-"


class UserError(ValueError):
    """A mistake the user can mend; the command line prints its message without a traceback."""


class Part(dict[str, Any]):
    """A mapping of a job as it was read: what a step needs and the job lacks is the user's mistake, told by its key."""

    def __missing__(self, key: str) -> Any:
        raise UserError(
            f"The job has no key {key!r} where it needs one, beside {', '.join(sorted(self)) or 'nothing'}."
        )


@dataclass(frozen=True)
class Job:
    """One unit of work. All values are plain JSON; paths are relative to the working folder."""

    step: str
    inputs: Plain
    outputs: Plain
    settings: Plain
    threads: int = field(default=1, compare=False)

    def to_json(self) -> str:
        """JSON on one line. Mappings keep their order, for that of classes, stages and factors has a meaning."""
        return json.dumps(self.record(), separators=(",", ":"), allow_nan=False)

    def record(self) -> Plain:
        """The job as plain values."""
        return {"step": self.step, "inputs": self.inputs, "outputs": self.outputs, "settings": self.settings}

    def save(self, path: str | Path) -> None:
        """Write the job as readable JSON, whole or not at all; `crossmod STEP path` repeats it."""
        with whole(path) as partial:
            partial.write_text(json.dumps(self.record(), indent=2, allow_nan=False) + "\n", encoding="utf-8")

    @classmethod
    def from_json(cls, text: str, threads: int = 1) -> "Job":
        """Read a job from JSON text.

        Raises:
            UserError: if the text is not a job.
        """
        problem = "expected JSON with the keys step (a text), inputs, outputs and settings (mappings)."
        try:
            record = json.loads(text, object_hook=Part, parse_constant=_refuse_constant)
            job = cls(record["step"], record["inputs"], record["outputs"], record["settings"], threads)
        except (ValueError, TypeError, RecursionError) as error:
            reason = str(error) if isinstance(error, UserError) else repr(error)
            raise UserError(f"Not a job description ({reason}): {problem}") from error
        if not isinstance(job.step, str) or not all(
            isinstance(p, dict) for p in (job.inputs, job.outputs, job.settings)
        ):
            raise UserError(f"Not a job description: {problem}")
        return job

    @classmethod
    def load(cls, source: str | Path, threads: int = 1) -> "Job":
        """Read a job from a file, or from standard input where the source is ``-``.

        Raises:
            UserError: if there is no such file, or it holds no job.
        """
        try:
            return cls.from_json(_read(source).decode("utf-8"), threads)
        except UnicodeDecodeError as error:
            raise UserError(f"{source}: not a job description: it is no text in UTF-8.") from error


def _read(source: str | Path) -> bytes:
    if str(source) == STANDARD_INPUT:
        return sys.stdin.buffer.read()
    if "\0" in str(source) or not Path(source).is_file():
        raise UserError(f"{source}: no such job file. Each output of a study has one beside it (*.json).")
    return Path(source).read_bytes()


def _refuse_constant(name: str) -> None:
    """No job that was written whole has one, for JSON knows none."""
    raise ValueError(f"{name} is no number of JSON")


def read_json(path: str | Path) -> Any:
    """The plain value of a JSON file.

    Raises:
        UserError: if there is no such file, or it holds no JSON in UTF-8.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file.")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: no JSON in UTF-8 ({error}).") from error


def canonical(value: Any) -> str:
    """JSON with sorted keys: the same value always gives the same text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any, length: int = 12) -> str:
    """Short SHA-256 of a plain value, independent of key order."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:length]


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextlib.contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """Write a file or folder under a temporary name; it takes its own name only when complete.

    Yields:
        The temporary path. Create a file there, or ``mkdir()`` it and fill the folder.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffixes stay at the end: writers such as nibabel choose the format by them.
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    _clear(path)
    try:
        yield partial
        if path.is_dir():
            _remove(path)
        partial.replace(path)
    finally:
        _remove(partial)


def write_json(path: str | Path, value: Any, sort_keys: bool = True) -> None:
    """Write a plain value as readable JSON, whole or not at all; unsorted where the order of its keys has a meaning."""
    with whole(path) as partial:
        partial.write_text(as_text(value, sort_keys), encoding="utf-8")


def as_text(value: Any, sort_keys: bool = True) -> str:
    """A plain value as readable JSON."""
    return json.dumps(value, indent=2, sort_keys=sort_keys) + "\n"


def _clear(path: Path) -> None:
    """Remove what killed processes of this machine, or this one, left half-written under a path's temporary names."""
    for left in path.parent.glob(".partial-*"):
        named = re.fullmatch(rf"\.partial-(\d+)-{re.escape(path.name)}", left.name)
        if named and (int(named[1]) == os.getpid() or not _runs(int(named[1]))):
            _remove(left)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # It runs, as somebody else's.
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
