"""Headers in lines of text, with their voxels behind them or in a file of their own: what NRRD and MetaImage share."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from crossmod.scans.formats.volume import CONVERT, printable, unreadable
from crossmod.scans.scan import ScanError

# ASSUME: no header is longer than 16 MB (those of Slicer's segmentations list every segment).
_MOST_BYTES = 1 << 24
ALONE = "Save the scan as one file of its own (.nii.gz, .nrrd or .mha)."


@dataclass(frozen=True)
class Header:
    """What a header states; ITK is not asked, for it takes defaults in silence.

    Attributes:
        affine: (4, 4) voxel index → RAS+ millimetres.
        data: the file that holds the voxels.
        start: bytes before them; None where the header counts them otherwise.
        packed: whether they are a zlib or gzip stream.
        plain: whether they are stored as bytes, packed or not, and not as text.
        big: whether they are big-endian.
    """

    affine: NDArray[np.float64]
    data: Path
    start: int | None
    packed: bool
    plain: bool = True
    big: bool = False


def lines(path: Path, file: IO[bytes]) -> Iterator[str]:
    """The lines of a header, without the blanks around them; afterwards the file stands behind the last one taken.

    Raises:
        ScanError: if there is no end to them.
    """
    while file.tell() < _MOST_BYTES:
        line = file.readline(_MOST_BYTES)
        if not line:
            return
        yield printable(line.decode("utf-8", "replace")).strip()
    raise unreadable(path, "its header has no end")


def numbers(path: Path, key: str, text: str, count: int) -> tuple[float, ...]:
    """The numbers of a field.

    Raises:
        ScanError: if they are not ``count`` finite ones; ITK would take what it understands and 0 or 1 for the rest.
    """
    try:
        found = tuple(float(word) for word in text.split())
    except ValueError:
        found = ()
    if len(found) != count or not all(map(math.isfinite, found)):
        cure = f"Write {count} numbers with decimal points there, or convert the scan again."
        raise ScanError(path, f"the header's '{key}' does not hold {count} numbers", text, cure)
    return found


def no_orientation(path: Path, value: str) -> ScanError:
    """The refusal of a header that does not say where right and left are."""
    cure = "Right and left would be a guess: convert the scan again from its DICOM files."
    return ScanError(path, "the header states no orientation", value, cure)


def refuse_unit(path: Path, key: str, units: list[str]) -> None:
    """Refuse another unit of length than millimetres.

    Raises:
        ScanError: if one is named.
    """
    # ASSUME: a unit that is left empty or unknown means millimetres.
    other = [
        unit
        for unit in units
        if unit.strip().lower() not in ("", "?", "mm", "millimeter", "millimeters", "millimetre", "millimetres")
    ]
    if other:
        raise ScanError(path, "the header's unit of length is not the millimetre", f"{key}: {other[0]}", CONVERT)


def data_beside(path: Path, name: str) -> Path:
    """The file that a detached header names for its voxels.

    Raises:
        ScanError: if it lies outside the header's folder, is no single file, or is not there.
    """
    if name.split()[:1] in (["LIST"], ["list"]) or "%" in name:
        raise ScanError(path, "the header spreads its voxels over several files", name, ALONE)
    try:
        there = (path.parent / name).resolve()
        inside, file = there.is_relative_to(path.parent.resolve()), there.is_file()
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle, a NUL, a name too long
        raise ScanError(path, "the header names no file for its voxels", name, ALONE) from error
    if not inside:
        raise ScanError(path, "the header names a file outside its own folder", name, ALONE)
    if not file or there == path.resolve():
        raise ScanError(path, "the header names a file that is not there", name, "Put it beside the header. " + ALONE)
    return there
