"""What the header of an NRRD file states, by https://teem.sourceforge.net/nrrd/format.html."""

import re
from pathlib import Path
from typing import IO

import numpy as np

from crossmod.cohort.header import Header, data_beside, lines, no_orientation, numbers, refuse_unit
from crossmod.cohort.images import ScanError
from crossmod.cohort.volume import CONVERT, unreadable

# Spaces that name right and left; ITK turns them to LPS+. Others (scanner-xyz, 3D-right-handed, …) do not.
_SPACES = {
    name
    for letters, name in (
        ("las", "left-anterior-superior"),
        ("ras", "right-anterior-superior"),
        ("lps", "left-posterior-superior"),
    )
    for name in (letters, name)
}
# Those with time are left as written. Which way their axes point, seen from RAS+:
_TIMES = {
    name: np.diag([x, y, 1.0, 1.0])
    for letters, words, x, y in (
        ("rast", "right-anterior-superior-time", 1.0, 1.0),
        ("last", "left-anterior-superior-time", -1.0, 1.0),
        ("lpst", "left-posterior-superior-time", -1.0, -1.0),
    )
    for name in (letters, words)
}
_PACKED, _TEXT = ("gzip", "gz"), ("ascii", "text", "txt", "hex")


def nrrd_header(path: Path) -> Header:
    """Check what the header states of axes and voxel size, and find its voxels.

    Raises:
        ScanError: if it names neither right and left nor the voxel size, or voxels that are not in its folder.
    """
    with path.open("rb") as file:
        fields = _fields(path, file)
        start = file.tell()
    space = fields.get("space", "").lower()
    if space not in _SPACES and space not in _TIMES:
        raise no_orientation(path, f"space {space} names no right and left" if space else "no patient space")
    _refuse_directions(path, fields, 4 if space in _TIMES else 3)
    refuse_unit(path, "space units", re.findall(r'"([^"]*)"', fields.get("spaceunits", ""))[:3])
    data, encoding = path, fields.get("encoding", "").lower()
    if "datafile" in fields:
        data, start = data_beside(path, fields["datafile"]), 0
    if encoding not in ("raw", *_PACKED, *_TEXT):
        raise unreadable(path, f"its encoding, {encoding or 'which it does not name'}, is unknown")
    skips = any(fields.get(skip, "0") != "0" for skip in ("lineskip", "byteskip"))
    if skips and encoding in _PACKED:
        raise unreadable(path, "it skips lines or bytes of compressed voxels")
    return Header(
        data=data,
        start=None if skips else start,
        packed=encoding in _PACKED,
        plain=encoding not in _TEXT,
        big=fields.get("endian", "").lower() == "big",
        axes=_TIMES.get(space),
    )


def _fields(path: Path, file: IO[bytes]) -> dict[str, str]:
    """Field → what it holds; names without blanks and capitals, for ``space directions`` may be written ``spacedirections``."""
    head = lines(path, file)
    if not next(head, "").startswith("NRRD"):
        raise unreadable(path, "it does not begin with the header of an NRRD file")
    fields = {}
    for line in head:
        if not line:
            break
        name, colon, value = line.partition(": ")
        if colon and not line.startswith("#") and ":=" not in name:
            fields[name.replace(" ", "").lower()] = value.strip()
    return fields


def _refuse_directions(path: Path, fields: dict[str, str], count: int) -> None:
    """Refuse a header that does not give the step along three axes: ITK would take 1 mm along the axes of the space."""
    vectors = re.findall(r"\(([^)]*)\)|none", fields.get("spacedirections", ""))
    stated = [vector for vector in vectors if vector]
    for vector in stated:
        numbers(path, "space directions", vector.replace(",", " "), count)
    spatial = stated if count == 3 else [vector for vector in vectors[:3] if vector]
    if len(spatial) < 3:
        value = fields.get("spacedirections") or "no space directions"
        raise ScanError(path, "the header does not state the voxel size", value, CONVERT)
