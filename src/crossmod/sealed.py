"""A record that vouches for files: it lists their SHA-256 and its own, so that what was edited since is known."""

import json
from collections.abc import Mapping
from pathlib import Path

from crossmod.job import Plain, digest, file_digest

SEAL = "record_sha256"


def sealed(record: Plain, files: Mapping[str, Path]) -> Plain:
    """A record with the digests of the files it was written with, under ``files``, and its own.

    Args:
        record: plain values.
        files: name, as the record tells it → where the file lies now.
    """
    record = {**record, "files": {name: file_digest(path) for name, path in files.items()}}
    return {**record, SEAL: digest(record, 64)}


def unsealed(path: Path) -> Plain | None:
    """A record as it was sealed, without its own digest; None where there is none, or it is damaged or was edited."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return record if record.pop(SEAL) == digest(record, 64) and isinstance(record["files"], dict) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
