"""The arms of the renal study."""

import pytest

from crossmod.design.arms import arms, default_arm, published
from crossmod.design.compose import compose


@pytest.fixture(scope="module")
def study():
    return compose([])


def test_thirteen_arms_in_order(study):
    assert [arm.name for arm in arms(study)] == [
        "ct116",
        *["mrA040", "mrA080", "mrA120", "mrB040", "mrB080", "mrB120"],
        *["ct116+mrA040", "ct116+mrA080", "ct116+mrA120", "ct116+mrB040", "ct116+mrB080", "ct116+mrB120"],
    ]


def test_shares_of_mr_are_the_papers(study):
    # specs: 25.6, 40.8 and 50.8 % of the mixed sets are MR.
    shares = {
        arm.amount: round(100 * arm.patients["mr"] / sum(arm.patients.values()), 1)
        for arm in arms(study)
        if arm.strategy == "mixed"
    }
    assert shares == {40: 25.6, 80: 40.8, 120: 50.8}


def test_default_arm_is_mixed_and_largest(study):
    assert default_arm(study) == "ct116+mrA120"


def test_a_published_config_has_no_paths_of_the_machine(study):
    assert published(study) == study  # simulated patients have none
    here = {"source": "folder", "table": "/data/mine/cases.csv", "root": "/data/mine", "title": "mine"}
    shown = published(study | {"cohorts": study["cohorts"] | {"own": here}})
    assert shown["cohorts"]["own"] == {"source": "folder", "table": None, "root": None, "title": "mine"}
    assert shown["cohorts"] | {"own": here} == study["cohorts"] | {"own": here}
