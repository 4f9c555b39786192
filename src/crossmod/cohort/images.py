"""Scans in and out: the one place where image files are read and written.

NIfTI through nibabel, NRRD and MetaImage through SimpleITK, DICOM series folders through
:mod:`crossmod.cohort.dicom`. Only voxels and geometry are kept: no header field that could name a patient.
"""

import errno
import gzip
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from numpy.typing import NDArray

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
        return voxel_ml(self.affine)

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

    def _planes(self, z: range) -> NDArray:
        return np.asanyarray(self._voxels[..., z.start : z.stop : z.step])

    def __array__(self, dtype: type | None = None, copy: bool | None = None) -> NDArray:
        return np.asarray(self[:, :, :], dtype=dtype)


def planes(array: NDArray | Unread) -> tuple[int, Iterator[NDArray]]:
    """The axis across which planes are read in one go, and the planes, one after another."""
    axis = 0 if isinstance(array, np.ndarray) else 2
    cuts = (tuple(slice(i, i + 1) if a == axis else slice(None) for a in range(3)) for i in range(array.shape[axis]))
    return axis, (array[cut].squeeze(axis) for cut in cuts)


def read_scan(path: str | Path) -> Scan:
    """Read a NIfTI, NRRD or MetaImage file, or a folder holding one DICOM series.

    A fourth axis of length one is dropped. Nothing about orientation is assumed: a file that does not state it is refused.

    Raises:
        ScanError: if the file is missing, broken, of another kind, not a single grey-level volume, or without orientation.
    """
    path = Path(path)
    if path.is_dir():
        from crossmod.cohort.dicom import read_series

        return read_series(path)
    if not path.exists():
        raise ScanError(path, "no such file", "", "Mend the path in the table, or put the file there.")
    name = path.name.lower()
    if name.endswith(NIFTI):
        scan = _read_nifti(path)
    elif name.endswith(ITK):
        scan = _read_itk(path)
    else:
        cure = f"Give one of {', '.join(NIFTI + ITK)}, or the folder of a DICOM series."
        raise ScanError(path, "unknown kind of file", path.suffix or "no suffix", cure)
    return _checked(path, scan)


def open_scan(path: str | Path) -> Scan:
    """As :func:`read_scan`, but the voxels of a NIfTI stay on disk, so that memory does not grow with its slices.

    A compressed one is unpacked into the folder for temporary files; what is written there has no name, and ends with the scan. Without room
    for it the voxels are read at once.

    Raises:
        ScanError: as :func:`read_scan`.
    """
    path = Path(path)
    if not (path.is_file() and path.name.lower().endswith(NIFTI)):
        return read_scan(path)
    image, codes = _open_nifti(path)
    affine = np.asarray(image.affine, dtype=float)
    shape = _volume(path, image.shape, affine)
    try:
        unpacked = path.open("rb") if path.suffix.lower() == ".nii" else _unpacked(path)
        image = type(image).from_file_map({"image": nib.FileHolder(fileobj=unpacked)}, mmap=False)
        array = Unread(image.dataobj.reshape(shape))
        array[:, :, -1:]  # of a file that is cut short, this fails now and not later
    except OSError as error:
        if error.errno == errno.ENOSPC:
            return read_scan(path)
        raise _unreadable(path, error) from error
    except Exception as error:
        raise _unreadable(path, error) from error
    return Scan(array, affine, codes)


def read_space(path: str | Path) -> Space:
    """Where the voxels of a scan lie; of a NIfTI only the header is read.

    Raises:
        ScanError: as :func:`read_scan`, but for broken voxels of a NIfTI.
    """
    path = Path(path)
    if not (path.is_file() and path.name.lower().endswith(NIFTI)):
        return read_scan(path).space
    image, codes = _open_nifti(path)
    affine = np.asarray(image.affine, dtype=float)
    return Space(_volume(path, image.shape, affine), affine, codes)


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


def voxel_ml(affine: NDArray) -> float:
    """Volume of a voxel in millilitres, by the determinant of an affine in millimetres."""
    return abs(float(np.linalg.det(affine[:3, :3]))) / 1000


def native(array: NDArray) -> NDArray:
    """Integers as stored (machine byte order), everything else as float32."""
    if array.dtype.kind in "ui":
        return np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False))
    return np.ascontiguousarray(array.astype(np.float32, copy=False))


def _read_nifti(path: Path) -> Scan:
    image, codes = _open_nifti(path)
    try:
        array = np.asanyarray(image.dataobj)
    except Exception as error:  # nibabel raises many kinds, down to zlib's own
        raise _unreadable(path, error) from error
    return Scan(array, np.asarray(image.affine, dtype=float), codes)


