"""Normalisation: by modality, of the body, robust to what is not body."""

from dataclasses import asdict

import nibabel as nib
import numpy as np
import pytest

from crossmod.job import UserError
from crossmod.prepare.normalise import _moments, body_box, fit_window
from crossmod.scans.files import open_scan, read_scan

CT, MR = (-200.0, 300.0), (0.5, 99.5)


@pytest.fixture
def scans():
    rng = np.random.default_rng(0)
    body = np.zeros((40, 40, 20), dtype=bool)
    body[8:32, 10:30, :] = True
    ct = np.where(body, rng.normal(40, 30, body.shape), -1000.0)
    mr = np.where(body, rng.normal(400, 80, body.shape), np.abs(rng.normal(0, 10, body.shape)))
    return body, {"CT": ct, "MR": mr}


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_the_body_gets_mean_0_and_sd_1(scans, modality):
    body, arrays = scans
    normal = fit_window(arrays[modality], modality, CT, MR).apply(arrays[modality])
    assert normal.dtype == np.float32
    assert abs(normal[body].mean()) < 0.05
    assert abs(normal[body].std() - 1) < 0.05


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_the_box_holds_the_body(scans, modality):
    low, high = body_box(scans[1][modality], modality)
    assert (low.tolist(), high.tolist()) == ([8, 10, 0], [32, 30, 20])


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_a_scan_on_disk_is_treated_as_one_in_memory(scans, modality, tmp_path):
    path = tmp_path / "scan.nii.gz"
    nib.save(nib.Nifti1Image(scans[1][modality].astype(np.int16), np.eye(4)), path)
    there, here = open_scan(path).array, read_scan(path).array
    assert [end.tolist() for end in body_box(there, modality)] == [end.tolist() for end in body_box(here, modality)]
    windows = [asdict(fit_window(array, modality, CT, MR)) for array in (there, here)]
    assert windows[0] == pytest.approx(windows[1], rel=1e-12)


def test_mr_does_not_depend_on_the_scanners_units(scans):
    mr = scans[1]["MR"]
    first, second = (fit_window(a, "MR", CT, MR).apply(a) for a in (mr, 37.5 * mr))
    np.testing.assert_allclose(first, second, atol=1e-4)


def test_metal_does_not_stretch_ct(scans):
    ct = scans[1]["CT"].copy()
    before = fit_window(ct, "CT", CT, MR)
    ct[20, 20, 10] = 30000
    after = fit_window(ct, "CT", CT, MR)
    assert abs(before.mean - after.mean) < 0.1
    assert after.apply(ct).max() < 10


@pytest.mark.parametrize(("modality", "array"), [("CT", np.full((4, 4, 4), -1000.0)), ("MR", np.ones((4, 4, 4)))])
def test_no_contrast_is_refused(modality, array):
    with pytest.raises(UserError, match="no contrast inside the body"):
        fit_window(array, modality, CT, MR)


def test_unknown_modality_is_refused():
    with pytest.raises(UserError, match="modality is 'PET': expected CT or MR"):
        fit_window(np.ones((2, 2, 2)), "PET", CT, MR)


def test_moments_of_parts_are_those_of_the_whole():
    values = np.random.default_rng(3).normal(40, 90, 1000)
    parts = np.split(values, [0, 1, 17, 17, 600])  # one of them empty
    assert _moments(parts) == pytest.approx((values.mean(), values.std()), rel=1e-12)
    assert _moments([]) == (0.0, 0.0)
