"""What the header of a MetaImage states: lines of ``Key = Value``, the last of which says where the voxels are."""

from pathlib import Path
from typing import IO

import numpy as np

from crossmod.cohort.header import Header, data_beside, lines, no_orientation, numbers, refuse_unit
from crossmod.cohort.images import ScanError
from crossmod.cohort.volume import CONVERT, unreadable

_AXES = ("TransformMatrix", "Rotation", "Orientation")
_PLACES = ("Offset", "Position", "Origin")
_SPACINGS = ("ElementSpacing", "ElementSize")
# ASSUME: AnatomicalOrientation tells where each axis comes from, as ITK writes it: RAI is LPS+. (The format's own text could be
# read the other way round; a file that means that is refused as contradicting its matrix.)
_FROM = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "I": (2, 1), "S": (2, -1)}
# ASSUME: letters name the nearest axis of the patient, which is less than 60° away.
_LEAST_COSINE = 0.5


def metaimage_header(path: Path) -> Header:
    """Check what the header states of axes and voxel size, and find its voxels.

    Raises:
        ScanError: if it states neither axes nor voxel size, contradicts itself, scales its voxels, or has none in its folder.
    """
    with path.open("rb") as file:
        fields = _fields(path, file)
        start = file.tell()
    dims = int(numbers(path, "NDims", fields.get("NDims", ""), 1)[0])
    _refuse_spacing(path, fields, dims)
    _refuse_axes(path, fields, dims)
    _refuse_scaling(path, fields)
    refuse_unit(path, "DistanceUnits", [fields.get("DistanceUnits", "")])
    return _placed(path, fields, start)


def _fields(path: Path, file: IO[bytes]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines(path, file):
        key, _, value = line.replace(":", "=", 1).partition("=") if "=" not in line else line.partition("=")
        key = key.strip()
        if key in fields and key != "Comment":
            raise ScanError(path, f"the header states '{key}' twice", f"{fields[key]}; {value.strip()}", CONVERT)
        fields[key] = value.strip()
        if key == "ElementDataFile":
            return fields
    raise unreadable(path, "its header does not say where the voxels are (no ElementDataFile)")


def _refuse_spacing(path: Path, fields: dict[str, str], dims: int) -> None:
    """ITK would take 1 mm where nothing is stated."""
    key = next((key for key in _SPACINGS if key in fields), None)
    if key is None:
        raise ScanError(
            path, "the header does not state the voxel size", "neither ElementSpacing nor ElementSize", CONVERT
        )
    if min(numbers(path, key, fields[key], dims)) <= 0:
        raise ScanError(path, f"the header's '{key}' is not above 0", fields[key], CONVERT)


def _refuse_axes(path: Path, fields: dict[str, str], dims: int) -> None:
    """ITK would take the patient's own axes where nothing is stated."""
    named = [key for key in _AXES if key in fields]
    letters = fields.get("AnatomicalOrientation", "").upper()
    coded = len(letters) == 3 and {_FROM[letter][0] for letter in letters if letter in _FROM} == {0, 1, 2}
    if not named and not coded:
        value = f"no TransformMatrix, AnatomicalOrientation is {letters or 'missing'}"
        raise no_orientation(path, value)
    matrix = np.reshape(numbers(path, named[0], fields[named[0]], dims**2), (dims, dims)) if named else np.eye(dims)
    for key in (*_PLACES, "CenterOfRotation"):
        place = numbers(path, key, fields[key], dims) if key in fields else ()
        if key == "CenterOfRotation" and any(place):
            raise ScanError(
                path, "the header turns the grid about another point than its corner", f"{key} = {fields[key]}", CONVERT
            )
    if coded and dims >= 3:
        _refuse_other_letters(path, matrix[:3, :3], letters, named)


def _refuse_other_letters(path: Path, rows: np.ndarray, letters: str, named: list[str]) -> None:
    for row, letter in zip(rows, letters, strict=True):
        axis, sign = _FROM[letter]
        if sign * row[axis] < _LEAST_COSINE * np.linalg.norm(row):
            matrix = (
                f"{named[0] if named else 'TransformMatrix (missing)'} = {' '.join(f'{v:g}' for v in rows.ravel())}"
            )
            value = f"AnatomicalOrientation = {letters}, {matrix}"
            raise ScanError(path, "the header contradicts itself about orientation", value, CONVERT)


def _refuse_scaling(path: Path, fields: dict[str, str]) -> None:
    """ITK would give the stored values."""
    for key, neutral in (("ElementToIntensityFunctionSlope", 1.0), ("ElementToIntensityFunctionOffset", 0.0)):
        if key in fields and numbers(path, key, fields[key], 1)[0] != neutral:
            cure = "Convert the scan to NIfTI with a tool that applies it."
            raise ScanError(
                path, "the header scales its voxels, which is not supported", f"{key} = {fields[key]}", cure
            )


def _placed(path: Path, fields: dict[str, str], start: int) -> Header:
    name, packed = fields["ElementDataFile"], _true(fields, "CompressedData")
    skipped = fields.get("HeaderSize", "0")
    data, begins = path, start
    if name.lower() != "local":
        data, begins = data_beside(path, name), 0
    if skipped != "0" and (packed or data == path or not skipped.isdigit()):
        cure = "Save the scan as one file of its own (.nii.gz, .nrrd or .mha)."
        raise ScanError(path, "the header does not say plainly where its voxels begin", f"HeaderSize = {skipped}", cure)
    return Header(
        data=data,
        start=begins + int(skipped),
        packed=packed,
        plain=fields.get("BinaryData", "True")[:1] in "Tt1",
        big=_true(fields, "BinaryDataByteOrderMSB") or _true(fields, "ElementByteOrderMSB"),
    )


def _true(fields: dict[str, str], key: str) -> bool:
    return fields.get(key, "False")[:1] in ("T", "t", "1")
