"""A class is asked of simulated patients alone whose label maps show it."""

import pytest

from crossmod.design.compose import compose
from crossmod.job import UserError

LIVER = "+stages.kidney.classes.liver=[liver]"
KEYS = [f"cohorts.{name}.population" for name in ("ct", "mr", "ct_external")]
EVERYWHERE = [f"+{key}={{organs: true}}" for key in KEYS]


def composed(*overrides):
    return compose(["study=renal", *overrides])


def refusal(*overrides):
    with pytest.raises(UserError) as caught:
        composed(*overrides)
    return str(caught.value)


def test_a_class_that_no_label_map_shows_is_refused_with_the_key():
    said = refusal(LIVER, "stages.kidney.keep=null")
    for name in ("ct", "mr", "ct_external"):
        assert f"cohorts.{name}.population.organs: not set, so that no label map shows liver" in said
    assert "stages.kidney.classes.liver asks for it; set it to true" in said


def test_each_cohort_is_told_for_itself():
    said = refusal(LIVER, "stages.kidney.keep=null", *EVERYWHERE[:2])
    assert "cohorts.ct_external.population.organs" in said
    assert "cohorts.ct.population" not in said and "cohorts.mr.population" not in said


def test_with_organs_the_class_is_accepted():
    study = composed(LIVER, "stages.kidney.keep=null", *EVERYWHERE)
    assert study["stages"]["kidney"]["classes"]["liver"] == ["liver"]


def test_a_structure_that_no_simulated_patient_has_is_refused():
    said = refusal("+stages.kidney.classes.bladder=[bladder]", "stages.kidney.keep=null", *EVERYWHERE)
    assert "stages.kidney.classes.bladder: learns from cohort" in said and "no simulated patient has bladder" in said


def test_a_class_that_is_there_in_part_is_accepted():
    composed("stages.kidney.classes.kidney=[parenchyma,sinus,tumour,cyst,adrenal_gland]")


def test_a_wrong_population_is_told_once():
    said = refusal("+cohorts.ct.population={organs: some}")
    assert said.count("population.organs = 'some'") == 1


def test_studies_that_come_with_crossmod_ask_for_what_is_there():
    for study in ("renal", "renal_budget", "measure"):
        compose([f"study={study}"])


def test_a_structure_of_the_spine_is_had_by_its_own_key():
    asked = "+stages.kidney.classes.vertebra=[vertebral_body]"
    said = refusal(asked, "stages.kidney.keep=null")
    assert "cohorts.ct.population.spine: not set, so that no label map shows vertebral_body" in said
    assert "population.organs" not in said and "set it to {}" in said


def test_patients_of_the_spine_have_no_kidneys():
    said = refusal("+cohorts.mr.population={spine: {}}")
    assert "cohorts.mr.population.spine: set, so that no label map shows" in said and "leave it out" in said
    assert "population.organs" not in said
