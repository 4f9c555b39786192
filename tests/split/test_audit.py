"""The audit sees the same image under two names, and fails closed where it sees nothing."""

import json
import shutil

import pandas as pd
import pytest

from crossmod import split
from crossmod.job import Job, UserError

POOLS = {
    "mr": {"cohort": "mr", "patients_of": "mr", "patients": None, "subsets": ["A", "B"], "amounts": [2], "folds": None}
}
SETS = {"mrA002": {"mr": {"subset": "A", "amount": 2}}}
ARM = {"name": "mrA002", "set": "mrA002", "subset": "A", "levels": {"amount": 2, "subset": "A"}, "teachers": []}
SITE = {"name": "mr", "cohort": "mr", "part": "other_half", "pools": {"mr": "mr"}}


@pytest.fixture
def cohorts(tiny, tmp_path):
    return [shutil.copytree(tiny / "cohort" / name, tmp_path / "cohort" / name) for name in ("ct", "mr")]


def audit(tmp_path, cohorts, arm=ARM):
    inputs = {"cohorts": [str(folder) for folder in cohorts]}
    training = str(tmp_path / "training.json")
    split.run(Job("split", inputs, {"training": training}, {"pools": POOLS, "sets": SETS, "seed": 0}))
    settings = {"site": SITE, "arms": [arm]}
    site = str(tmp_path / "mr.json")
    split.run_site(Job("split.site", {"training": training, "cohort": str(cohorts[1])}, {"site": site}, settings))
    outputs = {"splits": str(tmp_path / "splits.json"), "audit": str(tmp_path / "audit.csv")}
    everything = {**inputs, "training": training, "sites": {"mr": site}}
    split.run_audit(Job("split.audit", everything, outputs, {"arms": [arm], "derived": {}}))
    return json.loads((tmp_path / "splits.json").read_text())


def test_a_clean_study_passes(tmp_path, cohorts):
    splits = audit(tmp_path, cohorts)
    table = pd.read_csv(tmp_path / "audit.csv")
    assert table[["training_cases", "site_cases", "shared_patients", "shared_images"]].values.tolist() == [[2, 3, 0, 0]]
    assert set(splits["arms"]["mrA002"]["sites"]["mr"]["mr"]) == set(splits["parts"]["mr"]["B"])


def test_the_same_image_on_both_sides_stops_the_study(tmp_path, cohorts):
    splits = audit(tmp_path, cohorts)
    (trained, *_), (validated, *_) = splits["arms"]["mrA002"]["training"]["mr"], splits["parts"]["mr"]["B"]
    facts = pd.read_csv(cohorts[1] / "facts.csv").set_index("case")
    facts.loc[validated, "image_sha256"] = facts.loc[trained, "image_sha256"]
    facts.to_csv(cohorts[1] / "facts.csv")
    with pytest.raises(UserError, match="share 0 patients and 1 images"):
        audit(tmp_path, cohorts)
    assert pd.read_csv(tmp_path / "audit.csv")["shared_images"].tolist() == [1], "the finding must not be lost"


def test_unknown_images_are_not_assumed_clean(tmp_path, cohorts):
    pd.read_csv(cohorts[1] / "facts.csv").iloc[:0].to_csv(cohorts[1] / "facts.csv", index=False)
    with pytest.raises(UserError, match="cannot identify"):
        audit(tmp_path, cohorts)


def test_patients_that_a_teacher_has_learned_from_are_counted(tmp_path, cohorts):
    """Its labels carry what it knows of them into the arms that learn from these labels."""
    SETS["teacher"] = {"mr": {"subset": "B", "amount": 2}}
    try:
        audit(tmp_path, cohorts, ARM | {"teachers": ["teacher"]})
    finally:
        del SETS["teacher"]
    assert pd.read_csv(tmp_path / "audit.csv")["taught_patients"].tolist() == [2]
