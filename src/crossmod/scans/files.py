"""Scans in and out: the one place where image files are read and written.

NIfTI is read by :mod:`crossmod.scans.formats.nifti`, NRRD and MetaImage by :mod:`crossmod.scans.formats.itk`, folders
of a DICOM series by :mod:`crossmod.scans.formats.dicom`. Only voxels and geometry are kept: no header field that could
name a patient.
"""

import stat
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from crossmod.job import UserError
from crossmod.scans.scan import AnyScan, Scan, ScanError, Space

NIFTI = (".nii", ".nii.gz")
ITK = (".nrrd", ".nhdr", ".mha", ".mhd")


def read_scan(path: str | Path) -> Scan:
    """Read a NIfTI, NRRD or MetaImage file, or a folder holding one DICOM series.

    A fourth axis of length one is dropped. Nothing about orientation is assumed, and a file that does not state it is
    refused.

    Raises:
        ScanError: if the file is missing, broken, of another kind, not a single grey-level volume, or without
            orientation.
    """
    path = Path(path)
    kind = _kind(path)
    if kind == "folder":
        from crossmod.scans.formats.dicom import read_series

        return read_series(path)
    if kind == "nifti":
        from crossmod.scans.formats.nifti import read_nifti

        return read_nifti(path)
    from crossmod.scans.formats.itk import read_itk

    return read_itk(path)


def open_scan(path: str | Path) -> AnyScan:
    """As :func:`read_scan`, but the voxels of a NIfTI stay on disk, so that memory does not grow with its slices.

    A compressed one is unpacked into the folder for temporary files; what is written there has no name, and ends with
    the scan. Without room for it the voxels are read at once.

    Raises:
        ScanError: as :func:`read_scan`.
    """
    path = Path(path)
    if _kind(path) != "nifti":
        return read_scan(path)
    from crossmod.scans.formats.nifti import open_nifti

    return open_nifti(path)


def read_space(path: str | Path) -> Space:
    """Where the voxels of a scan lie; of a NIfTI only the header is read.

    Raises:
        ScanError: as :func:`read_scan`, but for broken voxels of a NIfTI.
    """
    path = Path(path)
    if _kind(path) != "nifti":
        return read_scan(path).space
    from crossmod.scans.formats.nifti import nifti_space

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
