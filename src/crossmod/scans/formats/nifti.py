"""NIfTI files: taken by their content, read to their end, and refused where the header contradicts itself."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from crossmod.scans.formats.packed import content, is_gzip, refuse_other_size, refuse_rest, unpacked
from crossmod.scans.formats.volume import readable, refuse_colour, unreadable, volume_shape
from crossmod.scans.scan import AnyScan, Scan, ScanError, Space, StoredScan, Unread, native

# By the size of the header, which it begins with.
_KINDS = {348: nib.Nifti1Image, 540: nib.Nifti2Image}
# ASSUME: a header that leaves the unit unknown means millimetres, as every library takes it.
_UNIT_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
_UNITS = {0: "unknown", 1: "metre", 2: "mm", 3: "micrometre"}
# ASSUME: two statements of one voxel size differ by rounding if they differ by less than a thousandth, and two of one
# place if by less than a tenth of the smallest edge. Single precision turns a quaternion by up to 0.04°.
_ROUNDING_SIZE, _ROUNDING_VOXELS, _ROUNDING_DEGREES = 1e-3, 0.1, 0.2
_BOTH = "Find out which is true and set both to it (or the other's code to 0)."


@dataclass(frozen=True)
class _Header:
    """What a file states.

    Attributes:
        image: its voxels not read.
        shape: (X, Y, Z).
        affine: (4, 4) voxel index → RAS+ millimetres.
        codes: sform and qform code.
        size: bytes of the whole file, unpacked.
    """

    image: nib.Nifti1Image
    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    codes: tuple[int, int]
    size: int


def read_nifti(path: Path) -> Scan:
    """Voxels and where they lie.

    Raises:
        ScanError: if the file is damaged, contradicts itself, or is not one grey-level volume.
    """
    with _opened(path) as (file, header):
        array = native(np.asanyarray(header.image.dataobj).reshape(header.shape))
        if is_gzip(path):
            refuse_rest(path, file)
    return Scan(array, header.affine, header.codes)


def open_nifti(path: Path) -> AnyScan:
    """As :func:`read_nifti`, with voxels that stay on disk; those of a compressed file are unpacked there.

    Raises:
        ScanError: as :func:`read_nifti`.
    """
    with _opened(path) as (_, header):
        kind = type(header.image)
    try:
        with readable(path):
            there = unpacked(path, header.size) if is_gzip(path) else path.open("rb")
            image = kind.from_file_map({"image": nib.FileHolder(fileobj=there)}, mmap=False)
    except ScanError as error:
        if getattr(error.__cause__, "errno", None) == errno.ENOSPC:
            return read_nifti(path)
        raise
    return StoredScan(Unread(image.dataobj.reshape(header.shape)), header.affine, header.codes)


def nifti_space(path: Path) -> Space:
    """Where the voxels lie; only the header is read.

    Raises:
        ScanError: as :func:`read_nifti`, but for damaged voxels.
    """
    with _opened(path) as (_, header):
        return Space(header.shape, header.affine, header.codes)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BufferedIOBase, _Header]]:
    with readable(path), content(path) as file:
        header = _stated(path, file)
        refuse_other_size(path, header.size, path.stat().st_size, is_gzip(path))
        yield file, header


def _stated(path: Path, file: BufferedIOBase) -> _Header:
    raw = _raw_header(path, file)
    codes, edges, (scale, unit) = _codes(path, raw), _edges(path, raw), _unit(path, raw)
    image = _KINDS[raw.sizeof_hdr].from_file_map({"image": nib.FileHolder(fileobj=file)})
    dtype = image.get_data_dtype()
    refuse_colour(path, dtype.names is not None or dtype.kind == "c", str(dtype))
    affine = image.affine * np.array([[scale], [scale], [scale], [1.0]])
    shape = volume_shape(path, image.shape, affine, unit)
    if all(codes):
        _refuse_contradiction(path, raw.get_sform(), raw.get_qform())
    _refuse_other_size(path, "sform" if codes[0] else "qform", image.affine, "pixdim", edges)
    size = image.dataobj.offset + int(np.prod(shape)) * dtype.itemsize
    return _Header(image, shape, affine, codes, size)


def _raw_header(path: Path, file: BufferedIOBase) -> nib.Nifti1Header:
    """The header as it is written; nibabel would mend some of it in silence (a voxel edge of 0 becomes 1 mm)."""
    start = file.read(4)
    sizes = {int.from_bytes(start, order) for order in ("little", "big")} & set(_KINDS)
    if not sizes:
        raise unreadable(path, "it does not begin with the header of a NIfTI file")
    file.seek(0)
    raw = _KINDS[sizes.pop()].header_class.from_fileobj(file, check=False)
    file.seek(0)
    return raw


def _codes(path: Path, raw: nib.Nifti1Header) -> tuple[int, int]:
    codes = (int(raw["sform_code"]), int(raw["qform_code"]))
    stated = f"sform_code and qform_code are {codes[0]} and {codes[1]}"
    if codes == (0, 0):
        raise ScanError(
            path,
            "the header states no orientation",
            "sform_code and qform_code are 0",
            "Right and left would be a guess: convert the scan again from its DICOM files, or set the sform.",
        )
    if not set(codes) <= set(range(6)):
        raise ScanError(
            path,
            "the header's codes are not NIfTI's, which go from 0 to 5",
            stated,
            "Convert the scan again from its DICOM files.",
        )
    return codes


def _edges(path: Path, raw: nib.Nifti1Header) -> NDArray[np.float32]:
    """The edges of a voxel by pixdim, in the header's unit."""
    edges = np.abs(raw["pixdim"][1:4])
    if not (edges > 0).all():  # NaN too; nibabel would take 1 mm
        cure = "Write the true edges of a voxel into pixdim, or convert the scan again from its DICOM files."
        raise ScanError(path, "the header does not state the voxel size", f"pixdim says {_times(edges)}", cure)
    return edges