def _unpacked(path: Path) -> IO[bytes]:
    unpacked = tempfile.TemporaryFile()  # noqa: SIM115  open as long as the scan is
    with gzip.open(path) as packed:
        shutil.copyfileobj(packed, unpacked, 1 << 20)
    return unpacked


def _open_nifti(path: Path) -> tuple[nib.Nifti1Image, tuple[int, int]]:
    """The image, its voxels not read, and its sform and qform code."""
    try:
        image = nib.load(path)
        codes = (int(image.header["sform_code"]), int(image.header["qform_code"]))
        dtype = image.get_data_dtype()
    except Exception as error:
        raise _unreadable(path, error) from error
    _refuse_colour(path, dtype.names is not None or dtype.kind == "c", str(dtype))
    if codes == (0, 0):
        raise ScanError(
            path,
            "the header states no orientation",
            "sform_code and qform_code are 0",
            "Right and left would be a guess: convert the scan again from its DICOM files, or set the sform.",
        )
    if all(codes):
        _refuse_contradiction(path, image.get_sform(), image.get_qform())
    return image, codes


def _refuse_contradiction(path: Path, sform: NDArray, qform: NDArray) -> None:
    axes = ["".join(map(str, nib.aff2axcodes(affine))) for affine in (sform, qform)]
    if axes[0] != axes[1]:
        raise ScanError(
            path,
            "the header contradicts itself about orientation",
            f"sform says {axes[0]}, qform says {axes[1]}",
            "Find out which is true and set both to it (or the other's code to 0).",
        )


def _read_itk(path: Path) -> Scan:
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        stated = _states_orientation(path, reader)
        image = reader.Execute()
    except (RuntimeError, OSError) as error:
        raise _unreadable(path, error) from error
    _refuse_colour(path, image.GetNumberOfComponentsPerPixel() > 1, image.GetPixelIDTypeAsString())
    if image.GetDimension() == 4 and image.GetSize()[3] == 1:
        image = image[:, :, :, 0]
    if image.GetDimension() != 3:
        raise _not_a_volume(path, image.GetSize())
    if not stated:
        cure = "Right and left would be a guess: convert the scan again from its DICOM files."
        raise ScanError(path, "the header states no orientation", "no patient space", cure)
    affine = itk_affine(image.GetSpacing(), image.GetOrigin(), image.GetDirection())
    return Scan(sitk.GetArrayFromImage(image).transpose(2, 1, 0), affine)


def _states_orientation(path: Path, reader) -> bool:
    """Whether an NRRD names its space, or a MetaImage its axes; ITK would silently take the identity."""
    if path.suffix.lower() in (".nrrd", ".nhdr"):
        return "NRRD_space" in reader.GetMetaDataKeys()
    # ASSUME: a MetaImage's axes are those of ITK (LPS+), as every writer in use has it.
    with path.open("rb") as file:
        header = file.read(4096)
    return any(key in header for key in (b"TransformMatrix", b"Rotation", b"Orientation"))


def _checked(path: Path, scan: Scan) -> Scan:
    shape = _volume(path, scan.array.shape, scan.affine)
    return replace(scan, array=native(scan.array.reshape(shape)))


def _volume(path: Path, shape: tuple[int, ...], affine: NDArray[np.float64]) -> tuple[int, int, int]:
    """The shape without further axes of length one, if that is one volume at a place."""
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3 or 0 in shape:
        raise _not_a_volume(path, shape)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        value = np.array2string(affine[:3], precision=3, separator=",").replace("\n", "")
        raise ScanError(path, "the affine cannot be inverted", value, "Convert the scan again from its DICOM files.")
    return shape


def _refuse_colour(path: Path, colour: bool, kind: str) -> None:
    if colour:
        cure = "Give the grey-level volume itself, not a screenshot or a fused picture."
        raise ScanError(path, "not a grey-level image", kind, cure)


def _not_a_volume(path: Path, shape: tuple) -> ScanError:
    size = "×".join(str(n) for n in shape)
    cure = "One scan per file: split time points, echoes or phases, and name each as a case of its own."
    return ScanError(path, "not one three-dimensional volume", f"{size} voxels", cure)


def _unreadable(path: Path, error: Exception) -> ScanError:
    reason = str(error).strip().splitlines()
    value = f"{type(error).__name__}: {reason[-1].strip()}" if reason else type(error).__name__
    value = value.replace(str(path), path.name)
    return ScanError(path, "the file cannot be read", value, "Copy or convert it again; it may be cut short.")
