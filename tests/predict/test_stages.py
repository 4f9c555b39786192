"""Which stages make a cascade, and whose masks hold sides."""

import pytest

from crossmod.job import UserError
from crossmod.predict.stages import refuse_impossible
from crossmod.stages import is_sided
from tests.bright import KIDNEY, PARENCHYMA, STAGES

SEVERAL = {"liver": ["liver"], "spleen": ["spleen"]}


def test_sides_pass_from_a_region_to_the_stage_that_looks_there():
    stages = STAGES | {"tumour": PARENCHYMA | {"region": "parenchyma"}, "body": KIDNEY | {"keep": None}}
    stages["paired"] = KIDNEY | {"region": "body"}
    stages["several"] = PARENCHYMA | {"classes": SEVERAL}
    assert [name for name in stages if is_sided(stages, name)] == ["kidney", "parenchyma", "tumour", "paired"]


def test_stages_of_a_study_are_possible():
    refuse_impossible(STAGES)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"parenchyma": PARENCHYMA | {"region": "liver"}}, "'liver' is no earlier stage of the cascade.*image, kidney"),
        ({"kidney": KIDNEY | {"region": "parenchyma"}}, "'parenchyma' is no earlier stage"),
        ({"kidney": KIDNEY | {"classes": SEVERAL}}, "one_a_side needs a stage of one class, not of liver, spleen"),
        ({"parenchyma": PARENCHYMA | {"keep": {"one_a_side": 1}}}, "done already by the stage 'kidney'"),
    ],
)
def test_other_cascades_are_refused_with_a_cure(change, problem):
    with pytest.raises(UserError, match=problem):
        refuse_impossible(STAGES | change)
