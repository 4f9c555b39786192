"""Simulated cohorts: files, tables, and the same bytes on any number of workers."""

import hashlib
import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from crossmod.cohort.simulated import case_seed, write_cohort
from crossmod.cohort.table import read_cohort
from crossmod.job import UserError
from crossmod.phantom import LABELS, ORGANS, parse_recipe, simulate

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


# What a coarse grid fixes of every protocol.
GEOMETRY = {"spacing_mm": [10, 10, 12], "field_of_view_mm": [420, 330, 240], "orientation": "LPS"}
PROTOCOLS = {"ct-plain": 3.0, "ct-arterial": 0.0, "mr-t2": 1.0}
POPULATION = {"tumour": 0.4, "bmi": 22.0, "bmi_sd": 1.5}


def mixed(cases, **change):
    """A cohort of several protocols, a part of whose patients has a tumour."""
    plan = {"cases": cases, "seed": 11, "site": "north", "recipe": GEOMETRY}
    return {**plan, "protocols": PROTOCOLS, "population": POPULATION, **change}


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated") / "mixed"
    write_cohort("mixed", folder, mixed(40), threads=1)
    return folder


def test_protocols_come_in_their_shares(many):
    table = pd.read_csv(many / "cases.csv")
    assert len(table) == 40
    counts = table["sequence"].value_counts()
    assert set(counts.index) == {"plain", "t2"}
    # Three to one: 30 expected, standard deviation 2.7.
    assert 22 <= counts["plain"] <= 37
    assert dict(zip(table["sequence"], table["modality"], strict=True)) == {"plain": "CT", "t2": "MR"}


def test_patients_are_those_of_the_population(many):
    table = pd.read_csv(many / "cases.csv")
    # 16 of 40 expected, standard deviation 3.1.
    assert 7 <= (table["histology"] != "none").sum() <= 25
    assert (table.loc[table["histology"] == "none", "tumour_side"] == "none").all()
    assert ((table["tumour_volume_ml"] > 0) == (table["tumour_side"] != "none")).all()
    assert table["bmi"].mean() == pytest.approx(22, abs=1)
    assert set(table["tumour_side"]) == {"right", "left", "none"}


def test_what_the_recipe_says_comes_on_top_of_a_protocol(many, tmp_path):
    for row in pd.read_csv(many / "cases.csv").itertuples():
        image = nib.load(many / row.image)
        assert image.shape == (42, 33, 20)
        assert nib.aff2axcodes(image.affine) == ("L", "P", "S")
        np.testing.assert_allclose(image.header.get_zooms(), [10, 10, 12], rtol=1e-5)
    named = {**GEOMETRY, "sequence": "mine", "ct": {"noise_hu": 0.0}, "mr": {"noise": 0.0}}
    write_cohort("mixed", tmp_path / "mixed", mixed(6, recipe=named), threads=1)
    assert set(pd.read_csv(tmp_path / "mixed" / "cases.csv")["sequence"]) == {"mine"}


def test_without_a_recipe_protocols_decide_everything(tmp_path):
    write_cohort("ct", tmp_path / "ct", mixed(2, recipe={}, protocols={"mr-coronal-gre": 1}), threads=1)
    images = [nib.load(path) for path in sorted((tmp_path / "ct" / "images").iterdir())]
    assert all(nib.aff2axcodes(image.affine)[2] in "AP" for image in images)
    assert images[0].header.get_zooms() != images[1].header.get_zooms()


def test_files_of_mixed_protocols_do_not_depend_on_the_number_of_workers(tmp_path):
    write_cohort("mixed", tmp_path / "one", mixed(6), threads=1)
    write_cohort("mixed", tmp_path / "two", mixed(6), threads=2)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_a_longer_cohort_of_mixed_protocols_begins_with_the_same_cases(many, tmp_path):
    write_cohort("mixed", tmp_path / "short", mixed(5), threads=1)
    short, long = digests(tmp_path / "short"), digests(many)
    names = [name for name in short if name.endswith(".nii.gz")]
    assert len(names) == 10
    assert {name: short[name] for name in names} == {name: long[name] for name in names}
    tables = [pd.read_csv(folder / "cases.csv") for folder in (tmp_path / "short", many)]
    pd.testing.assert_frame_equal(tables[0], tables[1].head(5))


def test_the_order_and_the_scale_of_shares_do_not_matter(tmp_path):
    same = dict(reversed([(name, share / 4) for name, share in PROTOCOLS.items()]))
    for name, protocols in (("one", PROTOCOLS), ("two", same)):
        write_cohort("mixed", tmp_path / name, mixed(4, protocols=protocols), threads=1)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_the_protocol_does_not_change_the_body(many, tmp_path):
    write_cohort("mixed", tmp_path / "mixed", mixed(8, protocols={"mr-fs-t2": 1}), threads=1)
    one, two = (pd.read_csv(folder / "cases.csv").head(8) for folder in (tmp_path / "mixed", many))
    for column in ("patient", "sex", "age", "bmi", "histology"):
        assert list(one[column]) == list(two[column])


