"""Troubles of the machine in one sentence: a full disk, a path that cannot be read or written."""

import errno
import os
import re
import shutil
from pathlib import Path

FULL_BYTES = 64 << 20  # with less than this free, a file that cannot be written is the disk's fault
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_MEMORY = re.compile(r"can(no|')t allocate memory|out of memory", re.IGNORECASE)  # in torch's words
_CURES = {
    errno.EACCES: "You may not read or write there. Change its permissions, or choose another folder.",
    errno.EPERM: "You may not read or write there. Change its permissions, or choose another folder.",
    errno.EROFS: "It lies on a disk that cannot be written. Choose another folder.",
    errno.ENOENT: "Check the path.",
    errno.ENOTDIR: "A file stands where a folder is needed. Check the path, or move the file away.",
    errno.EISDIR: "A folder stands where a file is needed. Check the path, or move the folder away.",
    errno.EEXIST: "Something else stands there. Check the path, or move it away.",
    errno.ENAMETOOLONG: "The name is too long. Choose a shorter one.",
    errno.ELOOP: "Its links lead in a circle. Check the path.",
    errno.EMFILE: "Too many files are open. Use fewer threads, or raise `ulimit -n`.",
    errno.EIO: "The disk could not read or write it. Check the disk.",
}


def trouble(error: Exception, place: Path) -> str | None:
    """What a user can mend, in a sentence; None where an error is none of the machine's.

    Args:
        error: that ended the work.
        place: what was written to, where the error itself names no path.
    """
    if isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)):
        return (
            f"There is not enough memory ({_first_line(error)}). Close other programs, use fewer threads, or a machine "
            "with more memory."
        )
    if isinstance(error, ValueError) and "embedded null" in str(error):
        return "A path holds a NUL character. Check the paths that were given."
    number = error.errno if isinstance(error, OSError) else None
    named = Path(os.fsdecode(error.filename)) if isinstance(error, OSError) and _is_path(error.filename) else None
    if number in _FULL or (number is None and _is_full(named or place)):
        return (
            f"{named or place}: the disk is full ({_first_line(error)}). Make room and give the same command again: "
            "what is finished stays."
        )
    if number is None or named is None:
        return None
    return f"{named}: {os.strerror(number)}. {_CURES.get(number, '')}".rstrip()


def _is_path(name: object) -> bool:
    return isinstance(name, str | bytes)


def _is_full(path: Path) -> bool:
    """Whether the disk that a path lies on, or would lie on, has no room; links are followed."""
    there = next((folder for folder in (path, *path.absolute().parents) if folder.exists()), Path.cwd())
    return shutil.disk_usage(there).free <= FULL_BYTES


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
