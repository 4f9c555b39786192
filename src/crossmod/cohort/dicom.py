"""One DICOM series as a volume: slices sorted by where they lie, nothing taken from names or instance numbers."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crossmod.cohort.images import Scan, ScanError, itk_affine, native

_TAGS = [
    "Modality",
    "SeriesInstanceUID",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "PixelSpacing",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "NumberOfFrames",
]


@dataclass(frozen=True)
class Slice:
    """A file of a series and where it lies: LPS millimetres along the slice normal, and the corner itself."""

    file: Path
    position_mm: float
    corner_mm: tuple[float, float, float]


def read_series(folder: str | Path) -> Scan:
    """Read the one series in a folder; files that are not DICOM images are passed over.

    Returns:
        The scan: (X, Y, Z) with X along rows, Y down columns, Z along the slice normal; rescale slope and intercept applied
        slice by slice; float32 unless all values are whole numbers of 16 bits, then int16.

    Raises:
        ScanError: if the folder holds no image, several series, several slices at one place, or a gap.
    """
    import SimpleITK as sitk

    folder = Path(folder)
    headers = _headers(folder)
    slices = _sorted(folder, headers)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(one.file) for one in slices])
    reader.SetOutputPixelType(sitk.sitkFloat32)
    try:
        image = reader.Execute()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip().replace(f"{folder}/", "")
        raise ScanError(folder, "the DICOM series cannot be read", reason, "Export the series again.") from error
    affine = itk_affine(image.GetSpacing(), image.GetOrigin(), image.GetDirection())
    if len(slices) > 1:
        # The reader rounds nothing, but the whole stack states the step better than two slices do, and shows a tilted gantry.
        step = (np.array(slices[-1].corner_mm) - slices[0].corner_mm) / (len(slices) - 1)
        affine[:3, 2] = step * (-1, -1, 1)
    array = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
    stated = {str(header.get("Modality", "")) for header in headers.values()}
    return Scan(native(_whole_numbers(array)), affine, stated_modality=stated.pop() if len(stated) == 1 else "")


def sorted_slices(folder: str | Path) -> list[Slice]:
    """The slices of the one series in a folder, in ascending order along the slice normal.

    Raises:
        ScanError: see :func:`read_series`.
    """
    return _sorted(Path(folder), _headers(Path(folder)))


def _sorted(folder: Path, headers: dict) -> list[Slice]:
    if not headers:
        raise ScanError(
            folder, "no DICOM image in this folder", "", "Give the folder that holds the slices themselves."
        )
    _refuse_several(folder, headers)
    rows = np.array(next(iter(headers.values())).ImageOrientationPatient, dtype=float)
    normal = np.cross(rows[:3], rows[3:])
    corners = {file: tuple(float(v) for v in header.ImagePositionPatient) for file, header in headers.items()}
    slices = [Slice(file, float(np.dot(normal, corner)), corner) for file, corner in corners.items()]
    slices.sort(key=lambda one: one.position_mm)
    _refuse_gaps(folder, slices)
    return slices


def _headers(folder: Path) -> dict:
    """File → header of every DICOM image in a folder."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    headers = {}
    for file in sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")):
        try:
            header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_TAGS)
        except (InvalidDicomError, OSError, EOFError):
            continue
        if "Rows" not in header:
            continue
        if int(header.get("NumberOfFrames") or 1) > 1:
            cure = "Convert it to NIfTI (for instance with dcm2niix) and give that file."
            raise ScanError(file, "an enhanced multi-frame DICOM", f"{header.NumberOfFrames} frames in one file", cure)
        if int(header.get("SamplesPerPixel") or 1) != 1:
            raise ScanError(file, "not a grey-level image", f"{header.SamplesPerPixel} colours", "Remove screenshots.")
        places = ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing")
        missing = [tag for tag in places if not header.get(tag)]
        if missing:
            cure = "Remove the file if it is a localiser or a report; otherwise export the series again."
            raise ScanError(file, "the slice does not state where it lies", f"no {', '.join(missing)}", cure)
        headers[file] = header
    return headers


def _refuse_several(folder: Path, headers: dict) -> None:
    uids = [str(header.get("SeriesInstanceUID", "")) for header in headers.values()]
    # Some anonymisers give every slice a series number of its own; such numbers say nothing (CHAOS).
    telling = len(set(uids)) < len(uids)

    def kind(header) -> tuple:
        orientation = tuple(np.round([float(v) for v in header.ImageOrientationPatient], 3) + 0.0)
        spacing = tuple(np.round([float(v) for v in header.PixelSpacing], 4))
        uid = str(header.get("SeriesInstanceUID", "")) if telling else ""
        return (uid, int(header.Rows), int(header.Columns), orientation, spacing)

    counts = Counter(kind(header) for header in headers.values())
    if len(counts) > 1:
        groups = " and ".join(f"{n} slices of {key[1]}×{key[2]}" for key, n in sorted(counts.items()))
        cure = "Give each series (one orientation, one pixel size) a folder of its own."
        raise ScanError(folder, f"{len(counts)} series in one folder", groups, cure)


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
