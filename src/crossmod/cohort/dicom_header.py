"""What the DICOM files of a folder state: each tag that a volume hangs on is there, can be read, and is a sound value."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crossmod.cohort.images import ScanError
from crossmod.cohort.volume import printable

_TAGS = [
    "SOPClassUID",
    "Modality",
    "SeriesInstanceUID",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "PixelSpacing",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "NumberOfFrames",
    "PhotometricInterpretation",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
]
_PLACES = {"ImageOrientationPatient": 6, "ImagePositionPatient": 3, "PixelSpacing": 2}
_SLICE_SUFFIXES = (".dcm", ".dicom", ".ima")
# ASSUME: writers round direction cosines to three decimals at the coarsest.
_ROUNDING_COSINE = 2e-3
_EXPORT = "Export the series again."


@dataclass(frozen=True)
class SliceHeader:
    """What one file states.

    Attributes:
        file: where it lies.
        modality: ``CT``, ``MR``, …; empty where it is not stated.
        series: SeriesInstanceUID.
        size: columns, rows.
        row, column: (3,) direction cosines along which a row and a column run, LPS.
        corner_mm: (3,) of the first pixel, LPS.
        spacing_mm: between columns, between rows.
        rescaled: whether it states a rescale slope or intercept.
    """

    file: Path
    modality: str
    series: str
    size: tuple[int, int]
    row: tuple[float, ...]
    column: tuple[float, ...]
    corner_mm: tuple[float, ...]
    spacing_mm: tuple[float, float]
    rescaled: bool


def slice_headers(folder: Path) -> list[SliceHeader]:
    """The headers of all slices in a folder, by name; what is no slice is passed over.

    Raises:
        ScanError: if a slice cannot be read, or states something that no volume can be made of.
    """
    try:
        files = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and not path.is_dir())
    except OSError as error:
        raise ScanError(
            folder, "the folder cannot be read", error.strerror or str(error), "Ask for the right to read it."
        ) from error
    found, broken = [], []
    for file in files:
        dataset, problem = _dataset(file)
        if problem:
            broken.append(f"{file.name}: {problem}")
        elif dataset is not None:
            found.append((file, dataset))
    if broken:
        value = f"{len(broken)} of {len(broken) + len(found)}, the first is {broken[0]}"
        cure = "Copy or export the series again; a volume of the slices that are left would be wrong. Remove what is no slice."
        raise ScanError(folder, "there are slices that cannot be read", value, cure)
    return [_stated(file, dataset) for file, dataset in found]


def _dataset(file: Path) -> tuple[Any, str]:
    """A slice's tags and an empty text; or None and why it cannot be read; None and an empty text if it is no slice."""
    import pydicom

    if not file.is_file():
        return None, "a link that leads nowhere, or no file" if _meant_as_slice(file, b"") else ""
    try:
        with file.open("rb") as opened, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            start = opened.read(1024)
            if not _meant_as_slice(file, start):
                return None, ""
            if not start:
                return None, "0 bytes"
            opened.seek(0)
            dataset = pydicom.dcmread(opened, stop_before_pixels=True, specific_tags=_TAGS)
            syntax = dataset.file_meta.get("TransferSyntaxUID")
            ends = not opened.read(1) and not (syntax and syntax.is_deflated)  # those are read into memory at once
            kind = dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID")
    except Exception as error:  # pydicom raises many kinds
        return None, printable(str(error).strip() or type(error).__name__)
    shows = kind is None or "Image Storage" in getattr(kind, "name", "Image Storage")  # several kinds are none
    if "Rows" not in dataset:
        return None, "it states no Rows" if shows else ""
    return (None, "cut short before its pixels") if ends else (dataset, "")


def _meant_as_slice(file: Path, start: bytes) -> bool:
    # ASSUME: a file is meant as a slice if it begins as DICOM files do or is called .dcm, .dicom or .ima; if its name has no suffix, or one
    # of digits, as scanners export them, then too, unless it holds text. Hidden files and other suffixes (.txt, .xml, .png) are none.
    suffixes = [suffix.lower() for suffix in file.suffixes]
    if start[128:132] == b"DICM" or any(suffix in _SLICE_SUFFIXES for suffix in suffixes):
        return True
    bare = not suffixes or suffixes[-1][1:].isdigit()
    return bare and not (start and _is_text(start))


def _is_text(start: bytes) -> bool:
    return not any(byte < 32 and chr(byte) not in "\t\n\r\f" for byte in start)


