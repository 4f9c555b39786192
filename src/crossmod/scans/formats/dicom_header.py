"""What DICOM files state: each tag that a volume hangs on is there, can be read, and has a sound value."""

import math
import warnings
from collections.abc import MutableSequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crossmod.scans.formats.volume import printable
from crossmod.scans.scan import ScanError

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
    with warnings.catch_warnings():  # pydicom warns of much that is refused here by name
        warnings.simplefilter("ignore")
        return _headers_of(folder, files)


def _headers_of(folder: Path, files: list[Path]) -> list[SliceHeader]:
    found, broken = [], []
    for file in files:
        dataset, problem = _dataset(file)
        if problem:
            broken.append(f"{file.name}: {problem}")
        elif dataset is not None:
            found.append((file, dataset))
    if broken:
        value = f"{len(broken)} of {len(broken) + len(found)}, the first is {broken[0]}"
        cure = "Copy or export the series again: what is left would give a wrong volume. Remove what is no slice."
        raise ScanError(folder, "there are slices that cannot be read", value, cure)
    return [_stated(file, dataset) for file, dataset in found]


def _dataset(file: Path) -> tuple[Any, str]:
    """A slice's tags and an empty text; or None and why it cannot be read; None and an empty text if it is no slice."""
    import pydicom

    if not file.is_file():
        return None, "a link that leads nowhere, or no file" if _meant_as_slice(file, b"") else ""
    try:
        with file.open("rb") as opened:
            start = opened.read(1024)
            if not _meant_as_slice(file, start):
                return None, ""
            if not start:
                return None, "0 bytes"
            opened.seek(0)
            dataset = pydicom.dcmread(opened, stop_before_pixels=True, specific_tags=_TAGS)
            syntax = dataset.file_meta.get("TransferSyntaxUID")
            rest = opened.read(1)  # of a picture its pixels, of a report nothing
            ends = not rest and not (syntax and syntax.is_deflated)  # those are read into memory at once
            kind = dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID")
    except Exception as error:  # pydicom raises many kinds
        return None, printable(str(error).strip() or type(error).__name__)
    shows = kind is None or "Image Storage" in getattr(kind, "name", "Image Storage")  # several kinds are none
    if "Rows" not in dataset:
        return None, "it states no Rows" if shows or rest else ""
    return (None, "cut short before its pixels") if ends else (dataset, "")


def _meant_as_slice(file: Path, start: bytes) -> bool:
    # ASSUME: a file is meant as a slice if it begins as DICOM files do or is called .dcm, .dicom or .ima; if its name
    # has no suffix, or one of digits, as scanners export them, then too, unless it holds text. Hidden files and other
    # suffixes (.txt, .xml, .png) are none.
    suffixes = [suffix.lower() for suffix in file.suffixes]
    if start[128:132] == b"DICM" or any(suffix in _SLICE_SUFFIXES for suffix in suffixes):
        return True
    bare = not suffixes or suffixes[-1][1:].isdigit()
    return bare and not (start and _is_text(start))


def _is_text(start: bytes) -> bool:
    return not any(byte < 32 and chr(byte) not in "\t\n\r\f" for byte in start)


def _stated(file: Path, dataset: Any) -> SliceHeader:
    tags = _Tags(file, dataset)
    _refuse_kind(tags)
    missing = [tag for tag in _PLACES if not tags[tag]]
    if missing:
        cure = "Remove the file if it is a localiser or a report; otherwise export the series again."
        raise ScanError(file, "the slice does not state where it lies", f"no {', '.join(missing)}", cure)
    orientation, corner, spacing = (tags.numbers(tag, count) for tag, count in _PLACES.items())
    if min(spacing) <= 0:
        raise ScanError(file, "the slice does not state its pixel size", tags.written("PixelSpacing"), _EXPORT)
    row, column = orientation[:3], orientation[3:]
    lengths = [abs(np.linalg.norm(axis) - 1) for axis in (row, column)]
    if max(*lengths, abs(np.dot(row, column))) > _ROUNDING_COSINE:
        value = tags.written("ImageOrientationPatient")
        raise ScanError(file, "rows and columns are not at right angles, or not directions", value, _EXPORT)
    return SliceHeader(
        file,
        modality=str(tags["Modality"] or "").strip().upper(),
        series=str(tags["SeriesInstanceUID"] or "").strip(),
        size=(int(tags.numbers("Columns", 1)[0]), int(tags.numbers("Rows", 1)[0])),
        row=row,
        column=column,
        corner_mm=corner,
        spacing_mm=(spacing[1], spacing[0]),
        rescaled=any(tags[tag] not in (None, "") for tag in ("RescaleSlope", "RescaleIntercept")),
    )


