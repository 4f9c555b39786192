"""Good scans that the bad ones are made from, and ways to write them in every format."""

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from crossmod.phantom.patient import simulate
from crossmod.phantom.recipe import Population, Recipe

UID = "1.2.826.0.1.3680043.8.498.1"


@dataclass(frozen=True, eq=False)
class Good:
    """A simulated patient's scan: (X, Y, Z) int16, its labels (1, 2 parenchyma of right and left), R-A-S affine."""

    array: np.ndarray
    labels: np.ndarray
    affine: np.ndarray
    modality: str

    @property
    def spacing_mm(self) -> np.ndarray:
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    def cut(self, low: tuple[int, int, int], high: tuple[int, int, int]) -> "Good":
        """The scan of a smaller field of view: voxels ``low`` up to but not including ``high``."""
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        affine = self.affine.copy()
        affine[:3, 3] = nib.affines.apply_affine(self.affine, low)
        return Good(self.array[box].copy(), self.labels[box].copy(), affine, self.modality)


def good(modality: str) -> Good:
    """A patient without a tumour, in R-A-S voxel order."""
    recipe = Recipe(modality=modality, spacing_mm=(4.0, 4.0, 5.0))
    patient = simulate(3, recipe, Population(tumour=0.0))
    orientation = nib.io_orientation(patient.affine)
    affine = patient.affine @ nib.orientations.inv_ornt_aff(orientation, patient.image.shape)
    array, labels = (nib.apply_orientation(a, orientation) for a in (patient.image, patient.labels))
    return Good(np.ascontiguousarray(array), np.ascontiguousarray(labels), affine, modality)


def nifti(path: Path, array: np.ndarray, affine: np.ndarray, **header: Any) -> Path:
    """Write NIfTI; ``sform``, ``qform`` (affines), ``codes``, ``unit``, and any field of the header as it is."""
    image = nib.Nifti1Image(array, affine, dtype=array.dtype)
    image.set_sform(header.pop("sform", affine), header.get("codes", (1, 1))[0])
    image.set_qform(header.pop("qform", affine), header.pop("codes", (1, 1))[1])
    image.header.set_xyzt_units(header.pop("unit", "mm"))
    nib.save(image, path)
    if header:
        raw = bytearray(unpacked(path))
        fields = nib.Nifti1Header(bytes(raw[:348]), check=False)
        for name, value in header.items():
            fields[name] = value
        raw[:348] = fields.binaryblock
        packed(path, bytes(raw))
    return path


def unpacked(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def packed(path: Path, raw: bytes) -> Path:
    path.write_bytes(gzip.compress(raw, 1, mtime=0) if path.suffix == ".gz" else raw)
    return path


def nrrd(path: Path, scan: Good, drop: tuple[str, ...] = (), **fields: str) -> Path:
    """Write NRRD by hand (raw, attached), L-P-S; ``fields`` replace lines of the header, ``drop`` removes some."""
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ scan.affine
    vectors = " ".join("({:.6f},{:.6f},{:.6f})".format(*lps[:3, axis]) for axis in range(3))
    lines = {
        "type": "short",
        "dimension": "3",
        "space": "left-posterior-superior",
        "sizes": " ".join(map(str, scan.array.shape)),
        "space directions": vectors,
        "kinds": "domain domain domain",
        "endian": "little",
        "encoding": "raw",
        "space origin": "({:.6f},{:.6f},{:.6f})".format(*lps[:3, 3]),
    } | {key.replace("_", " "): value for key, value in fields.items()}
    head = "NRRD0004\n" + "".join(f"{key}: {value}\n" for key, value in lines.items() if key not in drop)
    voxels = b"" if "data file" in lines else scan.array.astype("<i2").tobytes(order="F")
    path.write_bytes(head.encode() + b"\n" + voxels)
    return path


def metaimage(path: Path, scan: Good, drop: tuple[str, ...] = (), **fields: str) -> Path:
    """Write MetaImage by hand (raw, attached), L-P-S."""
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ scan.affine
    axes = lps[:3, :3] / scan.spacing_mm
    lines = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False",
        "TransformMatrix": " ".join(f"{v:.6f}" for v in axes.T.ravel()),
        "Offset": " ".join(f"{v:.6f}" for v in lps[:3, 3]),
        "CenterOfRotation": "0 0 0",
        "AnatomicalOrientation": "LPI",
        "ElementSpacing": " ".join(f"{v:.6f}" for v in scan.spacing_mm),
        "DimSize": " ".join(map(str, scan.array.shape)),
        "ElementType": "MET_SHORT",
    } | fields
    lines.setdefault("ElementDataFile", "LOCAL")
    lines["ElementDataFile"] = lines.pop("ElementDataFile")  # last: voxels follow it
    head = "".join(f"{key} = {value}\n" for key, value in lines.items() if key not in drop)
    voxels = scan.array.astype("<i2").tobytes(order="F") if lines["ElementDataFile"] == "LOCAL" else b""
    path.write_bytes(head.encode() + voxels)
    return path


def dicom(folder: Path, scan: Good, edit: Any = None, rescale: bool = True, **tags: Any) -> Path:
    """Write one file per slice; ``edit(header, z)`` changes a slice, or returns False to leave it out."""
    import pydicom
    from pydicom.uid import ExplicitVRLittleEndian

    folder.mkdir(parents=True, exist_ok=True)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ scan.affine
    axes = lps[:3, :3] / scan.spacing_mm
    for z in range(scan.array.shape[2]):
        header = pydicom.Dataset()
        header.file_meta = pydicom.dataset.FileMetaDataset()
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        header.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        header.file_meta.MediaStorageSOPInstanceUID = f"{UID}.{z + 1}"
        header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID
        header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID
        header.SeriesInstanceUID, header.Modality = UID, scan.modality
        header.Columns, header.Rows = scan.array.shape[:2]
        header.PixelSpacing = [float(scan.spacing_mm[1]), float(scan.spacing_mm[0])]
        header.ImageOrientationPatient = [round(float(v), 6) for v in (*axes[:, 0], *axes[:, 1])]
        header.ImagePositionPatient = [round(float(v), 6) for v in (lps @ [0, 0, z, 1])[:3]]
        header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
        header.BitsAllocated = header.BitsStored = 16
        header.HighBit, header.PixelRepresentation = 15, 1
        if rescale:
            header.RescaleSlope, header.RescaleIntercept = 1, -1024 if scan.modality == "CT" else 0
        for tag, value in tags.items():
            setattr(header, tag, value)
        stored = scan.array[:, :, z].T + (1024 if scan.modality == "CT" else 0)
        header.PixelData = np.ascontiguousarray(stored.astype("<i2")).tobytes()
        if edit is None or edit(header, z) is not False:
            header.save_as(folder / f"IM{z + 1:04d}.dcm", enforce_file_format=True)
    return folder


def raw_tag(folder: Path, tag: bytes, value: bytes, files: slice = slice(None)) -> Path:
    """Overwrite the text of a tag (group and element in little endian) in the files of a series, as it stands there."""
    for file in sorted(folder.glob("*.dcm"))[files]:
        data = bytearray(file.read_bytes())
        at = data.index(tag)
        size = int.from_bytes(data[at + 6 : at + 8], "little")
        data[at + 6 : at + 8 + size] = (
            (len(value) + len(value) % 2).to_bytes(2, "little") + value + b" " * (len(value) % 2)
        )
        file.write_bytes(bytes(data))
    return folder
