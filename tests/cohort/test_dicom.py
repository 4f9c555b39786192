"""DICOM series: geometry decides, faults are named."""

import numpy as np
import pytest

from crossmod.cohort.dicom import read_series, sorted_slices
from crossmod.cohort.images import ScanError, read_scan

VOLUME = np.random.default_rng(5).integers(-200, 900, (6, 7, 5)).astype(np.int16)


def test_voxels_and_places(tmp_path, write_series):
    write_series(tmp_path / "series", VOLUME)
    scan = read_scan(tmp_path / "series")
    np.testing.assert_array_equal(scan.array, VOLUME)
    assert scan.array.dtype == np.int16
    # LPS (-30, -20, -50) is RAS (30, 20, -50); columns run to the left, rows to the back, slices up.
    expected = np.array([[-2.0, 0, 0, 30], [0, -3.0, 0, 20], [0, 0, 5.0, -50], [0, 0, 0, 1]])
    np.testing.assert_allclose(scan.affine, expected, atol=1e-5)


def test_names_do_not_matter(tmp_path, write_series):
    write_series(tmp_path / "plain", VOLUME)
    write_series(tmp_path / "shuffled", VOLUME, names=["c", "a.dcm", "e", "b.IMA", "d"])
    plain, shuffled = read_series(tmp_path / "plain"), read_series(tmp_path / "shuffled")
    np.testing.assert_array_equal(plain.array, shuffled.array)
    np.testing.assert_allclose(plain.affine, shuffled.affine)


def test_coronal_and_oblique_series(tmp_path, write_series):
    angle = 0.3
    row, column = (np.cos(angle), np.sin(angle), 0.0), (0.0, 0.0, -1.0)
    write_series(tmp_path / "coronal", VOLUME, orientation=(*row, *column))
    scan = read_series(tmp_path / "coronal")
    np.testing.assert_array_equal(scan.array, VOLUME)
    flip = np.array([-1.0, -1.0, 1.0])
    np.testing.assert_allclose(scan.affine[:3, 0], 2.0 * np.array(row) * flip, atol=1e-5)
    np.testing.assert_allclose(scan.affine[:3, 1], 3.0 * np.array(column) * flip, atol=1e-5)
    np.testing.assert_allclose(scan.affine[:3, 2], 5.0 * np.cross(row, column) * flip, atol=1e-5)


def test_rescaling_is_applied(tmp_path, write_series):
    write_series(tmp_path / "ct", VOLUME, modality="CT", slope=1, intercept=-1024)
    np.testing.assert_array_equal(read_series(tmp_path / "ct").array, VOLUME.astype(int) - 1024)
    write_series(tmp_path / "pet", VOLUME, slope=0.25)
    scan = read_series(tmp_path / "pet")
    assert scan.array.dtype == np.float32
    np.testing.assert_allclose(scan.array, VOLUME * 0.25)


def test_other_files_are_passed_over(tmp_path, write_series):
    write_series(tmp_path / "series", VOLUME)
    (tmp_path / "series" / "notes.txt").write_text("seen by nobody")
    (tmp_path / "series" / ".DS_Store").write_bytes(b"\0")
    assert len(sorted_slices(tmp_path / "series")) == 5


def test_slices_with_a_series_number_each_are_one_series(tmp_path, write_series):
    write_series(tmp_path / "anonymised", VOLUME, series="own")
    np.testing.assert_array_equal(read_series(tmp_path / "anonymised").array, VOLUME)


def test_faults_are_named(tmp_path, write_series):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ScanError, match=r"no DICOM image in this folder"):
        read_series(tmp_path / "empty")

    write_series(tmp_path / "two", VOLUME)
    write_series(tmp_path / "two", VOLUME[:4], names=[f"x{z}" for z in range(5)])
    with pytest.raises(ScanError, match=r"2 series in one folder.*5 slices.*a folder of its own"):
        read_series(tmp_path / "two")

    write_series(tmp_path / "echoes", VOLUME, series="1.2.3")
    write_series(tmp_path / "echoes", VOLUME, names=[f"x{z}" for z in range(5)], series="1.2.3")
    with pytest.raises(ScanError, match=r"several slices at one place.*5 of 10.*echoes"):
        read_series(tmp_path / "echoes")

    files = write_series(tmp_path / "gap", VOLUME)
    files[2].unlink()
    with pytest.raises(ScanError, match=r"not evenly spaced.*10 mm after.*instead of 5 mm.*missing"):
        read_series(tmp_path / "gap")

    write_series(tmp_path / "one", VOLUME[:, :, :1])
    with pytest.raises(ScanError, match=r"single slice"):
        read_series(tmp_path / "one")

    write_series(tmp_path / "frames", VOLUME, NumberOfFrames=20)
    with pytest.raises(ScanError, match=r"multi-frame.*20 frames.*dcm2niix"):
        read_series(tmp_path / "frames")

    write_series(tmp_path / "nowhere", VOLUME, ImagePositionPatient=None)
    with pytest.raises(ScanError, match=r"does not state where it lies \(no ImagePositionPatient\)"):
        read_series(tmp_path / "nowhere")


@pytest.mark.real
def test_a_compressed_series_without_series_number(real_data):
    scan = read_scan(real_data / "totalsegmentator" / "example_ct_dicom")
    assert scan.array.shape == (512, 512, 20)
    np.testing.assert_allclose(scan.spacing_mm, (0.9765625, 0.9765625, 2.0))
    # Hounsfield units: air outside, and liver where the model found it.
    labels = read_scan(real_data / "totalsegmentator" / "example_seg_dicom.nii.gz")
    from crossmod.cohort.grids import labels_on_image_grid

    liver = scan.array[labels_on_image_grid(labels, scan) == 5]
    assert scan.array.min() == -1024
    assert 60 < np.median(liver) < 160
