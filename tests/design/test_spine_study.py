"""The study of spinal tumours composes, and each of its ablations changes what its name says and nothing else."""

import pytest

from crossmod.design.arms import arms, trainings
from crossmod.design.compose import compose
from crossmod.design.splits import arms_on

PARTS = {
    "no_momentum": {"optimiser.momentum", "optimiser.nesterov"},
    "no_decay": {"optimiser.weight_decay"},
    "no_schedule": {"schedule"},
    "no_clipping": {"clip_norm"},
    "no_average": {"average"},
    "no_balance": {"loss"},
}


@pytest.fixture(params=["smoke", "laptop"])
def study(request):
    return compose(["study=spine", f"scale={request.param}"])


def test_networks_optimisers_and_starts_are_ablated_one_at_a_time(study):
    compared = [arm for arm in arms(study) if arm.levels["task"] == "tumour"]
    usual = {"network": "patched", "optimiser": "adamw", "pretraining": "none"}
    most = max(study["pools"]["gd"]["amounts"])
    for arm in compared:
        unusual = [factor for factor, level in usual.items() if arm.levels[factor] != level]
        assert len(unusual) <= 1
        assert arm.levels["amount"] == most or unusual in ([], ["pretraining"])
    assert len(compared) == 7 + 8 + 3 * 3 - 1


def test_each_part_of_the_optimiser_is_removed_alone(study):
    named = {training.name.split("-")[3].split("/")[0]: training for training in trainings(study).values()}
    for name, parts in PARTS.items():
        assert set(differing(study["training"], named[name].settings)) == parts


def test_pretrained_networks_start_from_patients_whose_masks_are_not_learned_from(study):
    started = [training for training in trainings(study).values() if training.start]
    assert len(started) == 2 * 3
    for training in started:
        assert set(training.start.set.shares) == {"unlabelled"} and set(training.set.shares) == {"gd"}


def test_each_task_is_validated_where_its_references_are(study):
    assert {arm.levels["task"] for arm in arms_on(study, "gd")} == {"tumour", "tumour_long"}
    assert {arm.levels["task"] for arm in arms_on(study, "t1")} == {"vertebra"}
    usual = [(arm.levels["optimiser"], arm.levels["pretraining"]) for arm in arms_on(study, "fat")]
    assert usual == [("adamw", "none")] * 8


def test_patients_of_the_test_are_scanned_twice_and_never_train(study):
    test, fat = (study["cohorts"][name] for name in ("test", "fat"))
    assert test["seed"] == fat["seed"] and test["population"] == fat["population"] and test["cases"] == fat["cases"]
    assert test["protocols"] != fat["protocols"]
    assert not {"test", "fat"} & {pool["cohort"] for pool in study["pools"].values()}


def test_what_the_study_asks_is_trained_with_every_seed_and_ablations_once():
    asked = {
        "task": ["tumour"],
        "network": ["patched"],
        "optimiser": ["adamw"],
        "pretraining": ["none", "reconstruction"],
    }
    for arm in arms(compose(["study=spine"])):
        main = all(arm.levels[factor] in levels for factor, levels in asked.items())
        assert arm.seeds == ((0, 1, 2) if main else (0,))


def differing(one, other, key=""):
    """Keys whose values differ; of a section that names another class the section alone."""
    if not (isinstance(one, dict) and isinstance(other, dict)) or one.get("_target_") != other.get("_target_"):
        return [key] if one != other else []
    return [
        found
        for name in {*one, *other}
        for found in differing(one.get(name), other.get(name), f"{key}.{name}" if key else name)
    ]
