"""A cohort prepared in a few processes."""

import shutil

import nibabel as nib
import pytest

from crossmod.cohort.table import read_cohort
from crossmod.job import UserError
from crossmod.prepare.pool import STORED_BYTES, _need_room, prepare_cohort

STAGES = {"kidney": {"spacing_mm": [4.0, 4.0, 6.0], "classes": {"kidney": ["parenchyma"]}, "region": "image"}}
OWN = {"kidney": STAGES["kidney"] | {"spacing_mm": [None, None, None]}}


def test_what_the_disk_cannot_hold_is_not_begun(tiny, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(UserError, match=r"cohort ct: its arrays may take .* GB, and only 0\.0 GB are free.*Make room"):
        prepare_cohort(read_cohort(tiny / "cohort/ct"), STAGES, {}, tmp_path / "prepared", 1)
    assert not list(tmp_path.glob("**/*.npy"))


@pytest.mark.parametrize(("spare", "fits"), [(1, True), (-1, False)])
@pytest.mark.parametrize("stages", [STAGES, OWN], ids=["4 mm", "own"])
def test_room_is_that_of_whole_scans(tiny, tmp_path, monkeypatch, spare, fits, stages):
    cohort = read_cohort(tiny / "cohort/ct")
    cases = cohort.cases.to_dict("records")
    voxels = sum(nib.load(cohort.root / case["image"]).get_fdata().size for case in cases)
    usage = shutil.disk_usage(tmp_path)
    # The stage has the spacing of the scans: as many voxels.
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=STORED_BYTES * voxels + spare))
    if fits:
        _need_room(cohort, cases, stages, tmp_path)
    else:
        with pytest.raises(UserError, match="Make room"):
            _need_room(cohort, cases, stages, tmp_path)
