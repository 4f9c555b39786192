"""The config is closed: every mistake is named with its full key before anything runs."""

import json

import pytest

from crossmod.config import Study, compose, overrides_from_snakemake
from crossmod.job import UserError, canonical


@pytest.mark.parametrize("scale", ["smoke", "laptop", "full"])
def test_every_scale_composes_to_plain_values(scale):
    study = compose([f"scale={scale}"])
    assert study["scale"] == scale
    assert json.loads(canonical(study)) == study


def test_the_laptop_study_has_the_papers_numbers():
    study = compose([])
    assert {name: cohort["cases"] for name, cohort in study["cohorts"].items()} == {
        "ct": 116 + 65,
        "mr": 240,
        "ct_external": 79,
    }


def test_unknown_keys_are_all_named_with_the_nearest():
    with pytest.raises(UserError) as error:
        compose(["training.bach=4", "stages.kidney.step=3", "seeds=[1]"])
    assert "training.bach: unknown key; did you mean 'training.batch'?" in str(error.value)
    assert "stages.kidney.step: unknown key; did you mean 'stages.kidney.steps'?" in str(error.value)


def test_added_keys_are_refused_too():
    with pytest.raises(UserError, match=r"training\.bach: unknown key; did you mean 'training\.batch'"):
        compose(["+training.bach=4"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.batch=0", "training.batch: .*greater than or equal to 1"),
        ("training.batch=two", "training.batch: .*valid integer"),
        ("arms.graded.amounts=[80,40]", "amounts must grow"),
        ("seeds=[1,1]", "seeds: repeated"),
        ("sites.mr.cohort=mri", "sites.mr.cohort: no cohort 'mri'; did you mean 'mr'"),
        ("model._target_=os.system", "not a network"),
        ("cohorts.ct.source=folder", "source 'folder' needs table, labels"),
        ("scale=smok", "scale=smok: no such scale; did you mean 'smoke'"),
        ("study=rena", "study=rena: no such study; did you mean 'renal'"),
    ],
)
def test_mistakes_name_key_value_and_cure(override, message):
    with pytest.raises(UserError, match=message):
        compose([override])


def test_what_must_be_given_is_asked_for():
    with pytest.raises(UserError, match="cohorts.mr_real.table: must be given"):
        compose(["study=renal_real"])


def test_the_real_site_joins_the_renal_study():
    study, base = compose(["study=renal_real", "cohorts.mr_real.table=cases.csv"]), compose([])
    assert study["study"] == "renal"
    assert set(study["sites"]) - set(base["sites"]) == {"mr_real"}
    assert study["stages"] == base["stages"]


def test_snakemakes_config_becomes_overrides():
    config = {"scale": "smoke", "study": "renal", "seeds": [0, 1], "training": {"batch": "4"}, "override": "a.b=1 c=2"}
    assert overrides_from_snakemake(config) == [
        "study=renal",
        "scale=smoke",
        "seeds=[0,1]",
        "training.batch=4",
        "a.b=1",
        "c=2",
    ]


def test_schema_describes_what_users_set():
    schema = Study.model_json_schema()
    assert schema["additionalProperties"] is False
