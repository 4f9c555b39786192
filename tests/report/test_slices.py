"""The slice that is shown, as a radiologist holds it, however the scan is stored."""

import nibabel as nib
import numpy as np
import pytest

from crossmod.report.slices import cut
from crossmod.scans.files import open_scan, write_scan
from crossmod.scans.scan import Scan

AFFINE = np.diag([2.0, 3.0, 4.0, 1.0])


@pytest.fixture(scope="module")
def scan():
    """R-A-S voxels that all differ, with a reference that is largest in one plane across each axis."""
    array = np.arange(12 * 10 * 8, dtype=np.int16).reshape(12, 10, 8)
    mask = np.zeros(array.shape, dtype=np.uint8)
    mask[3:6, 4:6, 2:4] = 1
    mask[4, 2:8, 5] = mask[2:9, 5, 5] = 1
    return array, mask


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "SLA"])
def test_the_storage_of_a_scan_changes_no_picture(scan, codes, axis, tmp_path):
    array, mask = scan
    turn = nib.orientations.ornt_transform(nib.io_orientation(AFFINE), nib.orientations.axcodes2ornt(codes))
    stored = [nib.orientations.apply_orientation(a, turn) for a in (array, mask)]
    affine = AFFINE @ nib.orientations.inv_ornt_aff(turn, array.shape)
    write_scan(tmp_path / "scan.nii.gz", Scan(stored[0], affine))
    wanted = cut(Scan(array, AFFINE), "CT", mask, 0 * mask, axis)
    for other in (Scan(stored[0], affine), open_scan(tmp_path / "scan.nii.gz")):
        found = cut(other, "CT", stored[1], 0 * stored[1], axis)
        for name, value in vars(wanted).items():
            np.testing.assert_array_equal(getattr(found, name), value, err_msg=name)


def test_rows_run_from_the_head_down_and_the_right_is_left(scan):
    array, mask = scan
    view = cut(Scan(array, AFFINE), "CT", mask, mask, 1)
    assert view.spacing_mm == (4.0, 2.0)
    np.testing.assert_array_equal(view.image, array[:, 5].T[::-1, ::-1])
    assert view.marks == ("R", "L")
    assert view.reference.sum() == np.count_nonzero(mask, axis=(0, 2)).max()
