"""Arms are one level of every factor, with the trainings that they need.

Names, order and sharing follow from the config.
"""

import pytest

from crossmod.design.arms import (
    arms,
    deployed,
    factors_of,
    published,
    seeds_of,
    taught,
    teachers,
    trainings,
    unavailable,
)
from crossmod.design.compose import compose
from crossmod.job import UserError


@pytest.fixture(scope="module")
def study():
    return compose([])


def recipe(**said):
    return dict.fromkeys(("title", "train", "stages", "model", "training", "start", "treat", "segmenter")) | said


def pool(cohort="c", **said):
    return {"cohort": cohort, "patients": None, "subsets": None, "amounts": None, "folds": None} | said


def invented(factors, blocks, pools=None, stages=None, **said):
    """A study of those sections alone that arms follow from."""
    segmenting = {"learns": "segmentation", "classes": {"liver": ["liver"]}, "region": "image", "keep": None}
    return {
        "factors": {
            name: {level: recipe(**keys) for level, keys in levels.items()} for name, levels in factors.items()
        },
        "seeds": [0, 1, 2],
        "arms": blocks,
        "pools": pools or {"mr": pool()},
        "stages": stages or {"liver": segmenting},
        "teachers": {},
        "models": {"wide": {"_target_": "wide"}},
        "model": {"_target_": "plain"},
        "training": {"batch": 2, "optimiser": {"_target_": "a", "lr": 1.0, "momentum": 0.9}},
        "analyse": {"contrast": None, "dose": None},
        **said,
    }


def test_thirteen_arms_in_order(study):
    assert [arm.name for arm in arms(study)] == [
        "ct116",
        *["mrA040", "mrA080", "mrA120", "mrB040", "mrB080", "mrB120"],
        *["ct116+mrA040", "ct116+mrA080", "ct116+mrA120", "ct116+mrB040", "ct116+mrB080", "ct116+mrB120"],
    ]


def test_tables_have_the_declared_factors_then_those_of_the_graded_pool(study):
    assert [list(arm.levels) for arm in arms(study)] == [["strategy", "amount", "subset"]] * 13
    assert arms(study)[0].levels == {"strategy": "ct", "amount": 0, "subset": "none"}
    assert [factor["levels"] for factor in factors_of(arms(study))] == [
        ["ct", "pure", "mixed"],
        [0, 40, 80, 120],
        ["none", "A", "B"],
    ]


def test_shares_of_mr_are_the_papers(study):
    # specs: 25.6, 40.8 and 50.8 % of the mixed sets are MR.
    shares = {}
    for arm in arms(study):
        if arm.levels["strategy"] == "mixed":
            ct, mr = (arm.set.shares[name].amount for name in ("ct", "mr"))
            shares[mr] = round(100 * mr / (ct + mr), 1)
    assert shares == {40: 25.6, 80: 40.8, 120: 50.8}


def test_the_deployed_arms_are_mixed_and_largest(study):
    assert [arm.name for arm in deployed(study)] == ["ct116+mrA120", "ct116+mrB120"]


def test_trainings_keep_the_folders_that_they_always_had(study):
    names = list(trainings(study))
    assert len(names) == 26 and names[:2] == ["ct116/kidney", "ct116/parenchyma"]
    assert "ct116+mrA040/kidney" in names


def test_treatments_share_one_training():
    study = invented(
        {
            "task": {"one": {"train": ["a"]}, "two": {"train": ["b"]}},
            "treatment": {"none": {}, "black": {"treat": "black"}, "white": {"treat": "white"}},
        },
        [{"task": "all", "treatment": "all"}],
        pools={"a": pool("ca"), "b": pool("cb")},
    )
    assert [arm.name for arm in arms(study)] == ["a-none", "a-black", "a-white", "b-none", "b-black", "b-white"]
    assert list(trainings(study)) == ["a/liver", "b/liver"]
    assert [arm.treat for arm in arms(study)][:3] == [None, "black", "white"]


def test_blocks_are_united_and_a_factor_left_out_takes_its_first_level():
    factors = {
        "optimiser": {"plain": {}, "fast": {"training": {"batch": 8}}},
        "network": {"plain_net": {}, "wide_net": {"model": "wide"}},
    }
    study = invented(factors, [{"optimiser": "all"}, {"network": ["wide_net"]}, {"optimiser": "plain"}])
    assert [arm.name for arm in arms(study)] == ["mr-plain-plain_net", "mr-fast-plain_net", "mr-plain-wide_net"]
    nodes = trainings(study)
    assert nodes["mr-fast-plain_net/liver"].settings["batch"] == 8
    assert nodes["mr-plain-wide_net/liver"].model == {"_target_": "wide"}


