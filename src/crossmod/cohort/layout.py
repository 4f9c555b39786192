"""What the public data sets' layouts have in common: a folder as downloaded, and parts that may be absent."""

import contextlib
import os
import re
import shutil
from pathlib import Path
from typing import Any

from crossmod.job import UserError


def required(name: str, settings: dict[str, Any], *keys: str) -> None:
    """Refuse settings without these keys.

    Raises:
        UserError: naming all that are missing.
    """
    missing = [key for key in keys if not settings.get(key)]
    if missing:
        raise UserError(f"Cohort '{name}': the settings need {', '.join(missing)}.")


def dataset_folder(name: str, settings: dict[str, Any], marker: str, *inner: str) -> Path:
    """The folder of a data set that holds ``marker`` (a pattern): the root itself or an inner folder of it.

    Raises:
        UserError: if there is none.
    """
    required(name, settings, "root")
    root = Path(settings["root"])
    for folder in (root, *(root / part for part in inner)):
        if next(folder.glob(marker), None) is not None:
            return folder
    problem = "holds nothing like" if root.is_dir() else "is no folder; it should hold"
    raise UserError(f"Cohort '{name}': root is '{root}', which {problem} '{marker}'. Give the folder as downloaded.")


def lacks(folder: Path, *parts: str) -> str:
    """Which of its parts a case's folder lacks, or has empty, in words: ``no imaging.nii.gz``.

    The text is empty if the folder has them all.
    """
    return ", ".join(f"no {part}" for part in parts if not _holds(folder / part))


def own_entries(folder: Path) -> list[Path]:
    """What a folder holds, without the files that operating systems leave in it.

    These are ``._x`` and ``.DS_Store`` of macOS, ``Thumbs.db`` and ``__MACOSX``.
    """
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if not path.name.startswith((".", "__")) and path.name != "Thumbs.db"]


def _holds(path: Path) -> bool:
    return bool(own_entries(path)) if path.is_dir() else path.is_file()


def choice(name: str, settings: dict[str, Any], key: str, valid: tuple[str, ...]) -> tuple[str, ...]:
    """The wanted values of a setting that picks a part of a data set; all valid ones if it is not given.

    Raises:
        UserError: if the value is none of them.
    """
    value = settings.get(key)
    if value is None:
        return valid
    if value not in valid:
        raise UserError(f"Cohort '{name}': {key} is '{value}'; this source has {', '.join(valid)}.")
    return (value,)


def in_natural_order(paths: list[Path]) -> list[Path]:
    """Paths by name, numbers by size: 2 before 10."""

    def key(path: Path) -> list[tuple[int, int, str]]:
        parts = re.split(r"(\d+)", path.name)
        return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts if part]

    return sorted(paths, key=lambda path: (key(path), path.name))


def bring(source: Path, target: Path) -> None:
    """Put a file into a cohort's own folder: a second name for the same bytes where the disk allows, else a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError):
        os.link(source.resolve(), target)
        return
    shutil.copyfile(source, target)
