"""Scans in and out: the one place where image files are read and written.

NIfTI is read by :mod:`crossmod.cohort.nifti`, NRRD and MetaImage by :mod:`crossmod.cohort.itk`, folders of a DICOM series by
:mod:`crossmod.cohort.dicom`. Only voxels and geometry are kept: no header field that could name a patient.
"""

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from numpy.typing import NDArray

from crossmod.cohort.voxels import edges_mm, voxel_mm3
from crossmod.job import UserError

AT_ONCE_VOXELS = 8_000_000  # of planes read from disk
NIFTI = (".nii", ".nii.gz")
ITK = (".nrrd", ".nhdr", ".mha", ".mhd")
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


@dataclass(frozen=True, eq=False)
class Scan:
    """Voxels and where they lie.

    Attributes:
        array: (X, Y, Z); intensities after the header's rescaling, integer types as stored, floats as float32; :class:`Unread` of
            :func:`open_scan`.
        affine: (4, 4) voxel index → RAS+ millimetres: x grows towards the patient's right.
        codes: NIfTI's sform and qform code; (1, 0) for scans of other formats.
        stated_modality: what the file itself says it is, as DICOM's tag Modality writes it (``CT``, ``MR``, …); empty where it says nothing.
    """

    array: "NDArray | Unread"
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


class Unread:
    """Voxels that stay on disk: indexing with three slices reads the planes of a box, some at a time, and gives the box as :func:`read_scan` does.

    Attributes:
        shape: (X, Y, Z).
    """

    def __init__(self, voxels: ArrayProxy) -> None:
        self.shape = voxels.shape
        self._voxels = voxels

    def __getitem__(self, box: tuple[slice, slice, slice]) -> NDArray:
        x, y, planes = box
        z = range(self.shape[2])[planes]
        some = max(1, AT_ONCE_VOXELS // (self.shape[0] * self.shape[1]))
        parts = [z[start : start + some] for start in range(0, len(z), some)] or [z]
        return native(np.concatenate([self._planes(part)[x, y].copy() for part in parts], axis=2))

    def planes(self) -> Iterator[NDArray]:
        """The planes across the third axis as they lie in memory: to turn the order of their voxels round takes longer than to read them."""
        for z in range(self.shape[2]):
            yield _native_numbers(self._planes(range(z, z + 1)).squeeze(2))

    def _planes(self, z: range) -> NDArray:
        return np.asanyarray(self._voxels[..., z.start : z.stop : z.step])

    def __array__(self, dtype: type | None = None, copy: bool | None = None) -> NDArray:
        return np.asarray(self[:, :, :], dtype=dtype)


def planes(array: NDArray | Unread) -> tuple[int, Iterator[NDArray]]:
    """The axis across which planes are read in one go, and the planes, one after another."""
    if isinstance(array, Unread):
        return 2, array.planes()
    return 0, iter(array)


def read_scan(path: str | Path) -> Scan:
    """Read a NIfTI, NRRD or MetaImage file, or a folder holding one DICOM series.

    A fourth axis of length one is dropped. Nothing about orientation is assumed: a file that does not state it is refused.

    Raises:
        ScanError: if the file is missing, broken, of another kind, not a single grey-level volume, or without orientation.
    """
    path = Path(path)
    kind = _kind(path)
    if kind == "folder":
        from crossmod.cohort.dicom import read_series

        return read_series(path)
    if kind == "nifti":
        from crossmod.cohort.nifti import read_nifti

        return read_nifti(path)
    from crossmod.cohort.itk import read_itk

    return read_itk(path)


def open_scan(path: str | Path) -> Scan:
    """As :func:`read_scan`, but the voxels of a NIfTI stay on disk, so that memory does not grow with its slices.

    A compressed one is unpacked into the folder for temporary files; what is written there has no name, and ends with the scan. Without room
    for it the voxels are read at once.

    Raises:
        ScanError: as :func:`read_scan`.
    """
    path = Path(path)
    if _kind(path) != "nifti":
        return read_scan(path)
    from crossmod.cohort.nifti import open_nifti

    return open_nifti(path)


def read_space(path: str | Path) -> Space:
    """Where the voxels of a scan lie; of a NIfTI only the header is read.

    Raises:
        ScanError: as :func:`read_scan`, but for broken voxels of a NIfTI.
    """
    path = Path(path)
    if _kind(path) != "nifti":
        return read_scan(path).space
    from crossmod.cohort.nifti import nifti_space

    return nifti_space(path)


def write_scan(path: str | Path, scan: Scan) -> None:
    """Write a scan as NIfTI: equal scans give equal bytes (no time and no name in the gzip header).

    Raises:
        UserError: if the path does not end in .nii or .nii.gz, or the scan is not three-dimensional.
    """
    path = Path(path)
    if not path.name.lower().endswith(NIFTI):
        raise UserError(f"{path}: images are written as NIfTI; let the name end in .nii.gz.")
    if scan.array.ndim != 3:
        raise UserError(f"{path}: expected a three-dimensional array, not one of shape {scan.array.shape}.")
    image = nib.Nifti1Image(scan.array, scan.affine, dtype=scan.array.dtype)
    sform_code, qform_code = scan.codes
    # With neither code the file would state no orientation.
    image.set_sform(scan.affine, sform_code or (0 if qform_code else 1))
    image.set_qform(scan.affine, qform_code)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)


def write_mask(path: str | Path, array: NDArray, affine: NDArray, codes: tuple[int, int] = (1, 0)) -> None:
    """Write a mask or label map as 8-bit NIfTI in the scan's own space.

    Args:
        path: ends in .nii.gz.
        array: (X, Y, Z) booleans or integers from 0 to 255.
        affine: (4, 4) RAS+ millimetres, of the scan.
        codes: sform and qform code, of the scan.

    Raises:
        UserError: if the values do not fit.
    """
    if array.dtype.kind not in "bui" or (array.size and not 0 <= array.min() <= array.max() <= 255):
        raise UserError(f"{path}: a mask holds whole numbers from 0 to 255, not {array.dtype} values.")
    write_scan(path, Scan(np.asarray(array, dtype=np.uint8), affine, codes))


def itk_affine(spacing_mm: tuple, origin_mm: tuple, direction: tuple) -> NDArray[np.float64]:
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


def _kind(path: Path) -> str:
    """``folder``, ``nifti`` or ``itk``: which reader a path is for."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        value = "" if missing else str(getattr(error, "strerror", None) or error)
        cure = "Mend the path in the table, or put the file there."
        raise ScanError(path, "no such file" if missing else "the file cannot be reached", value, cure) from error
    if stat.S_ISDIR(mode):
        return "folder"
    name = path.name.lower()
    if not name.endswith(NIFTI + ITK):
        cure = f"Give one of {', '.join(NIFTI + ITK)}, or the folder of a DICOM series."
        raise ScanError(path, "unknown kind of file", path.suffix or "no suffix", cure)
    if not stat.S_ISREG(mode):
        raise ScanError(path, "not a file", "a pipe, socket or device", "Give the image file itself.")
    return "nifti" if name.endswith(NIFTI) else "itk"