@pytest.fixture
def recipes(monkeypatch):
    """The recipes that cases are simulated by, in order; the picture is always the same."""
    used = []
    patient = simulate(0, parse_recipe(GEOMETRY))

    def remember(seed, recipe, population):
        used.append(recipe)
        return patient

    monkeypatch.setattr("crossmod.cohort.simulated.simulate", remember)
    return used


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.5, 32, 68), (1.0, 100, 100)])
def test_a_share_of_patients_is_randomised(recipes, tmp_path, share, least, most):
    write_cohort("mixed", tmp_path / "mixed", mixed(100, randomised=share), threads=1)
    strengths = [recipe.randomisation for recipe in recipes]
    assert least <= np.count_nonzero(strengths) <= most
    assert all(strength == 0 or 0.3 <= strength <= 1 for strength in strengths)
    assert len(set(strengths)) > 0.9 * np.count_nonzero(strengths)


def test_a_randomisation_of_the_recipe_wins(recipes, tmp_path):
    fixed = {**GEOMETRY, "randomisation": 0.125}
    write_cohort("mixed", tmp_path / "mixed", mixed(8, randomised=1.0, recipe=fixed), threads=1)
    assert {recipe.randomisation for recipe in recipes} == {0.125}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"randomised": 1.5}, ["randomised = 1.5", "less than or equal to 1"]),
        ({"randomised": "all"}, ["randomised = 'all'", "number"]),
        ({"protocols": {"ct-plain": -1, "mr-t2": 2}}, ["protocols", "shares must be 0 or more"]),
        ({"protocols": {"ct-plain": 0, "mr-t2": 0}}, ["protocols", "one at least above 0"]),
        ({"protocols": {"ct-plain": float("nan")}}, ["protocols"]),
        ({"protocols": {"ct-plain": float("inf"), "mr-t2": 1}}, ["protocols"]),
        ({"protocols": {"ct-plain": "often"}}, ["protocols.ct-plain = 'often'", "number"]),
        ({"protocols": ["ct-plain"]}, ["protocols = ['ct-plain']", "dictionary"]),
        ({"protocols": {"ct-plane": 1}}, ["protocol 'ct-plane': unknown", "ct-plain", "mr-coronal-gre"]),
        # Whether or not a case happens to draw it.
        ({"protocols": {"ct-plain": 1, "mr-t3": 1e-6}}, ["protocol 'mr-t3': unknown", "mr-t2"]),
        ({"protocols": {"ct-plain": 1, "mr-t3": 0}}, ["protocol 'mr-t3': unknown", "mr-t2"]),
        ({"recipe": {"ct": {"noise_hu": 99}}}, ["recipe.ct.noise_hu = 99", "at most 80"]),
        ({"recipe": {"noise": 1}}, ["recipe.noise: no such key"]),
        ({"population": {"bmi": 50}}, ["population.bmi = 50", "at least 19", "at most 38"]),
        ({"population": {"tumor": 0.3}}, ["population.tumor: no such key", "did you mean tumour"]),
        ({"population": 0.3}, ["population = 0.3", "dictionary"]),
    ],
)
def test_bad_protocols_and_populations_are_refused_before_anything_is_written(tmp_path, change, words):
    with pytest.raises(UserError) as caught:
        write_cohort("mixed", tmp_path / "mixed", mixed(2, **change), threads=1)
    for word in words:
        assert word in str(caught.value)
    assert not (tmp_path / "mixed").exists()


def test_a_missing_folder_of_shapes_is_told_by_name(tmp_path):
    population = {"shapes": str(tmp_path / "nowhere")}
    with pytest.raises(UserError, match="shapes = .*nowhere.*is no folder"):
        write_cohort("mixed", tmp_path / "mixed", mixed(1, population=population), threads=1)


def test_a_cohort_with_organs_declares_them(tmp_path):
    plan = mixed(2, protocols={"ct-nephrographic": 1}, population={"organs": True, "tumour": 0.0})
    write_cohort("organs", tmp_path / "organs", plan, threads=1)
    cohort = read_cohort(tmp_path / "organs")
    assert cohort.labels == LABELS | ORGANS
    first = nib.load(tmp_path / "organs" / cohort.cases["label"][0])
    values = np.unique(np.asarray(first.dataobj))
    assert {9, 11, 26} <= set(values.tolist()) and values.max() <= max(ORGANS)
    assert float(cohort.cases["liver_ml"][0]) > 300


def test_a_cohort_without_organs_declares_renal_structures_alone(many):
    assert read_cohort(many).labels == LABELS
    assert "liver_ml" not in pd.read_csv(many / "cases.csv").columns
