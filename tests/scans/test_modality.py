"""DICOM's own tag Modality at the doors of measure and of the cohort check."""

import numpy as np
import pandas as pd
import pytest

from crossmod.job import UserError
from crossmod.measure import measure_scan
from crossmod.scans.files import read_scan

pytestmark = pytest.mark.usefixtures("bright_networks")


def series(write_series, torso, folder, modality, shift=0, stated=None):
    """The torso as DICOM, axial slices from feet to head."""
    array = (torso.ct if modality == "CT" else torso.mr)[::-1, ::-1] + shift  # R-A-S to L-P-S
    corner = -(torso.affine[:2, 3] + torso.affine[[0, 1], [0, 1]] * (np.array(array.shape[:2]) - 1))
    write_series(
        folder, np.rint(array), modality=stated or modality, corner_mm=(*corner, -87.0), spacing_mm=(6.0, 6.0, 6.0)
    )


def test_a_dicom_mr_with_negative_values_is_read_as_its_tag_says(torso, tmp_path, write_series):
    volumes = []
    for shift in (0, -700):
        series(write_series, torso, tmp_path / f"mr{shift}", "MR", shift)
        record = measure_scan(tmp_path / f"mr{shift}", None, None, "auto", 0, 1)
        assert (record["modality"], record["modality_reason"]) == ("MR", "DICOM tag Modality")
        volumes.append(record["volumes_ml"])
    assert volumes[0] == volumes[1]
    with pytest.raises(UserError, match="called CT, but the file says MR"):
        measure_scan(tmp_path / "mr-700", tmp_path / "out", None, "CT", 0, 1)


def test_a_dicom_ct_without_intercept_is_refused(torso, tmp_path, write_series):
    series(write_series, torso, tmp_path / "ct", "CT", 1040)
    for modality in ("auto", "CT"):
        with pytest.raises(UserError, match="called CT, but nothing is below 0 HU.*Apply the rescale intercept"):
            measure_scan(tmp_path / "ct", None, None, modality, 0, 1)


@pytest.mark.parametrize("stated", ["PT", "SEG", "US"])
def test_other_dicom_modalities_are_refused(torso, tmp_path, write_series, stated):
    write_series(tmp_path / "scan", np.rint(torso.mr), modality=stated)
    for modality in ("auto", "CT", "MR"):
        with pytest.raises(UserError, match=f"neither CT nor MR \\(DICOM tag Modality: {stated}"):
            measure_scan(tmp_path / "scan", None, None, modality, 0, 1)


def test_a_dicom_folder_is_left_as_it_was_and_can_be_measured_again(torso, tmp_path, write_series):
    folder = tmp_path / "a series"
    series(write_series, torso, folder, "CT")
    before = sorted(path.name for path in folder.iterdir())
    first, second = (measure_scan(folder, None, None, "auto", 0, 1) for _ in range(2))
    assert first == second and sorted(path.name for path in folder.iterdir()) == before
    assert read_scan(tmp_path / "a series.kidneys.nii.gz").array.max() == 2
    assert measure_scan(folder, folder, None, "auto", 0, 1) == measure_scan(folder, folder, None, "auto", 0, 1) == first


@pytest.mark.parametrize(("called", "stated"), [("CT", "MR"), ("MR", "CT"), ("MR", "PT")])
def test_a_table_that_contradicts_the_tag_is_a_fault(torso, tmp_path, write_series, user_cohort, called, stated):
    series(write_series, torso, tmp_path / "scan", "CT" if stated == "CT" else "MR", stated=stated)
    row = {"case": "one", "patient": "p", "modality": called, "image": "scan", "label": ""}
    faults = pd.read_csv(user_cohort([row], {1: "kidney"}) / "faults.csv")
    assert faults[["severity", "file", "value"]].to_numpy().tolist() == [
        ["error", "scan", f"DICOM tag Modality: {stated}"]
    ]


def test_a_table_that_agrees_with_the_tag_is_no_fault(torso, tmp_path, write_series, user_cohort):
    series(write_series, torso, tmp_path / "scan", "MR", -700)
    row = {"case": "one", "patient": "p", "modality": "MR", "image": "scan", "label": ""}
    assert pd.read_csv(user_cohort([row], {1: "kidney"}) / "faults.csv").empty
