"""What the header of a MetaImage states: lines of ``Key = Value``, the last of which says where the voxels are."""

import re
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from crossmod.scans.formats.header import Header, data_beside, lines, no_orientation, numbers, refuse_unit
from crossmod.scans.formats.volume import CONVERT, not_a_volume, unreadable
from crossmod.scans.scan import ScanError, itk_affine

_AXES = ("TransformMatrix", "Rotation", "Orientation")
_DICOM_TAG = re.compile(r"[0-9a-fA-F]{4}\|[0-9a-fA-F]{4}")
_PLACES = ("Offset", "Position", "Origin")
_SPACINGS = ("ElementSpacing", "ElementSize")
# ASSUME: AnatomicalOrientation tells where each axis comes from, as ITK writes it: RAI is LPS+. (The format's own text
# could be read the other way round; a file that means that is refused as contradicting its matrix.)
_FROM = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "I": (2, 1), "S": (2, -1)}
# ASSUME: letters name the nearest axis of the patient, which is less than 60° away.
_LEAST_COSINE = 0.5
# ASSUME: writers round direction cosines to three decimals at the coarsest.
_ROUNDING_COSINE = 2e-3


def metaimage_header(path: Path) -> Header:
    """Check what the header states of axes and voxel size, and find its voxels.

    Raises:
        ScanError: if it states neither axes nor voxel size, contradicts itself, scales its voxels, or has none
            in its folder.
    """
    with path.open("rb") as file:
        fields = _fields(path, file)
        start = file.tell()
    dims = int(numbers(path, "NDims", fields.get("NDims", ""), 1)[0])
    if dims not in (3, 4):
        raise not_a_volume(path, tuple(fields.get("DimSize", "").split()))
    _refuse_scaling(path, fields)
    return _placed(path, fields, start, _affine(path, fields, dims))


def _fields(path: Path, file: IO[bytes]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in filter(None, lines(path, file)):
        key, _, value = (part.strip() for part in line.replace(":", "=", "=" not in line).partition("="))
        # A DICOM tag may be empty, as SimpleITK writes those of an anonymised series; for other keys ITK would take the
        # next line.
        if not value and not _DICOM_TAG.fullmatch(key):
            raise unreadable(path, f"a line of its header is not 'Key = Value': {line[:40]}")
        if key in fields and key != "Comment":
            raise ScanError(path, f"the header states '{key}' twice", f"{fields[key]}; {value}", CONVERT)
        fields[key] = value
        if key == "ElementDataFile":
            return fields
    raise unreadable(path, "its header does not say where the voxels are (no ElementDataFile)")


def _affine(path: Path, fields: dict[str, str], dims: int) -> NDArray[np.float64]:
    """(4, 4) RAS+."""
    refuse_unit(path, "DistanceUnits", [fields.get("DistanceUnits", "")])
    spacing, matrix = _spacing(path, fields, dims), _matrix(path, fields, dims)
    centre = fields.get("CenterOfRotation")
    if centre and any(numbers(path, "CenterOfRotation", centre, dims)):
        value = f"CenterOfRotation = {centre}"
        raise ScanError(path, "the header turns the grid about another point than its corner", value, CONVERT)
    # ASSUME: a header without Offset means (0, 0, 0); no volume depends on it.
    place = next((key for key in _PLACES if key in fields), None)
    offset = numbers(path, place, fields[place], dims) if place else (0.0,) * dims
    return itk_affine(spacing[:3], offset[:3], matrix[:3, :3].T)


def _spacing(path: Path, fields: dict[str, str], dims: int) -> tuple[float, ...]:
    """ITK would take 1 mm where nothing is stated."""
    key = next((key for key in _SPACINGS if key in fields), None)
    if key is None:
        value = "neither ElementSpacing nor ElementSize"
        raise ScanError(path, "the header does not state the voxel size", value, CONVERT)
    spacing = numbers(path, key, fields[key], dims)
    if min(spacing) <= 0:
        raise ScanError(path, f"the header's '{key}' is not above 0", fields[key], CONVERT)
    return spacing


def _matrix(path: Path, fields: dict[str, str], dims: int) -> NDArray[np.float64]:
    """(dims, dims) whose rows are the directions of the grid's axes, LPS+.

    ITK would take the patient's own where none are stated.
    """
    key = next((key for key in _AXES if key in fields), None)
    letters = fields.get("AnatomicalOrientation", "").upper()
    coded = len(letters) == 3 and {_FROM[letter][0] for letter in letters if letter in _FROM} == {0, 1, 2}
    if key is None and not coded:
        raise no_orientation(path, f"no TransformMatrix, AnatomicalOrientation is {letters or 'missing'}")
    matrix = np.reshape(numbers(path, key, fields[key], dims**2), (dims, dims)) if key else np.eye(dims)
    stated = f"{key or 'TransformMatrix'} = {fields[key] if key else 'missing'}"
    if np.abs(np.linalg.norm(matrix, axis=1) - 1).max() > _ROUNDING_COSINE:
        raise ScanError(path, "the header's axes are no directions (vectors of length 1)", stated, CONVERT)
    if dims == 4 and (matrix[:3, 3].any() or matrix[3, :3].any()):
        raise ScanError(path, "the header mixes time and place", stated, CONVERT)
    if coded and not _agree(matrix[:3, :3], letters):
        value = f"AnatomicalOrientation = {letters}, {stated}"
        raise ScanError(path, "the header contradicts itself about orientation", value, CONVERT)
    return matrix


def _agree(rows: NDArray[np.float64], letters: str) -> bool:
    named = [_FROM[letter] for letter in letters]
    return all(sign * row[axis] >= _LEAST_COSINE for row, (axis, sign) in zip(rows, named, strict=True))


def _refuse_scaling(path: Path, fields: dict[str, str]) -> None:
    """ITK would give the stored values."""
    for key, neutral in (("ElementToIntensityFunctionSlope", 1.0), ("ElementToIntensityFunctionOffset", 0.0)):
        if key in fields and numbers(path, key, fields[key], 1)[0] != neutral:
            cure = "Convert the scan to NIfTI with a tool that applies it."
            raise ScanError(
                path, "the header scales its voxels, which is not supported", f"{key} = {fields[key]}", cure
            )


def _placed(path: Path, fields: dict[str, str], start: int, affine: NDArray[np.float64]) -> Header:
    name, packed = fields["ElementDataFile"], _true(path, fields, "CompressedData")
    skipped = fields.get("HeaderSize", "0")
    data, begins = path, start
    if name.lower() != "local":
        data, begins = data_beside(path, name), 0
    if skipped != "0" and (packed or data == path or not skipped.isdigit()):
        cure = "Save the scan as one file of its own (.nii.gz, .nrrd or .mha)."
        raise ScanError(path, "the header does not say plainly where its voxels begin", f"HeaderSize = {skipped}", cure)
    return Header(
        affine=affine,
        data=data,
        start=begins + int(skipped),
        packed=packed,
        plain=_true(path, fields, "BinaryData"),
        big=_true(path, fields, "BinaryDataByteOrderMSB") or _true(path, fields, "ElementByteOrderMSB"),
    )


def _true(path: Path, fields: dict[str, str], key: str) -> bool:
    said = fields.get(key, "False").lower()
    if said not in ("true", "false", "1", "0"):
        raise unreadable(path, f"its header says {key} = {said}, which is neither True nor False")
    return said in ("true", "1")