def test_a_change_of_the_optimiser_replaces_it_where_it_names_another_one():
    other = {"optimiser": {"_target_": "b", "lr": 2.0}}
    study = invented(
        {"o": {"same": {}, "slow": {"training": {"optimiser": {"lr": 0.1}}}, "other": {"training": other}}},
        [{"o": "all"}],
    )
    optimisers = [node.settings["optimiser"] for node in trainings(study).values()]
    assert optimisers[1] == {"_target_": "a", "lr": 0.1, "momentum": 0.9}
    assert optimisers[2] == {"_target_": "b", "lr": 2.0}


def test_a_training_starts_from_one_of_the_same_other_levels_and_both_starts_are_shared():
    stages = {
        "restore": {"learns": "reconstruction", "classes": None, "region": "image", "keep": None},
        "tumour": {"learns": "segmentation", "classes": {"tumour": ["tumour"]}, "region": "image", "keep": None},
    }
    factors = {
        "pretraining": {"none": {}, "restore": {"start": {"stage": "restore", "train": None}}},
        "network": {"plain_net": {}, "wide_net": {"model": "wide"}},
    }
    study = invented(factors, [{"pretraining": "all", "network": "all"}], stages=stages)
    nodes = trainings(study)
    assert list(nodes) == [
        "mr-none-plain_net/tumour",
        "mr-none-wide_net/tumour",
        "mr-plain_net/restore",
        "mr-restore-plain_net/tumour",
        "mr-wide_net/restore",
        "mr-restore-wide_net/tumour",
    ]
    assert nodes["mr-restore-wide_net/tumour"].start.name == "mr-wide_net/restore"
    assert nodes["mr-wide_net/restore"].model == {"_target_": "wide"}


def test_a_training_may_start_from_other_pools():
    start = {"stage": None, "train": ["ct"]}
    study = invented(
        {"from": {"scratch": {"train": ["mr"]}, "ct": {"train": ["mr"], "start": start}}},
        [{"from": "all"}],
        pools={"ct": pool("ct", patients=5), "mr": pool("mr")},
    )
    assert [node.name for node in trainings(study)["mr-ct/liver"].chain()] == ["ct5/liver", "mr-ct/liver"]


def test_a_training_that_would_start_from_itself_is_refused():
    study = invented({"from": {"itself": {"start": {"stage": "liver", "train": None}}}}, [{}])
    with pytest.raises(UserError, match="'mr/liver' would start from itself"):
        trainings(study)


def test_folds_are_trainings_and_no_arms():
    study = invented({}, [{}], pools={"mr": pool(folds=3)})
    assert [arm.name for arm in arms(study)] == ["mr"]
    assert list(trainings(study)) == ["mr/liver/fold0", "mr/liver/fold1", "mr/liver/fold2"]


def test_a_program_from_outside_has_no_training_and_its_levels_as_name():
    factors = {
        "tool": {"own": {}, "program": {"segmenter": {"command": "x"}}},
        "treatment": {"none": {}, "black": {"treat": "b"}},
    }
    study = invented(factors, [{"tool": "all", "treatment": "all"}])
    assert [arm.name for arm in arms(study)] == ["mr-own-none", "mr-own-black", "program-none", "program-black"]
    assert arms(study)[2].set is None and arms(study)[2].trainings == {}


def test_two_trainings_that_differ_never_share_a_folder():
    """The start of each level would be named alike, although the level changes how it is trained."""
    stage = {"region": "image", "keep": None}
    stages = {
        "restore": {"learns": "reconstruction", "classes": None, **stage},
        "tumour": {"learns": "segmentation", "classes": {"tumour": ["tumour"]}, **stage},
    }
    start = {"stage": "restore", "train": None}
    levels = {"slow": {"start": start, "training": {"batch": 1}}, "fast": {"start": start, "training": {"batch": 8}}}
    with pytest.raises(UserError, match="two trainings that differ would both be called 'mr/restore'"):
        trainings(invented({"f": levels}, [{"f": "all"}], stages=stages))


def test_levels_that_contradict_each_other_are_refused():
    study = invented({"a": {"x": {"model": "wide"}}, "b": {"y": {"model": "wide"}}}, [{}])
    with pytest.raises(UserError, match=r"factors.b.y.model: factors.a.x says something of model too"):
        arms(study)