def _unit(path: Path, raw: nib.Nifti1Header) -> tuple[float, str]:
    """Millimetres in the header's unit of length, and what to say of it in a message."""
    code = int(raw["xyzt_units"]) & 7
    if code not in _UNIT_MM:
        cure = "Set xyzt_units to 2 (mm) if the voxel size is in millimetres, or convert the scan again."
        raise ScanError(
            path, "the header's unit of length is unknown to NIfTI", f"xyzt_units is {int(raw['xyzt_units'])}", cure
        )
    return _UNIT_MM[code], "" if _UNIT_MM[code] == 1 else f", converted from the header's unit, {_UNITS[code]}"


def _refuse_contradiction(path: Path, sform: NDArray, qform: NDArray) -> None:
    """Refuse two statements of where the voxels lie that differ by more than rounding."""
    axes = ["".join(map(str, nib.aff2axcodes(affine))) for affine in (sform, qform)]
    if axes[0] != axes[1]:
        value = f"sform says {axes[0]}, qform says {axes[1]}"
        raise ScanError(path, "the header contradicts itself about orientation", value, _BOTH)
    edges = np.linalg.norm(qform[:3, :3], axis=0)
    _refuse_other_size(path, "sform", sform, "qform and pixdim", edges)
    degrees = _degrees_apart(sform, qform)
    # ASSUME: a qform cannot hold the shear of a tilted gantry: it differs by up to the tilt, and the sform is the
    # truth.
    if degrees > _ROUNDING_DEGREES + _sheared_degrees(sform):
        value = f"the axes of sform and qform differ by up to {degrees:.2g}°"
        raise ScanError(path, "the header contradicts itself about orientation", value, _BOTH)
    if np.linalg.norm(sform[:3, 3] - qform[:3, 3]) > _ROUNDING_VOXELS * edges.min():
        first = ["(" + ", ".join(f"{mm:.6g}" for mm in affine[:3, 3]) + ")" for affine in (sform, qform)]
        value = f"the first voxel lies at {first[0]} by the sform, at {first[1]} by the qform"
        raise ScanError(path, "the header contradicts itself about the place", value, _BOTH)


def _refuse_other_size(path: Path, name: str, affine: NDArray, other: str, edges: NDArray) -> None:
    """Refuse edges other than the affine's: of a sheared one, its steps or the distances between its planes."""
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    distances = 1 / np.linalg.norm(np.linalg.inv(affine[:3, :3]), axis=1)
    apart = np.minimum(np.abs(edges / steps - 1), np.abs(edges / distances - 1))
    if not apart.max() <= _ROUNDING_SIZE:  # NaN too
        value = f"{name} says {_times(steps)}, {other} {'say' if ' and ' in other else 'says'} {_times(edges)}"
        cure = "Find out which is true and write it into both, or convert the scan again from its DICOM files."
        raise ScanError(path, "the header contradicts itself about the voxel size", value, cure)


def _times(edges: NDArray) -> str:
    return "×".join(f"{edge:.4g}" for edge in edges)


def _degrees_apart(one: NDArray, other: NDArray) -> float:
    """The largest angle between equal axes of two affines."""
    a, b = (affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0) for affine in (one, other))
    return float(np.degrees(np.arcsin(np.clip(np.linalg.norm(np.cross(a, b, axis=0), axis=0), 0, 1))).max())


def _sheared_degrees(affine: NDArray) -> float:
    """By how much the angle between two axes differs from a right one, at most."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return float(np.degrees(np.arcsin(np.clip(np.abs(np.triu(axes.T @ axes, 1)).max(), 0, 1))))
