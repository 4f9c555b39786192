"""The folder of an analysis: what crossmod wrote there is replaced, and nothing else is ever touched."""

import os
import tempfile
from pathlib import Path
from typing import Any

from crossmod.analyse.stats.errors import some
from crossmod.job import UserError, file_digest, whole, write_json
from crossmod.sealed import sealed, unsealed

RECORD = "record.json"


def check_folder(folder: Path) -> Path:
    """The folder with links followed, if results can be written there: nothing is in it but an unchanged analysis.

    Raises:
        UserError: naming what else is there, or why nothing can be written.
    """
    try:
        folder = Path(folder).resolve()
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder} is a file; name a folder with --out.")
        foreign = _foreign(folder) if folder.exists() else []
        if not foreign:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent):
                pass
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{str(folder)!r} cannot be written ({error}); name another folder with --out.") from error
    if foreign:
        raise UserError(
            f"{folder} exists and holds no earlier analysis, or more than that: {some(foreign)}. Nothing there is "
            "replaced; name another folder with --out."
        )
    return folder


def write_folder(folder: Path, tables: Any, record: dict[str, Any]) -> None:
    """Write tables and record as a whole folder. The record lists the SHA-256 of every file and of itself.

    Args:
        folder: from :func:`check_folder`.
        tables: with a method ``write``, see :class:`crossmod.analyse.plan.Tested`.
        record: what is known of the analysis, plain values.
    """
    with whole(folder) as partial:
        partial.mkdir()
        tables.write(partial)
        write_json(partial / RECORD, sealed(record, {name: partial / name for name in _files(partial)}))
        check_folder(folder)


def _foreign(folder: Path) -> list[str]:
    """Files and folders that no analysis wrote, or that were changed since."""
    record = unsealed(folder / RECORD)
    files = record["files"] if record else {}
    expected = {*files, RECORD} if record else set()
    parents = {str(parent) for name in expected for parent in Path(name).parents}
    strange = [name for name in _files(folder) if name not in expected]
    strange += [name for name in files if (folder / name).is_file() and file_digest(folder / name) != files[name]]
    empty = [path.relative_to(folder) for path in folder.rglob("*") if path.is_dir() and not path.is_symlink()]
    return sorted({*strange, *(f"{path}/" for path in empty if str(path) not in parents)})


def _files(folder: Path) -> list[str]:
    """All files and links below a folder, relative to it; links are not followed."""
    found = []
    for place, folders, files in os.walk(folder):
        names = [*files, *(name for name in folders if (Path(place) / name).is_symlink())]
        found += [(Path(place) / name).relative_to(folder).as_posix() for name in names]
    return sorted(found)
