"""One DICOM series as a volume: slices sorted by where they lie, nothing taken from names or instance numbers."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crossmod.scans.formats.dicom_header import SliceHeader, slice_headers
from crossmod.scans.formats.volume import volume_shape
from crossmod.scans.scan import Scan, ScanError, itk_affine, native

_EXPORT = "Export the series again."
# ASSUME: direction cosines, and pixel sizes relative to each other, that differ by less than a thousandth differ by
# rounding.
_ROUNDING = 1e-3
_TOLD = 4


@dataclass(frozen=True)
class Slice:
    """A file of a series and where it lies: LPS millimetres along the slice normal, and the corner itself."""

    file: Path
    position_mm: float
    corner_mm: tuple[float, ...]


def read_series(folder: str | Path) -> Scan:
    """Read the one series in a folder; files that are not DICOM images are passed over.

    Returns:
        The scan: (X, Y, Z) with X along rows, Y down columns, Z along the slice normal; rescale slope and intercept
        applied slice by slice; float32 unless all values are whole numbers of 16 bits, then int16.

    Raises:
        ScanError: if the folder holds no image, several series, several slices at one place, a gap,
            corners that do not lie on a line, or a slice that cannot be read or states something impossible.
    """
    folder = Path(folder)
    headers = slice_headers(folder)
    slices = _sorted(folder, headers)
    affine = _affine(headers[0], slices)
    shape = volume_shape(folder, (*headers[0].size, len(slices)), affine)
    array = _voxels(folder, slices)
    if array.shape != shape:
        raise ScanError(
            folder, "slices have another size than their headers state", f"{array.shape} for {shape}", _EXPORT
        )
    return Scan(native(_whole_numbers(array)), affine, stated_modality=_modality(folder, headers))


def sorted_slices(folder: str | Path) -> list[Slice]:
    """The slices of the one series in a folder, in ascending order along the slice normal.

    Raises:
        ScanError: see :func:`read_series`.
    """
    return _sorted(Path(folder), slice_headers(Path(folder)))


def _affine(one: SliceHeader, slices: list[Slice]) -> NDArray[np.float64]:
    """(4, 4) RAS+; the whole stack states the step better than two slices do, and shows a tilted gantry.

    ITK is not asked: for some kinds of image (CR, XA, multi-frame captures) it takes 1 mm in silence.
    """
    step = (np.array(slices[-1].corner_mm) - slices[0].corner_mm) / (len(slices) - 1)
    axes = np.stack([np.array(one.row) * one.spacing_mm[0], np.array(one.column) * one.spacing_mm[1], step], axis=1)
    return itk_affine((1, 1, 1), slices[0].corner_mm, axes.ravel())


def _voxels(folder: Path, slices: list[Slice]) -> NDArray[np.float32]:
    import SimpleITK as sitk

    reader = sitk.ImageSeriesReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileNames([str(one.file) for one in slices])
    reader.SetOutputPixelType(sitk.sitkFloat32)
    try:
        return sitk.GetArrayFromImage(reader.Execute()).transpose(2, 1, 0)
    except RuntimeError as error:
        broken = next((one.file for one in slices if not _can_be_read(one.file)), folder)
        raise ScanError(
            broken, "the pixels of the DICOM file cannot be read", "damaged or cut short", _EXPORT
        ) from error


def _can_be_read(file: Path) -> bool:
    import SimpleITK as sitk

    try:
        sitk.ReadImage(str(file), imageIO="GDCMImageIO")
    except RuntimeError:
        return False
    return True


def _modality(folder: Path, headers: list[SliceHeader]) -> str:
    stated = Counter(header.modality for header in headers if header.modality)
    if len(stated) > 1:
        value = " and ".join(f"{count} slices of {modality}" for modality, count in sorted(stated.items()))
        raise ScanError(folder, "several modalities in one folder", value, "Give each series a folder of its own.")
    return next(iter(stated), "")


def _sorted(folder: Path, headers: list[SliceHeader]) -> list[Slice]:
    if not headers:
        raise ScanError(
            folder, "no DICOM image in this folder", "", "Give the folder that holds the slices themselves."
        )
    _refuse_several(folder, headers)
    normal = np.cross(headers[0].row, headers[0].column)
    slices = [Slice(one.file, float(np.dot(normal, one.corner_mm)), one.corner_mm) for one in headers]
    slices.sort(key=lambda one: one.position_mm)
    _refuse_gaps(folder, slices)
    _refuse_jumps(folder, slices)
    _refuse_other_scale(folder, headers)
    return slices


def _refuse_other_scale(folder: Path, headers: list[SliceHeader]) -> None:
    without = [header.file.name for header in headers if not header.rescaled]
    if 0 < len(without) < len(headers):
        value = f"{len(without)} of {len(headers)}, the first is {without[0]}"
        raise ScanError(folder, "some slices state neither RescaleSlope nor RescaleIntercept", value, _EXPORT)


def _refuse_several(folder: Path, headers: list[SliceHeader]) -> None:
    uids = [header.series for header in headers]
    # Some anonymisers give every slice a series number of its own; such numbers say nothing (CHAOS).
    telling = len(set(uids)) < len(uids)

    groups: list[list[SliceHeader]] = []
    for header in headers:
        group = next((group for group in groups if _alike(header, group[0], telling)), None)
        if group is None:
            groups.append([header])
        else:
            group.append(header)
    if len(groups) > 1:
        value = " and ".join(f"{len(group)} slices like {group[0].file.name}" for group in groups[:_TOLD])
        more = f" and {len(groups) - _TOLD} more" if len(groups) > _TOLD else ""
        cure = (
            "Give each series (one number, one orientation, one size of image and pixel) a folder of its own; remove "
            "localisers."
        )
        raise ScanError(folder, f"{len(groups)} series in one folder", value + more, cure)


def _alike(one: SliceHeader, other: SliceHeader, telling: bool) -> bool:
    """Whether two slices belong to one series.

    Numbers are written with more digits than scanners mean, and may differ by rounding.
    """
    same = (one.size == other.size) and (one.series == other.series or not telling)
    turned = np.abs(np.subtract((*one.row, *one.column), (*other.row, *other.column))).max()
    stretched = np.abs(np.divide(one.spacing_mm, other.spacing_mm) - 1).max()
    return bool(same and turned <= _ROUNDING and stretched <= _ROUNDING)


def _refuse_jumps(folder: Path, slices: list[Slice]) -> None:
    """Refuse slices that are shifted sideways; those of a tilted gantry are too, but evenly."""
    corners, positions = np.array([one.corner_mm for one in slices]), np.array([one.position_mm for one in slices])
    share = (positions - positions[0]) / (positions[-1] - positions[0])
    off = np.linalg.norm(corners - corners[0] - share[:, None] * (corners[-1] - corners[0]), axis=1)
    # ASSUME: scanners' rounding of a corner stays below a tenth of the step between slices.
    if off.max() > 0.1 * (positions[-1] - positions[0]) / (len(slices) - 1):
        first = slices[int(np.argmax(off))].file.name
        value = (
            f"the corner of {first} (ImagePositionPatient) lies {off.max():.4g} mm beside the line of first and last"
        )
        cure = "Two series share the folder, or the positions were damaged: export the whole series again."
        raise ScanError(folder, "slices are shifted against each other", value, cure)


def _refuse_gaps(folder: Path, slices: list[Slice]) -> None:
    positions = np.array([one.position_mm for one in slices])
    steps = np.diff(positions)
    if not len(steps):
        raise ScanError(folder, "a single slice is not a volume", "1 slice", "Give the folder of the whole series.")
    # ASSUME: slices closer than 0.01 mm lie at one place; a series holds one image per place.
    if steps.min() < 0.01:
        value = f"{int((steps < 0.01).sum())} of {len(slices)} slices lie where another does"
        cure = "Several echoes, phases or time points share the folder: give each a folder of its own."
        raise ScanError(folder, "several slices at one place", value, cure)
    # ASSUME: the usual step is the median one; scanners' rounding stays below a tenth of it.
    usual = float(np.median(steps))
    wrong = np.flatnonzero(np.abs(steps - usual) > 0.1 * usual)
    if len(wrong):
        first = slices[wrong[0]].file.name
        value = f"{steps[wrong[0]]:g} mm after {first} instead of {usual:g} mm, at {len(wrong)} places in all"
        cure = "A slice is missing, or a localiser is among them: export the whole series again."
        raise ScanError(folder, "slices are not evenly spaced", value, cure)


def _whole_numbers(array: NDArray) -> NDArray:
    """float32 voxels as int16 where that changes nothing."""
    if np.isfinite(array).all() and -32768 <= array.min() <= array.max() <= 32767 and (array == np.rint(array)).all():
        return array.astype(np.int16)
    return array
