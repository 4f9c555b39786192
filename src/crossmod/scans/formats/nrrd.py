"""What the header of an NRRD file states, by https://teem.sourceforge.net/nrrd/format.html."""

import re
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from crossmod.scans.formats.header import Header, data_beside, lines, no_orientation, numbers, refuse_unit
from crossmod.scans.formats.volume import CONVERT, unreadable
from crossmod.scans.scan import ScanError

# Spaces that name right and left, and which way their axes point, seen from RAS+. Others (scanner-xyz, 3D-right-handed,
# …) do not.
_SPACES = {
    ("right-anterior-superior", "ras"): (1, 1, 1),
    ("left-anterior-superior", "las"): (-1, 1, 1),
    ("left-posterior-superior", "lps"): (-1, -1, 1),
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
    axes, timed = _space(path, fields)
    affine = _affine(path, fields, axes, timed)
    data, encoding = path, fields.get("encoding", "").lower()
    if "datafile" in fields:
        data, start = data_beside(path, fields["datafile"]), 0
    if encoding not in ("raw", *_PACKED, *_TEXT):
        raise unreadable(path, f"its encoding, {encoding or 'which it does not name'}, is unknown")
    skips = any(fields.get(skip, "0") != "0" for skip in ("lineskip", "byteskip"))
    if skips and encoding in _PACKED:
        raise unreadable(path, "it skips lines or bytes of compressed voxels")
    return Header(
        affine=affine,
        data=data,
        start=None if skips else start,
        packed=encoding in _PACKED,
        plain=encoding not in _TEXT,
        big=fields.get("endian", "").lower() == "big",
    )


def _fields(path: Path, file: IO[bytes]) -> dict[str, str]:
    """Field → what it holds; names without blanks and capitals, as the format allows ``spacedirections``."""
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


def _space(path: Path, fields: dict[str, str]) -> tuple[tuple[int, int, int], bool]:
    """Which way the axes of the patient's space point, seen from RAS+, and whether time is a fourth."""
    space = fields.get("space", "").lower()
    for (words, letters), axes in _SPACES.items():
        if space in (words, letters, f"{words}-time", f"{letters}t"):
            return axes, space in (f"{words}-time", f"{letters}t")
    raise no_orientation(path, f"space {space} names no right and left" if space else "no patient space")


def _affine(path: Path, fields: dict[str, str], axes: tuple[int, int, int], timed: bool) -> NDArray[np.float64]:
    """(4, 4) RAS+. Of a header without the steps along three axes, ITK would take 1 mm along the axes of the space."""
    refuse_unit(path, "space units", re.findall(r'"([^"]*)"', fields.get("spaceunits", ""))[:3])
    said, count = fields.get("spacedirections", ""), 4 if timed else 3
    vectors = [found.strip("()") for found in re.findall(r"\([^)]*\)|none", said)]
    vectors = vectors[:3] if timed else [vector for vector in vectors if vector != "none"]
    if len(vectors) != 3 or "none" in vectors:
        raise ScanError(path, "the header does not state the voxel size", said or "no space directions", CONVERT)
    # ASSUME: a header without space origin means (0, 0, 0); no volume depends on it.
    origin = fields.get("spaceorigin", "").strip("()") or " ".join(["0"] * count)
    columns = [numbers(path, "space directions", vector.replace(",", " "), count) for vector in vectors]
    columns.append(numbers(path, "space origin", origin.replace(",", " "), count))
    if any(any(column[3:]) for column in columns[:3]):
        raise ScanError(path, "the header mixes time and place", said, CONVERT)
    affine = np.eye(4)
    affine[:3] = np.array([column[:3] for column in columns]).T
    return np.diag([*axes, 1.0]) @ affine
