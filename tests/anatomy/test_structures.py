"""Names of structures."""

import pytest

from crossmod.anatomy.structures import split_side, structure_problem
from crossmod.design.fields import unknown_structure
from crossmod.phantom import ORGANS, SPINE


@pytest.mark.parametrize(
    "name", ["kidney", "right_kidney", "left_parenchyma", "liver", "right_adrenal_gland", "vertebrae_l1"]
)
def test_good_names(name):
    assert structure_problem(name) is None


def test_structures_of_simulated_patients_are_known():
    for name in (*ORGANS.values(), *SPINE.values()):
        assert structure_problem(name) is None and unknown_structure(name) is None


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("kidney_right", "right_kidney"),
        ("Right Kidney", "right_kidney"),
        ("l_kidney", "left_kidney"),
        ("tumor", "tumour"),
        ("left_tumor", "left_tumour"),
        ("parenchima", "parenchyma"),
        ("esophagus", "oesophagus"),
        ("small_bowl", "small_bowel"),
        ("portal_and_splenic_vain", "portal_and_splenic_vein"),
        ("left_psoas_muscle", "left_iliopsoas_muscle"),
        ("lung_left", "left_lung"),
    ],
)
def test_slips_are_named(name, meant):
    assert f"did you mean '{meant}'" in structure_problem(name)


@pytest.mark.parametrize("name", ["", "7", "Fat!", "spinal cord (c1)"])
def test_what_is_no_name(name):
    assert "write [right_|left_]name" in structure_problem(name)


def test_sides_are_split_off():
    assert split_side("right_kidney") == ("right", "kidney")
    assert split_side("rightful") == (None, "rightful")
    with pytest.raises(ValueError, match="not a structure name"):
        split_side("Right kidney")
