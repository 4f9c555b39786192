"""Boxes: of each side where the region's stage tells sides apart, else one; none where a stage needs none."""

import numpy as np
import pandas as pd
import pytest

from crossmod import prepare
from crossmod.anatomy.structures import RENAL
from crossmod.anatomy.units import units_of
from crossmod.cohort.table import read_cohort
from crossmod.job import Job
from crossmod.prepare.boxes import reference_boxes
from crossmod.prepare.stored import read_prepared
from crossmod.scans.files import read_scan
from crossmod.scans.grid import Grid
from crossmod.stages import is_sided

STAGES = {
    "liver": {"classes": {"liver": ["liver"]}, "region": "image", "keep": {"largest": 1}, "spacing_mm": [8.0] * 3},
    "cancer": {"classes": {"tumour": ["tumour"]}, "region": "liver", "spacing_mm": [None, 6.0, 6.0]},
    "kidney": {
        "classes": {"kidney": ["kidney"]},
        "region": "image",
        "keep": {"one_a_side": 2},
        "spacing_mm": [8.0] * 3,
    },
    "cortex": {"classes": {"cortex": ["cortex"]}, "region": "kidney", "keep": {"largest": 1}, "spacing_mm": [6.0] * 3},
    "cyst": {"classes": {"cyst": ["cyst"]}, "region": "cortex", "keep": None, "spacing_mm": [6.0] * 3},
}


@pytest.mark.parametrize("name", ["ct", "mr"])
def test_the_boxes_of_kidneys_hold_them(tiny, name):
    cohort = read_cohort(tiny / "cohort" / name)
    case = cohort.cases.iloc[0]
    labels = read_scan(cohort.root / case["label"])
    (prepared,) = read_prepared(tiny / "prepare" / name, "parenchyma", [case["case"]])
    kidneys = units_of(labels.array, cohort.labels, labels.affine, {"structures": [*RENAL], "apart": "side"})
    assert sorted(prepared.boxes) == sorted(kidney.side for kidney in kidneys)
    for kidney in kidneys:
        low, high = map(np.array, prepared.boxes[kidney.side])
        index = np.argwhere(kidney.whole(labels.array.shape)) @ labels.affine[:3, :3].T + labels.affine[:3, 3]
        inside = prepared.grid.to_index(index)
        assert (inside.min(axis=0) >= low - 0.5).all() and (inside.max(axis=0) <= high - 0.5).all()
        # Half a native voxel and less than one of the stage's own on either side.
        slack = 1 + labels.spacing_mm / prepared.grid.spacing_mm / 2
        assert (inside.min(axis=0) - (low - 0.5) <= slack).all() and ((high - 0.5) - inside.max(axis=0) <= slack).all()
    (whole,) = read_prepared(tiny / "prepare" / name, "kidney", [case["case"]])
    assert whole.boxes == {}


def test_a_stage_is_sided_by_what_it_keeps_or_by_where_it_looks():
    assert {name: is_sided(STAGES, name) for name in STAGES} == {
        "liver": False,
        "cancer": False,
        "kidney": True,
        "cortex": True,
        "cyst": True,
    }


def test_a_region_that_is_not_sided_is_one_box():
    labels = np.zeros((10, 10, 10), dtype=np.uint8)
    labels[1:3, 2:5, 3:7], labels[8, 8, 8] = 4, 4
    boxes = reference_boxes(labels, {4: "liver"}, STAGES, "cancer", np.eye(4), Grid((10, 10, 10), np.eye(4)))
    assert boxes == {"all": ([1, 2, 3], [9, 9, 9])}


def test_labels_without_the_region_have_no_box():
    grid = Grid((4, 4, 4), np.eye(4))
    for names in ({1: "spleen"}, {2: "liver"}):
        assert reference_boxes(np.ones((4, 4, 4), np.uint8), names, STAGES, "cancer", np.eye(4), grid) == {}
        assert reference_boxes(np.ones((4, 4, 4), np.uint8), names, STAGES, "cortex", np.eye(4), grid) == {}


def test_sides_that_names_do_not_tell_are_found_by_place(torso):
    labels = np.where(np.isin(torso.labels, (1, 2)), 1, 0).astype(np.uint8)
    grid = Grid(labels.shape, torso.affine)
    named = reference_boxes(torso.labels, {1: "right_kidney", 2: "left_kidney"}, STAGES, "cortex", torso.affine, grid)
    assert reference_boxes(labels, {1: "kidney"}, STAGES, "cortex", torso.affine, grid) == named
    assert named["right"][0][0] > named["left"][0][0], "R-A-S: the first axis grows towards the patient's right"


def test_a_cohort_with_only_the_liver_labelled_can_be_prepared(torso, save, user_cohort, tmp_path):
    save(tmp_path / "ct.nii.gz", torso.ct, torso.affine)
    save(tmp_path / "liver.nii.gz", np.where(torso.labels == 3, 3, 0).astype(np.uint8), torso.affine)
    row = {"case": "a", "patient": "p", "modality": "CT", "image": "ct.nii.gz", "label": "liver.nii.gz"}
    folder = user_cohort([row], {3: "liver"})
    job = Job(
        "prepare",
        {"cohort": str(folder)},
        {"folder": str(tmp_path / "prepared")},
        {"stages": STAGES, "normalisation": {"ct_window_hu": [-200.0, 300.0], "mr_percentiles": [0.5, 99.5]}},
    )
    prepare.run(job)
    index = pd.read_csv(tmp_path / "prepared/index.csv").set_index("stage")
    assert index["teaches"].to_dict() == {
        "liver": True,
        "cancer": False,
        "kidney": False,
        "cortex": False,
        "cyst": False,
    }
    boxes = {name: sorted(read_prepared(tmp_path / "prepared", name, ["a"])[0].boxes) for name in STAGES}
    assert boxes == {"liver": [], "cancer": ["all"], "kidney": [], "cortex": [], "cyst": []}
    (cancer,) = read_prepared(tmp_path / "prepared", "cancer", ["a"])
    np.testing.assert_allclose(cancer.grid.spacing_mm, [6.0, 6.0, 6.0])