def test_two_arms_of_one_name_are_refused():
    factors = {"a": {"x": {}, "x-z": {"treat": "t"}}, "b": {"z-y": {}, "y": {"model": "wide"}}}
    with pytest.raises(UserError, match="would both be called 'mr-x-z-y'"):
        arms(invented(factors, [{"a": "all", "b": "all"}]))


def test_a_teacher_is_an_arm_of_its_own_name_and_knows_where_a_structure_stands():
    study = invented({}, [{}], pools={"mr": pool("mr"), "ct": pool("ct")}, teachers={"old": recipe(train=["ct"])})
    (teacher,) = teachers(study)
    assert (teacher.name, list(teacher.trainings)) == ("old", ["liver"])
    assert taught(study, "old", "liver") == {"teacher": "old", "stage": "liver", "values": [1]}
    assert "ct/liver" in trainings(study)
    with pytest.raises(UserError, match="none of its stages finds the structure 'spleen'"):
        taught(study, "old", "spleen")


def test_a_published_config_has_no_paths_of_the_machine(study):
    assert published(study) == study  # simulated patients have none
    here = {"source": "folder", "table": "/data/mine/cases.csv", "root": "/data/mine", "title": "mine"}
    shown = published(study | {"cohorts": study["cohorts"] | {"own": here}})
    assert shown["cohorts"]["own"] == {"source": "folder", "table": None, "root": None, "title": "mine"}
    assert shown["cohorts"] | {"own": here} == study["cohorts"] | {"own": here}


def test_arms_of_an_optional_program_that_is_absent_are_named():
    tool = {"command": "no-such-tool {image} {labels}", "labels": {1: "kidney"}}
    levels = {"own": {}, "needed": {"segmenter": tool}, "optional": {"segmenter": tool | {"optional": True}}}
    study = invented(
        {"tool": levels | {"here": {"segmenter": tool | {"command": "sh {image}", "optional": True}}}}, [{}]
    )
    study["arms"] = [{"tool": "all"}]
    assert unavailable(arms(study)) == {"optional": "no-such-tool"}


def test_a_block_may_train_its_arms_with_the_first_seeds_alone():
    factors = {"network": {"usual": {}, "wide": {"model": "wide"}}}
    study = invented(factors, [{"network": "all", "first_seeds": 1}])
    assert [arm.seeds for arm in arms(study)] == [(0,), (0,)]
    study = invented(factors, [{"network": "all", "first_seeds": 2}], seeds=[7])  # of a scale with fewer of them
    assert [arm.seeds for arm in arms(study)] == [(7,), (7,)]


def test_an_arm_of_two_blocks_has_the_seeds_of_both():
    factors = {"network": {"usual": {}, "wide": {"model": "wide"}}}
    for blocks in (
        [{"network": "all", "first_seeds": 1}, {"network": "usual"}],
        [{"network": "usual"}, {"network": "all", "first_seeds": 1}],
    ):
        assert {arm.name: arm.seeds for arm in arms(invented(factors, blocks))} == {
            "mr-usual": (0, 1, 2),
            "mr-wide": (0,),
        }


def test_a_training_has_the_seeds_of_all_who_need_it():
    start = {"stage": "restore", "train": ["mr"], "init": None}
    factors = {"start": {"none": {}, "restored": {"start": start}, "again": {"start": start}}}
    stages = {
        "restore": {"learns": "reconstruction", "classes": {}, "region": "image", "keep": None},
        "liver": {"learns": "segmentation", "classes": {"liver": ["liver"]}, "region": "image", "keep": None},
    }
    blocks = [{"start": "restored", "first_seeds": 1}, {"start": "again", "first_seeds": 2}]
    found = seeds_of(invented(factors, blocks, stages=stages))
    assert found == {"mr/restore": (0, 1), "mr-restored/liver": (0,), "mr-again/liver": (0, 1)}
    assert set(found) == set(trainings(invented(factors, blocks, stages=stages)))


def test_a_program_from_outside_runs_once_whatever_seeds_its_block_has():
    tool = {"segmenter": {"command": "threshold", "optional": False}}
    study = invented({"tool": {"network": {}, "threshold": tool}}, [{"tool": "all"}])
    assert {arm.name: arm.seeds for arm in arms(study)} == {"mr-network": (0, 1, 2), "threshold": (0,)}