def _stated(file: Path, dataset: Any) -> SliceHeader:
    _refuse_kind(file, dataset)
    missing = [tag for tag in _PLACES if not _value(file, dataset, tag)]
    if missing:
        cure = "Remove the file if it is a localiser or a report; otherwise export the series again."
        raise ScanError(file, "the slice does not state where it lies", f"no {', '.join(missing)}", cure)
    orientation, corner, spacing = (numbers(file, dataset, tag, count) for tag, count in _PLACES.items())
    if min(spacing) <= 0:
        value = f"PixelSpacing is {_written(dataset, 'PixelSpacing')}"
        raise ScanError(file, "the slice does not state its pixel size", value, _EXPORT)
    row, column = orientation[:3], orientation[3:]
    lengths = [abs(np.linalg.norm(axis) - 1) for axis in (row, column)]
    if max(*lengths, abs(np.dot(row, column))) > _ROUNDING_COSINE:
        value = f"ImageOrientationPatient is {_written(dataset, 'ImageOrientationPatient')}"
        raise ScanError(file, "rows and columns are not at right angles, or not directions", value, _EXPORT)
    size = int(numbers(file, dataset, "Columns", 1)[0]), int(numbers(file, dataset, "Rows", 1)[0])
    modality, series = (str(_value(file, dataset, tag) or "").strip() for tag in ("Modality", "SeriesInstanceUID"))
    rescaled = "RescaleSlope" in dataset or "RescaleIntercept" in dataset
    return SliceHeader(file, modality, series, size, row, column, corner, (spacing[1], spacing[0]), rescaled)


def _refuse_kind(file: Path, dataset: Any) -> None:
    """Refuse pictures, several frames in one file, and stored values that are not turned into the scanner's by two numbers."""
    frames, colours = (_number(file, dataset, tag, 1) for tag in ("NumberOfFrames", "SamplesPerPixel"))
    if frames > 1:
        cure = "Convert it to NIfTI (for instance with dcm2niix) and give that file."
        raise ScanError(file, "an enhanced multi-frame DICOM", f"{frames:g} frames in one file", cure)
    if colours != 1:
        raise ScanError(file, "not a grey-level image", f"{colours:g} colours", "Remove screenshots.")
    shown = str(_value(file, dataset, "PhotometricInterpretation") or "MONOCHROME2").strip()
    if shown != "MONOCHROME2":
        cure = "Export the series with PhotometricInterpretation MONOCHROME2, where high values are bright."
        raise ScanError(
            file,
            "grey levels are inverted or looked up in a palette",
            f"PhotometricInterpretation is {printable(shown)}",
            cure,
        )
    if _value(file, dataset, "ModalityLUTSequence"):
        cure = "Export the series with RescaleSlope and RescaleIntercept instead."
        raise ScanError(
            file, "stored values are looked up in a table, which is not supported", "ModalityLUTSequence", cure
        )
    if _number(file, dataset, "RescaleSlope", 1) == 0:
        raise ScanError(file, "the slice has lost its values", "RescaleSlope is 0", _EXPORT)
    _number(file, dataset, "RescaleIntercept", 0)


def _number(file: Path, dataset: Any, tag: str, default: float) -> float:
    return numbers(file, dataset, tag, 1)[0] if _value(file, dataset, tag) not in (None, "") else default


def numbers(file: Path, dataset: Any, tag: str, count: int) -> tuple[float, ...]:
    """The numbers of a tag.

    Raises:
        ScanError: if they are not ``count`` finite ones.
    """
    try:
        found = np.atleast_1d(np.array(_value(file, dataset, tag), dtype=float))
    except (ValueError, TypeError) as error:
        raise _not_numbers(file, dataset, tag) from error
    if found.shape != (count,) or not np.isfinite(found).all():
        raise _not_numbers(file, dataset, tag)
    return tuple(float(number) for number in found)


def _value(file: Path, dataset: Any, tag: str) -> Any:
    """A tag as pydicom converts it, or None.

    Raises:
        ScanError: if it cannot.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return dataset.get(tag)
    except Exception as error:  # pydicom raises many kinds
        raise _not_numbers(file, dataset, tag) from error


def _not_numbers(file: Path, dataset: Any, tag: str) -> ScanError:
    cure = "Mend the tag (numbers have a decimal point, and several are set apart by a backslash), or export the series again."
    return ScanError(file, f"the tag {tag} cannot be used", f"{tag} is {_written(dataset, tag)}", cure)


def _written(dataset: Any, tag: str) -> str:
    """A tag as the file writes it."""
    element = dataset.get_item(tag)
    value = getattr(element, "value", element)
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    text = value if isinstance(value, str) else "\\".join(map(str, np.atleast_1d(np.array(value, dtype=object))))
    return printable(text.strip(" \0")) or "empty"
