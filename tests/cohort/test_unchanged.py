"""A job repeated by hand meets files that changed since their check."""

import json
import os

import numpy as np
import pytest

from crossmod import prepare
from crossmod.cohort.table import read_cohort
from crossmod.cohort.unchanged import refuse_changed
from crossmod.job import Job, UserError
from crossmod.scans.files import read_scan, write_mask, write_scan

LABELS = {1: "right_kidney", 2: "left_kidney", 3: "liver", 4: "spleen"}


@pytest.fixture
def checked(tmp_path, torso, user_cohort):
    """A cohort of one case: its folder."""
    from crossmod.scans.scan import Scan

    write_scan(tmp_path / "scan.nii.gz", Scan(torso.ct, torso.affine))
    write_mask(tmp_path / "label.nii.gz", torso.labels, torso.affine)
    row = {"case": "one", "patient": "p", "modality": "CT", "image": "scan.nii.gz", "label": "label.nii.gz"}
    return user_cohort([row], LABELS)


def rewrite(path, change):
    scan = read_scan(path)
    array = scan.array.copy()
    change(array)
    write_scan(path, type(scan)(array, scan.affine, scan.codes))


def test_untouched_files_are_not_read(checked, monkeypatch):
    monkeypatch.setattr("crossmod.cohort.inspection.read_scan", lambda *_: pytest.fail("was read"))
    refuse_changed(read_cohort(checked), checked, ["one"])


def test_a_copy_of_the_same_scan_is_the_same(checked, tmp_path):
    rewrite(tmp_path / "scan.nii.gz", lambda array: None)
    refuse_changed(read_cohort(checked), checked, ["one"])


@pytest.mark.parametrize("old", [False, True])
def test_another_scan_is_refused_even_with_an_old_date(checked, tmp_path, old):
    path = tmp_path / "scan.nii.gz"
    before = path.stat()
    rewrite(path, lambda array: array.__setitem__((30, 25, 15), 60.0))
    if old:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(UserError, match=r"cohort own, case one: scan\.nii\.gz is not the scan that was checked"):
        refuse_changed(read_cohort(checked), checked, ["one"])
    refuse_changed(read_cohort(checked), checked, [])


def test_a_fault_is_told_as_by_the_check(checked, tmp_path):
    rewrite(tmp_path / "scan.nii.gz", lambda array: array.__setitem__((3, 3, 3), np.nan))
    with pytest.raises(UserError, match="own/one: scan.nii.gz: the image has voxels without a number"):
        refuse_changed(read_cohort(checked), checked, ["one"])


def test_swapped_labels_are_told(checked, tmp_path):
    rewrite(tmp_path / "label.nii.gz", lambda array: array.__setitem__(slice(None), array[::-1].copy()))
    with pytest.raises(UserError, match="right_kidney lies left of left_kidney"):
        refuse_changed(read_cohort(checked), checked, ["one"])


def test_a_deleted_scan_is_told_by_whoever_reads_it(checked, tmp_path):
    (tmp_path / "scan.nii.gz").unlink()
    refuse_changed(read_cohort(checked), checked, ["one"])


def test_prepare_does_not_go_on_with_another_scan(checked, tmp_path):
    rewrite(tmp_path / "scan.nii.gz", lambda array: array.__setitem__((30, 25, 15), 60.0))
    stages = {"kidney": {"structures": ["kidney"], "spacing_mm": [8.0, 8.0, 8.0]}}
    settings = {"stages": stages, "normalisation": {"ct_window_hu": [-200.0, 300.0], "mr_percentiles": [0.5, 99.5]}}
    job = Job("prepare", {"cohort": str(checked)}, {"folder": str(tmp_path / "prepared")}, settings)
    with pytest.raises(UserError, match="is not the scan that was checked"):
        prepare.run(job)
    assert not (tmp_path / "prepared").exists()


def test_predict_does_not_go_on_with_another_scan(checked, tmp_path):
    from crossmod.predict.site import predict_site

    rewrite(tmp_path / "scan.nii.gz", lambda array: array.__setitem__((30, 25, 15), 60.0))
    site = tmp_path / "site.json"
    site.write_text(json.dumps({"arm": {"own": {"one": [0]}}}))
    settings = {"threads": 1, "cascade": [], "stages": {}, "arm": "arm", "site": "own"}
    inputs = {"weights": {}, "site": str(site), "cohorts": [str(checked)], "prepared": []}
    with pytest.raises(UserError, match="is not the scan that was checked"):
        predict_site(Job("predict", inputs, {"folder": str(tmp_path / "predicted")}, settings))
    assert not (tmp_path / "predicted").exists()
