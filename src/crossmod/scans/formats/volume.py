"""What every reader demands of a file: one grey-level volume, of a size that a scan of a person can have."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crossmod.scans.box import three
from crossmod.scans.scan import ScanError

# ASSUME: no scan of a person has voxels finer than 0.05 mm or coarser than 50 mm; such a size was written in another
# unit.
VOXEL_MM = (0.05, 50.0)
# ASSUME: the longest side of a scan measures 2 mm at least, and no side more than 3 m.
SIDE_MM = (2.0, 3000.0)
# ASSUME: a gantry tilts by 30° or less; where two axes meet at less than 45° the header is damaged.
MOST_SHEAR_COSINE = np.cos(np.radians(45.0)) + 1e-6
# ASSUME: the largest CT has 1024 × 1024 × 2000 voxels; a header that declares more than twice as many is damaged.
MOST_VOXELS = 2**32
CONVERT = "Convert the scan again from its DICOM files."
RESCALE = "Find out the true voxel size (the DICOM files state it) and write it into the header, in millimetres."


def volume_shape(
    path: Path, shape: tuple[int, ...], affine: NDArray[np.float64], stated: str = ""
) -> tuple[int, int, int]:
    """The shape without further axes of length one, if that is one volume of a believable size at a place.

    Args:
        path: the file, for the message.
        shape: as the header declares it.
        affine: (4, 4) voxel index → RAS+ millimetres.
        stated: what the header says of the unit, for the message.

    Raises:
        ScanError: if it is none.
    """
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3 or min(shape) < 1:
        raise not_a_volume(path, shape)
    if np.prod(shape, dtype=float) > MOST_VOXELS:
        raise ScanError(path, "the header declares more voxels than a scan has", f"{_times(shape)} voxels", CONVERT)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        value = np.array2string(affine[:3], precision=3, separator=",").replace("\n", "")
        raise ScanError(path, "the affine cannot be inverted", f"{value}{stated}", CONVERT)
    _refuse_size(path, shape, affine, stated)
    return three(int(n) for n in shape)


def _refuse_size(path: Path, shape: tuple[int, ...], affine: NDArray, stated: str) -> None:
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    sides = edges * shape
    value = f"{_times(edges)} mm{stated}"
    if edges.min() < VOXEL_MM[0] or edges.max() > VOXEL_MM[1]:
        raise ScanError(
            path, f"no scan has voxels finer than {VOXEL_MM[0]} or coarser than {VOXEL_MM[1]:g} mm", value, RESCALE
        )
    if sides.max() < SIDE_MM[0] or sides.max() > SIDE_MM[1]:
        value = f"{_times(shape)} voxels of {value}"
        problem = f"no scan measures less than {SIDE_MM[0]:g} mm or more than {SIDE_MM[1] / 1000:g} m"
        raise ScanError(path, problem, value, RESCALE)
    axes = affine[:3, :3] / edges
    if np.abs(np.triu(axes.T @ axes, 1)).max() > MOST_SHEAR_COSINE:
        raise ScanError(
            path,
            "two axes of the grid meet at less than 45°",
            np.array2string(affine[:3, :3], precision=3, separator=",").replace("\n", ""),
            CONVERT,
        )


def refuse_colour(path: Path, colour: bool, kind: str) -> None:
    """Refuse voxels that hold several numbers.

    Raises:
        ScanError: if ``colour``.
    """
    if colour:
        cure = (
            "Of an image, give the grey-level volume itself, not a screenshot or a fused picture. A label map in "
            "several layers (overlapping segments) is to be exported as one label map, with one whole number per voxel."
        )
        raise ScanError(path, "not a grey-level image, and not a single label map", kind, cure)


def not_a_volume(path: Path, shape: tuple) -> ScanError:
    """The refusal of a file that holds several volumes, or a picture."""
    cure = "One scan per file: split time points, echoes or phases, and name each as a case of its own."
    return ScanError(path, "not one three-dimensional volume", f"{_times(shape)} voxels", cure)


def unreadable(path: Path, reason: Exception | str) -> ScanError:
    """The refusal of a file that a library cannot read."""
    value = reason if isinstance(reason, str) else _in_one_line(reason)
    return ScanError(
        path,
        "the file cannot be read",
        value.replace(str(path), path.name),
        "Copy or convert it again; it may be cut short.",
    )


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Whatever a library raises about a damaged file becomes a refusal of that file."""
    try:
        yield
    except ScanError:
        raise
    except Exception as error:  # the libraries raise many kinds, down to zlib's own
        raise unreadable(path, error) from error


def printable(text: str) -> str:
    """A text of unknown origin as one line that a terminal shows and does not obey."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _in_one_line(error: Exception) -> str:
    reason = str(error).strip().splitlines()
    return printable(f"{type(error).__name__}: {reason[-1].strip()}" if reason else type(error).__name__)


def _times(numbers: tuple | NDArray) -> str:
    return "×".join(f"{number:.4g}" if isinstance(number, float) else str(number) for number in numbers)
