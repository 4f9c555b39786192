"""The study of MR treated as inverted CT composes, on simulated and on real scans."""

import pytest

from crossmod.design.arms import arms, trainings, unavailable
from crossmod.design.compose import compose
from crossmod.design.splits import arms_on
from crossmod.job import UserError
from crossmod.phantom.recipe import Population
from crossmod.prepare.treatments import NAMED

pytestmark = pytest.mark.skipif(
    "organs" not in Population.model_fields, reason="the simulator of this version labels no organs"
)
TABLES = [f"cohorts.{name}.table=cases.csv" for name in ("btcv", "afirm_t1", "afirm_mprage", "chaos")]


@pytest.mark.parametrize("scale", ["smoke", "laptop"])
def test_five_treatments_of_two_networks_that_are_trained_once(scale):
    study = compose(["study=inversion", f"scale={scale}"])
    compared = arms(study)
    own = [arm for arm in compared if arm.levels["tool"] == "own"]
    assert len(own) == 2 * (5 + 2) and len(compared) == len(own) + 5
    assert len(trainings(study)) == 4, "organs and renal, plain and with random contrasts; no treatment trains anything"
    assert study["treatments"] == NAMED
    assert len(study["stages"]["organs"]["classes"]) == 24
    assert set(unavailable(compared).values()) <= {"TotalSegmentator"}


def test_no_ct_is_inverted():
    study = compose(["study=inversion_real", "scale=smoke", *TABLES])
    for site in ("ct", "btcv"):
        assert {arm.treat for arm in arms_on(study, site)} == {None}
    assert len({arm.treat for arm in arms_on(study, "afirm_t1")}) == 5


def test_levels_that_a_site_leaves_out_cannot_be_compared_there():
    message = "units.0: treatments: sites.t1.where leaves no arm of treatment inverted_black, inverted at this site"
    with pytest.raises(UserError, match=message):
        compose(["study=inversion", "scale=smoke", "sites.t1.where={treatment: unprocessed}"])


def test_the_preset_names_every_class_of_the_organs():
    study = compose(["study=inversion", "scale=smoke"])
    found = set(study["factors"]["tool"]["totalsegmentator"]["segmenter"]["labels"].values())
    for structures in study["stages"]["organs"]["classes"].values():
        assert found & set(structures)


def test_on_real_scans_the_treatments_are_the_same_after_a_fit():
    study = compose(["study=inversion_real", "scale=smoke", *TABLES])
    assert study["adds_to"] == "inversion" and {"btcv", "afirm_t1", "afirm_mprage", "chaos"} <= set(study["sites"])
    for name, operations in NAMED.items():
        first, *others = study["treatments"][name]
        assert first == {"fit": {"below": 3000}} and others == operations


def test_a_set_that_is_not_at_hand_is_left_out():
    study = compose(["study=inversion_real", "scale=smoke", *TABLES[:3], "~cohorts.chaos", "~sites.chaos"])
    assert "chaos" not in study["sites"]
