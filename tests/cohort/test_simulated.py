"""Simulated cohorts: files, tables, and the same bytes on any number of workers."""

import hashlib
import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from crossmod.cohort.simulated import case_seed, write_cohort
from crossmod.job import UserError

RECIPE = {"modality": "MR", "spacing_mm": [5, 5, 8], "field_of_view_mm": [420, 330, 240], "orientation": "LPS"}
COLUMNS = ["case", "patient", "modality", "sequence", "site", "image", "label", "tumour_side", "sex", "age"]


def settings(cases, **more):
    return {"cases": cases, "seed": 11, "site": "north", "recipe": {**RECIPE, **more}}


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated") / "mr"
    write_cohort("mr", folder, settings(3), threads=1)
    return folder


def test_table_follows_the_contract(cohort):
    table = pd.read_csv(cohort / "cases.csv")
    assert list(table.columns[: len(COLUMNS)]) == COLUMNS
    assert list(table["case"]) == ["mr-0001", "mr-0002", "mr-0003"]
    assert table["patient"].is_unique
    assert set(table["modality"]) == {"MR"} and set(table["sequence"]) == {"fs-t2"} and set(table["site"]) == {"north"}
    assert set(table["tumour_side"]) <= {"right", "left"} and set(table["sex"]) <= {"male", "female"}
    assert {"histology", "tumour_volume_ml", "right_parenchyma_ml", "left_parenchyma_ml"} <= set(table.columns)
    assert (table["tumour_volume_ml"] > 0).all()


def test_cohort_json_says_that_it_is_simulated(cohort):
    record = json.loads((cohort / "cohort.json").read_text())
    assert record["name"] == "mr" and record["source"] == "simulated" and record["simulated"] is True
    assert record["root"] == "."
    assert record["labels"]["1"] == "right_parenchyma" and record["labels"]["6"] == "left_tumour"
    assert len(record["labels"]) == 8


def test_images_and_labels_share_a_true_geometry(cohort):
    for row in pd.read_csv(cohort / "cases.csv").itertuples():
        image, label = nib.load(cohort / row.image), nib.load(cohort / row.label)
        assert image.shape == label.shape == (84, 66, 30)
        np.testing.assert_array_equal(image.affine, label.affine)
        for picture in (image, label):
            assert picture.header["qform_code"] == picture.header["sform_code"] == 1
            np.testing.assert_allclose(picture.get_qform(), picture.get_sform(), atol=1e-3)
            assert picture.header.get_xyzt_units()[0] == "mm"
        assert nib.aff2axcodes(image.affine) == ("L", "P", "S")
        assert image.get_data_dtype() == np.int16 and label.get_data_dtype() == np.uint8
        values = np.asarray(label.dataobj)
        volume = np.count_nonzero(values == 1) * 0.2
        assert volume == pytest.approx(row.right_parenchyma_ml, abs=0.01)


def test_files_do_not_depend_on_the_number_of_workers(cohort, tmp_path):
    write_cohort("mr", tmp_path / "mr", settings(3), threads=2)
    assert digests(tmp_path / "mr") == digests(cohort)


def test_a_longer_cohort_begins_with_the_same_cases(cohort, tmp_path):
    write_cohort("mr", tmp_path / "mr", settings(1), threads=1)
    short, long = digests(tmp_path / "mr"), digests(cohort)
    for part in ("images/mr-0001.nii.gz", "labels/mr-0001.nii.gz"):
        assert short[part] == long[part]
    assert len({case_seed(11, index) for index in range(500)}) == 500
    assert case_seed(11, 0) != case_seed(12, 0)


def test_progress_is_told(tmp_path, capsys):
    write_cohort("ct", tmp_path, {**settings(2), "recipe": {**RECIPE, "modality": "CT"}}, threads=1)
    assert "cohort ct: 2 of 2 cases" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cases": 0}, "cases = 0"),
        ({"seed": -1}, "seed = -1"),
        ({"site": "a b"}, "site = 'a b'"),
        ({"colour": 1}, "colour"),
        ({"recipe": {"ct": {"noise_hu": 99}}}, "recipe.ct.noise_hu = 99"),
    ],
)
def test_bad_settings_are_refused_by_name_before_anything_is_written(tmp_path, change, words):
    with pytest.raises(UserError, match=words):
        write_cohort("ct", tmp_path / "ct", {**settings(1), **change}, threads=1)
    assert not (tmp_path / "ct").exists()
