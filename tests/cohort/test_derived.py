"""Labels made of a reference and of what teachers predicted: composed in order, and checked by their volume."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crossmod import cohort, prepare
from crossmod.cohort.table import read_cohort
from crossmod.design.arms import taught
from crossmod.design.compose import compose
from crossmod.job import Job, UserError
from crossmod.scans.files import read_scan
from tests.patients import (
    AFFINE,
    LABELS,
    VOXEL_ML,
    parenchyma,
    patient,
    save,
    sides,
    turned,
    write_cohort,
    write_predictions,
)

TAUGHT = {"teacher": "old", "stage": "parenchyma", "values": [1]}
SIDED = {"teacher": "old", "stage": "parenchyma", "values": [1, 2]}
KIDNEY_ML = 10 * 10 * 16 * VOXEL_ML
MAPS = {"a": patient(tumour=True), "b": patient(tumour=False)}


@pytest.fixture
def origin(tmp_path) -> Path:
    """Two cases with references: ``a`` has a tumour on the right."""
    return write_cohort(tmp_path / "ct", MAPS, LABELS, True, AFFINE)


@pytest.fixture
def derive(tmp_path, origin):
    """Function (structures, case → mask of teacher ``old``, further settings) → the derived cohort's folder."""

    def make(structures: list, masks: dict[str, np.ndarray], **settings: object) -> Path:
        rows = [{"case": case, "cohort": "ct", "parenchyma": mask} for case, mask in masks.items()]
        (tmp_path / "predicted").mkdir(exist_ok=True)
        write_predictions(tmp_path / "predicted", rows, columns=("parenchyma",))
        inputs = {"cohort": str(origin), "predictions": {"old": str(tmp_path / "predicted")}}
        settings = {"name": "taught", "source": "derived", "of": "ct", "structures": structures, **settings}
        cohort.run(Job("cohort", inputs, {"folder": str(tmp_path / "taught")}, settings))
        return tmp_path / "taught"

    return make


def label_of(folder: Path, case: str) -> np.ndarray:
    found = read_cohort(folder)
    return read_scan(found.label_root / found.cases.set_index("case").loc[case, "label"]).array


def whole() -> dict[str, np.ndarray]:
    """A teacher that calls parenchyma all of either kidney, tumour included, by the value of its one class."""
    return {case: (sides(array) > 0).astype(np.uint8) for case, array in MAPS.items()}


def test_where_two_structures_meet_the_later_one_counts(derive):
    tumour_last = label_of(derive([["parenchyma", TAUGHT], ["tumour", "reference"]], whole()), "a")
    assert np.array_equal(tumour_last == 2, MAPS["a"] == 5)
    assert np.array_equal(tumour_last == 1, (sides(MAPS["a"]) > 0) & (MAPS["a"] != 5))
    tumour_first = label_of(derive([["tumour", "reference"], ["parenchyma", TAUGHT]], whole()), "a")
    assert np.array_equal(tumour_first == 2, sides(MAPS["a"]) > 0) and not (tumour_first == 1).any()


def test_a_reference_of_either_side_is_one_structure(derive):
    found = derive([["parenchyma", "reference"], ["right_tumour", "reference"]], whole())
    assert np.array_equal(label_of(found, "b"), parenchyma(MAPS["b"]) > 0)
    assert read_cohort(found).labels == {1: "parenchyma", 2: "right_tumour"}
    record = json.loads((found / "cohort.json").read_text())
    assert record["made_of"] == {"parenchyma": "reference", "right_tumour": "reference"} and record["of"] == "ct"


def test_holes_of_a_taught_structure_are_filled_where_nothing_else_is(derive):
    hollow = whole()
    for mask in hollow.values():
        mask[10:13, 8:11, 8:11] = 0  # inside the left kidney
        mask[47:49, 6:8, 5:8] = 0  # inside the right one, where the tumour of a is
    label = label_of(derive([["tumour", "reference"], ["parenchyma", TAUGHT]], hollow), "a")
    assert (label[10:13, 8:11, 8:11] == 2).all()
    assert (label[47:49, 6:8, 5:8] == 1).all(), "the reference's tumour shows through the hole"
    assert (label_of(derive([["parenchyma", TAUGHT]], hollow), "b") > 0).sum() == (sides(MAPS["b"]) > 0).sum()


def test_holes_of_a_reference_stay(derive, origin):
    hollow = MAPS["b"].copy()
    hollow[10:13, 8:11, 8:11] = 0
    save(origin / "labels/b.nii.gz", hollow)
    assert not label_of(derive([["parenchyma", "reference"]], whole()), "b")[10:13, 8:11, 8:11].any()


def test_both_values_of_a_sided_mask_are_the_structure(derive):
    masks = {case: parenchyma(array) for case, array in MAPS.items()}
    both = label_of(derive([["parenchyma", SIDED]], masks), "b")
    assert np.array_equal(both > 0, masks["b"] > 0)
    right = label_of(derive([["parenchyma", TAUGHT]], masks), "b")
    assert np.array_equal(right > 0, masks["b"] == 1)


