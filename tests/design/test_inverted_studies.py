"""The study of MR treated as inverted CT composes, on simulated and on real scans."""

import pytest

from crossmod.design.arms import arms, trainings, unavailable
from crossmod.design.compose import compose, shared_part
from crossmod.design.splits import arms_on
from crossmod.job import UserError
from crossmod.phantom.recipe import Population
from crossmod.prepare.treatments import NAMED
from crossmod.running.finished import differences, shared

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
    for name, operations in NAMED.items():
        first, *others = study["treatments"][name]
        assert first == {"fit": {"below": 3000}} and others == operations
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


MR_REAL = [f"cohorts.mr_real.{given}" for given in ("table=cases.csv", "title=mine", "labels={2: right_kidney}")]


@pytest.mark.parametrize(
    ("base", "overrides"),
    [("inversion", TABLES), ("spine", ["cohorts.bodies.table=cases.csv"]), ("renal", MR_REAL)],
)
def test_real_scans_change_nothing_that_the_study_they_are_added_to_rests_on(base, overrides):
    """Else its finished report would be refused to them."""
    given = [f"study={base}_real", "scale=smoke", *overrides]
    added = compose(given)
    assert added["adds_to"] == base
    assert not differences(shared(compose([f"study={base}", "scale=smoke"])), shared(shared_part(added, given)))


def test_a_set_that_is_not_at_hand_is_left_out():
    study = compose(["study=inversion_real", "scale=smoke", *TABLES[:3], "~cohorts.chaos", "~sites.chaos"])
    assert "chaos" not in study["sites"]
