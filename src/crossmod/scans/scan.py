"""What a scan is: voxels, where they lie, and what makes one unusable."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from nibabel.arrayproxy import ArrayProxy
from numpy.typing import ArrayLike, NDArray

from crossmod.job import UserError
from crossmod.scans.box import Box
from crossmod.scans.voxels import edges_mm, voxel_mm3

AT_ONCE_VOXELS = 8_000_000  # of planes read from disk


# ITK's first two axes point to the patient's left and back (LPS+), ours to the right and front (RAS+).
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


class ScanError(UserError):
    """A scan that cannot be used: which file, what is wrong, the offending value, and the cure."""

    def __init__(self, file: Path | str, problem: str, value: str, cure: str):
        super().__init__(f"{file}: {problem} ({value}). {cure}" if value else f"{file}: {problem}. {cure}")
        self.file, self.problem, self.value, self.cure = str(file), problem, value, cure


@dataclass(frozen=True, eq=False)
class Space:
    """Where the voxels of a scan lie.

    Attributes:
        shape: (X, Y, Z) of the array.
        affine: (4, 4) voxel index → RAS+ millimetres.
        codes: NIfTI's sform and qform code.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    codes: tuple[int, int]


class Unread:
    """Voxels that stay on disk.

    Indexing with three slices reads the planes of a box, some at a time, and gives the box as :func:`read_scan` does.

    Attributes:
        shape: (X, Y, Z).
    """

    def __init__(self, voxels: ArrayProxy) -> None:
        self.shape: tuple[int, int, int] = voxels.shape
        self._voxels = voxels

    def __getitem__(self, box: Box) -> NDArray:
        x, y, planes = box
        z = range(self.shape[2])[planes]
        some = max(1, AT_ONCE_VOXELS // (self.shape[0] * self.shape[1]))
        parts = [z[start : start + some] for start in range(0, len(z), some)] or [z]
        return native(np.concatenate([self._planes(part)[x, y].copy() for part in parts], axis=2))

    def planes(self) -> Iterator[NDArray]:
        """The planes across the third axis as they lie in memory.

        To turn the order of their voxels round takes longer than to read them.
        """
        for z in range(self.shape[2]):
            yield _native_numbers(self._planes(range(z, z + 1)).squeeze(2))

    def _planes(self, z: range) -> NDArray:
        return np.asanyarray(self._voxels[..., z.start : z.stop : z.step])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray:
        return np.asarray(self[:, :, :], dtype=dtype)


Voxels = TypeVar("Voxels", NDArray[Any], Unread)


@dataclass(frozen=True, eq=False)
class _Placed(Generic[Voxels]):
    """Voxels and where they lie.

    Attributes:
        array: (X, Y, Z); intensities after the header's rescaling, integer types as stored, floats as float32.
        affine: (4, 4) voxel index → RAS+ millimetres: x grows towards the patient's right.
        codes: NIfTI's sform and qform code; (1, 0) for scans of other formats.
        stated_modality: what the file itself says it is, as DICOM's tag Modality writes it (``CT``, ``MR``, …); empty
            where it says nothing.
    """

    array: Voxels
    affine: NDArray[np.float64]
    codes: tuple[int, int] = (1, 0)
    stated_modality: str = ""

    @property
    def spacing_mm(self) -> NDArray[np.float64]:
        """(3,) voxel edge lengths along the array axes."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel; of a sheared grid (tilted gantry) less than the product of its edges."""
        return voxel_mm3(edges_mm(self.affine)) / 1000

    @property
    def space(self) -> Space:
        """Where its voxels lie."""
        return Space(self.array.shape, self.affine, self.codes)


class Scan(_Placed[NDArray[Any]]):
    """A scan whose voxels are in memory; see :func:`crossmod.scans.files.read_scan`."""


class StoredScan(_Placed[Unread]):
    """A scan whose voxels stay on disk; see :func:`crossmod.scans.files.open_scan`."""


AnyScan = Scan | StoredScan


def planes(array: NDArray | Unread) -> tuple[int, Iterator[NDArray]]:
    """The axis across which planes are read in one go, and the planes, one after another."""
    if isinstance(array, Unread):
        return 2, array.planes()
    return 0, iter(array)


def itk_affine(spacing_mm: ArrayLike, origin_mm: ArrayLike, direction: ArrayLike) -> NDArray[np.float64]:
    """(4, 4) RAS+ affine of ITK's spacing, origin and row-major direction cosines (LPS+)."""
    lps = np.eye(4)
    lps[:3, :3] = np.reshape(direction, (3, 3)) * np.asarray(spacing_mm)
    lps[:3, 3] = origin_mm
    return _LPS_TO_RAS @ lps


def native(array: NDArray) -> NDArray:
    """Integers as stored (machine byte order), everything else as float32; the last index is the fastest."""
    return np.ascontiguousarray(_native_numbers(array))


def _native_numbers(array: NDArray) -> NDArray:
    kind = array.dtype.newbyteorder("=") if array.dtype.kind in "ui" else np.float32
    return array.astype(kind, copy=False)
