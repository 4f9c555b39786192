"""Small scans, tables and cohorts to test with."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from crossmod.cohort import run
from crossmod.job import Job

SHAPE = (24, 20, 12)
SPACING_MM = (8.0, 8.0, 10.0)


@pytest.fixture
def affine() -> np.ndarray:
    """A torso-sized RAS grid: x grows towards the patient's right."""
    matrix = np.diag([*SPACING_MM, 1.0])
    matrix[:3, 3] = [-92.0, -76.0, -55.0]
    return matrix


@pytest.fixture
def ct() -> np.ndarray:
    """(24, 20, 12) int16 Hounsfield units: air around soft tissue with fat behind it."""
    volume = np.full(SHAPE, -1000, dtype=np.int16)
    volume[2:-2, 2:-2] = np.random.default_rng(1).integers(20, 60, (20, 16, 12))
    volume[2:-2, 2:4] = -100
    return volume


@pytest.fixture
def mr() -> np.ndarray:
    """(24, 20, 12) int16 magnitudes, never negative."""
    return np.random.default_rng(2).integers(0, 900, SHAPE).astype(np.int16)


@pytest.fixture
def kidneys() -> np.ndarray:
    """(24, 20, 12) uint8: 1 both kidneys, 2 a mass on the patient's right (high x)."""
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[4:7, 5:9, 3:8] = 1
    labels[17:20, 5:9, 3:8] = 1
    labels[19:21, 5:7, 5:7] = 2
    return labels


@pytest.fixture
def save(affine: np.ndarray) -> Callable[..., Path]:
    """Write an array as NIfTI, by default on the torso's grid."""

    def write(path: Path, array: np.ndarray, at: np.ndarray | None = None) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(array, affine if at is None else at), path)
        return path

    return write


@pytest.fixture
def user_cohort(tmp_path: Path) -> Callable[..., Path]:
    """Run the cohort step on a table of the user's own; returns the cohort's folder."""

    def make(rows: list[dict[str, Any]], labels: dict[int, str], name: str = "own", threads: int = 1) -> Path:
        table = tmp_path / f"{name}.csv"
        pd.DataFrame(rows).to_csv(table, index=False)
        folder = tmp_path / "results" / name
        settings = {"name": name, "source": "folder", "table": str(table), "labels": labels}
        run(Job("cohort", {}, {"folder": str(folder)}, settings, threads))
        return folder

    return make


@pytest.fixture
def write_series() -> Callable[..., list[Path]]:
    """Write (X, Y, Z) stored values as single-frame DICOM files, one per slice."""
    pydicom = pytest.importorskip("pydicom")
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    def write(
        folder: Path,
        volume: np.ndarray,
        names: list[str] | None = None,
        *,
        modality: str = "MR",
        corner_mm: tuple[float, float, float] = (-30.0, -20.0, -50.0),
        spacing_mm: tuple[float, float, float] = (2.0, 3.0, 5.0),
        orientation: tuple[float, ...] = (1, 0, 0, 0, 1, 0),
        slope: float = 1.0,
        intercept: float = 0.0,
        series: str | None = None,
        **tags: Any,
    ) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        series = series or generate_uid()
        normal = np.cross(orientation[:3], orientation[3:])
        files = []
        for z in range(volume.shape[2]):
            header = pydicom.Dataset()
            header.file_meta = pydicom.dataset.FileMetaDataset()
            header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            header.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
            header.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID
            header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID
            header.SeriesInstanceUID = generate_uid() if series == "own" else series
            header.Modality, header.PatientName, header.PatientID = modality, "Doe^Jane", "4711"
            header.Columns, header.Rows = volume.shape[:2]
            header.PixelSpacing = [spacing_mm[1], spacing_mm[0]]  # between rows, between columns
            header.SliceThickness = spacing_mm[2]
            header.ImageOrientationPatient = list(orientation)
            header.ImagePositionPatient = [float(v) for v in np.array(corner_mm) + z * spacing_mm[2] * normal]
            header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
            header.BitsAllocated = header.BitsStored = 16
            header.HighBit, header.PixelRepresentation = 15, 1
            header.RescaleSlope, header.RescaleIntercept = slope, intercept
            for tag, value in tags.items():
                setattr(header, tag, value)
            header.PixelData = np.ascontiguousarray(volume[:, :, z].T.astype("<i2")).tobytes()
            file = folder / (names[z] if names else f"IMG-{z + 1:04d}.dcm")
            header.save_as(file, enforce_file_format=True)
            files.append(file)
        return files

    return write
