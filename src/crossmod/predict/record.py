"""What is known of an outside program: its version, its licence, and the hash of its weights."""

import shlex
import subprocess
from pathlib import Path

from crossmod.job import Plain, digest, file_digest

# ASSUME: a program tells its version within a minute, even one that imports torch first.
VERSION_LIMIT_S = 60.0
SHOWN = 200  # characters of what it says


def record_of(settings: Plain) -> Plain:
    """What the config of a program declares, and what program and weights say themselves.

    Args:
        settings: ``command``; perhaps ``version_command``, ``licence`` and ``weights`` (a file or a folder).

    Returns:
        ``command``, ``version``, ``licence`` and ``weights_sha256``; null where nothing is declared, and a sentence in
        place of a version or hash that cannot be had. Nothing here makes a prediction fail.
    """
    return {
        "command": settings["command"],
        "version": _version(settings.get("version_command")),
        "licence": settings.get("licence"),
        "weights_sha256": _weights(settings.get("weights")),
    }


def _version(command: str | None) -> str | None:
    """The last line that the program prints of its version."""
    if command is None:
        return None
    try:
        words = shlex.split(command)
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=VERSION_LIMIT_S
        )
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired) as error:
        return f"not told ({type(error).__name__})"
    lines = [line.strip() for line in (done.stdout or done.stderr).splitlines() if line.strip()]
    return lines[-1][:SHOWN] if lines and done.returncode == 0 else f"not told (code {done.returncode})"


def _weights(place: str | None) -> str | None:
    """SHA-256 of a file, or of the names and bytes of all files of a folder."""
    if place is None:
        return None
    path = Path(place).expanduser()
    try:
        if path.is_file():
            return file_digest(path)
        files = sorted(one for one in path.rglob("*") if one.is_file())
        if not files:
            return "not found"
        return digest([[str(one.relative_to(path)), file_digest(one)] for one in files], 64)
    except OSError as error:
        return f"not read ({type(error).__name__})"
