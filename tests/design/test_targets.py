"""Targets, one by one."""

import pytest

from crossmod.design.scored import Target
from crossmod.design.targets import targets_of
from crossmod.job import UserError

STAGES = {"organs": {"classes": {"spleen": ["spleen"], "right_kidney": ["kidney"]}}}


def study(**targets) -> dict:
    return {"stages": STAGES, "targets": {name: Target(**own).model_dump() for name, own in targets.items()}}


def test_each_class_becomes_a_target_of_its_own():
    found = targets_of(study(organs={"stage": "organs", "each_class": True}))
    assert [(name, one["title"], one["classes"]) for name, one in found.items()] == [
        ("spleen", "Spleen", ["spleen"]),
        ("right_kidney", "Right kidney", ["right_kidney"]),
    ]


def test_what_a_target_leaves_unsaid_stays_so():
    (one,) = targets_of(study(all_organs={"stage": "organs"})).values()
    assert one["classes"] is None and one["structures"] is None


def test_two_targets_of_one_name_are_refused():
    with pytest.raises(UserError, match="two targets 'spleen'"):
        targets_of(study(spleen={"stage": "organs"}, organs={"stage": "organs", "each_class": True}))