def test_a_prediction_of_another_grid_is_refused(derive):
    cut = {case: mask[:-10] for case, mask in whole().items()}
    with pytest.raises(UserError, match="lies in another space|another"):
        derive([["parenchyma", TAUGHT]], cut)


def test_the_design_says_which_values_of_a_mask_are_a_structure():
    sided = compose(["+teachers.old.train=[ct]"])
    assert taught(sided, "old", "parenchyma") == {"teacher": "old", "stage": "parenchyma", "values": [1, 2]}
    classes = "{sinus: [sinus], parenchyma: [parenchyma]}"
    unsided = compose(
        ["+teachers.old.train=[ct]", f"stages.parenchyma.classes={classes}", "metrics=[dsc]"]
        + [f"targets.parenchyma_{which}_tumour.classes=[parenchyma]" for which in ("with", "without")]
    )
    assert taught(unsided, "old", "parenchyma")["values"] == [2]
    with pytest.raises(UserError, match=r"teachers\.old: none of its stages finds the structure 'liver'"):
        taught(sided, "old", "liver")


def test_a_case_of_another_volume_is_left_out_and_listed(derive):
    masks = whole()
    masks["b"][8:18] = 0  # one kidney alone
    structures = [["parenchyma", TAUGHT], ["tumour", "reference"]]
    found = derive(structures, masks, volume_ml={"parenchyma": [1.5 * KIDNEY_ML, 3 * KIDNEY_ML]})
    assert read_cohort(found).cases["case"].tolist() == ["a"]
    assert sorted(path.name for path in (found / "labels").iterdir()) == ["a.nii.gz"]
    reason = f"its parenchyma of {KIDNEY_ML:.0f} ml, outside {1.5 * KIDNEY_ML:g} to {3 * KIDNEY_ML:g} ml"
    assert json.loads((found / "cohort.json").read_text())["left_out"] == {"b": reason}


def test_no_case_that_is_left_is_refused(derive):
    with pytest.raises(UserError, match=r"no case is left; the first was left out because of its parenchyma of \d+ ml"):
        derive([["parenchyma", TAUGHT]], whole(), volume_ml={"parenchyma": [1000, 2000]})


def test_a_teacher_that_did_not_see_every_case_is_refused(derive, tmp_path):
    with pytest.raises(
        UserError, match="'taught' cannot be derived: teacher 'old' has no prediction of 1 cases, the first 'b'"
    ):
        derive([["parenchyma", TAUGHT]], {"a": whole()["a"]})
    assert not (tmp_path / "taught").exists()


def test_a_structure_that_no_reference_has_is_refused(derive):
    with pytest.raises(UserError, match="the labels of cohort 'ct' name no cyst"):
        derive([["parenchyma", TAUGHT], ["cyst", "reference"]], whole())


def test_a_case_without_a_reference_is_no_part_of_it(derive, origin):
    table = pd.read_csv(origin / "cases.csv", dtype=str)
    table.loc[table["case"] == "b", "label"] = ""
    table.to_csv(origin / "cases.csv", index=False)
    assert read_cohort(derive([["parenchyma", TAUGHT]], {"a": whole()["a"]})).cases["case"].tolist() == ["a"]


def test_scans_stay_where_they_are_and_labels_lie_in_the_cohort(derive, origin):
    folder = derive([["parenchyma", TAUGHT], ["tumour", "reference"]], whole())
    found = read_cohort(folder)
    assert json.loads((folder / "private.json").read_text())["root"] == str(origin), "no part of what is published"
    assert found.root == origin.resolve() and found.label_root == folder.resolve()
    assert not (folder / "images").exists() and found.simulated
    pd.testing.assert_frame_equal(
        found.cases.drop(columns="label"), read_cohort(origin).cases.drop(columns="label"), check_dtype=False
    )
    place = folder.parent / "prepared"
    stages = {"organ": {"learns": "segmentation", "classes": {"organ": ["parenchyma"], "mass": ["tumour"]}}}
    stages["organ"] |= {"region": "image", "keep": None, "spacing_mm": [2.0, 2.0, 3.0]}
    settings = {"stages": stages, "normalisation": {"ct_window_hu": [-200.0, 300.0], "mr_percentiles": [0.5, 99.5]}}
    prepare.run(Job("prepare", {"cohort": str(folder)}, {"folder": str(place)}, settings))
    values, counts = np.unique(np.load(next(place.glob("a.organ.label.npy"))), return_counts=True)
    assert values.tolist() == [0, 1, 2] and counts[2] == (MAPS["a"] == 5).sum()


def test_a_label_of_another_orientation_lands_on_the_image(derive, origin):
    array, affine = turned(MAPS["a"], AFFINE, "LPS")
    save(origin / "labels/a.nii.gz", array, affine)
    label = label_of(derive([["parenchyma", TAUGHT], ["tumour", "reference"]], whole()), "a")
    assert np.array_equal(label == 2, MAPS["a"] == 5)