def _refuse_kind(tags: "_Tags") -> None:
    """Refuse pictures, several frames in one file, and values that two numbers do not turn into the scanner's."""
    frames, colours = tags.number("NumberOfFrames", 1), tags.number("SamplesPerPixel", 1)
    if frames > 1:
        cure = "Convert it to NIfTI (for instance with dcm2niix) and give that file."
        raise ScanError(tags.file, "an enhanced multi-frame DICOM", f"{frames:g} frames in one file", cure)
    if colours != 1:
        raise ScanError(tags.file, "not a grey-level image", f"{colours:g} colours", "Remove screenshots.")
    if str(tags["PhotometricInterpretation"] or "MONOCHROME2").strip() != "MONOCHROME2":
        cure = "Export the series with PhotometricInterpretation MONOCHROME2, where high values are bright."
        value = tags.written("PhotometricInterpretation")
        raise ScanError(tags.file, "grey levels are inverted or looked up in a palette", value, cure)
    if tags["ModalityLUTSequence"]:
        cure = "Export the series with RescaleSlope and RescaleIntercept instead."
        raise ScanError(tags.file, "stored values are looked up in a table", "ModalityLUTSequence", cure)
    tags.number("RescaleIntercept", 0)
    if tags.number("RescaleSlope", 1) == 0:
        raise ScanError(tags.file, "the slice has lost its values", tags.written("RescaleSlope"), _EXPORT)


class _Tags:
    """The tags of a file as pydicom converts them, or None; one that cannot be converted is refused by name."""

    def __init__(self, file: Path, dataset: Any) -> None:
        self.file, self._dataset = file, dataset
        self._values = {tag: self._converted(tag) for tag in _TAGS}

    def __getitem__(self, tag: str) -> Any:
        return self._values[tag]

    def _converted(self, tag: str) -> Any:
        try:
            return self._dataset.get(tag)
        except Exception as error:  # pydicom raises many kinds
            raise self._unusable(tag) from error

    def number(self, tag: str, default: float) -> float:
        """The number of a tag, and the default where there is none."""
        return default if self[tag] in (None, "") else self.numbers(tag, 1)[0]

    def numbers(self, tag: str, count: int) -> tuple[float, ...]:
        """The numbers of a tag, which are ``count`` finite ones."""
        try:
            found = tuple(map(float, self[tag] if isinstance(self[tag], MutableSequence) else [self[tag]]))
        except (ValueError, TypeError) as error:
            raise self._unusable(tag) from error
        if len(found) != count or not all(map(math.isfinite, found)):
            raise self._unusable(tag)
        return found

    def written(self, tag: str) -> str:
        """A tag and what the file writes there."""
        element = self._dataset.get_item(tag)
        value = getattr(element, "value", element)
        if isinstance(value, bytes):
            value = value.decode("latin-1")
        text = value if isinstance(value, str) else "\\".join(map(str, np.atleast_1d(np.array(value, dtype=object))))
        return f"{tag} is {printable(text.strip(' ' + chr(0))) or 'empty'}"

    def _unusable(self, tag: str) -> ScanError:
        cure = f"Numbers have a decimal point, and several are set apart by a backslash. {_EXPORT}"
        return ScanError(self.file, f"the tag {tag} cannot be used", self.written(tag), cure)
