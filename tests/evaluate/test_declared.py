"""Which targets an outside command can meet."""

import json

import pandas as pd
import pytest

from crossmod.evaluate.declared import Declared
from crossmod.job import UserError
from tests.patients import RENAL, sides

SETTINGS = {
    "stages": {
        "organs": {"classes": {"spleen": ["spleen"], "liver": ["liver"]}, "region": "image", "keep": None},
        "tumour": {"classes": {"tumour": ["tumour"]}, "region": "organs", "keep": None},
    },
    "units": {},
    "targets": {
        name: {"stage": stage, "unit": "image", "classes": classes, "structures": None, "where": {}, "if": {}}
        for name, stage, classes in (
            ("spleen", "organs", ["spleen"]),
            ("liver", "organs", ["liver"]),
            ("both", "organs", None),
            ("tumour", "tumour", None),
        )
    },
}


@pytest.mark.parametrize(
    ("known", "targets"),
    [
        ({"organs": ["spleen", "liver"], "tumour": ["tumour"]}, ["spleen", "liver", "both", "tumour"]),
        ({"organs": ["liver"]}, ["liver"]),
        ({"tumour": ["tumour"]}, ["tumour"]),
    ],
)
def test_a_target_is_left_out_where_one_of_its_classes_is_unknown(known, targets):
    assert [one.name for one in Declared.of(SETTINGS).known(known).targets] == targets


def test_a_command_that_meets_no_target_is_refused():
    with pytest.raises(UserError, match="of none of spleen, liver, both, tumour the segmenter knows all classes"):
        Declared.of(SETTINGS).known({"organs": []})


def test_predictions_of_a_command_are_scored_where_it_knows_the_class(
    write_cohort, write_predictions, maps, evaluate, tmp_path
):
    rows = [{"case": case, "cohort": "mr", "kidney": sides(labels)} for case, labels in maps.items()]
    folder = write_predictions(rows)
    index = pd.read_csv(folder / "index.csv", dtype=str, keep_default_na=False)
    assert (index[["parenchyma", "parenchyma_reference_box"]] == "").all(axis=None)
    (folder / "known.json").write_text(json.dumps({"kidney": ["kidney"]}))
    table = evaluate(folder, [write_cohort("mr", maps)])
    assert len(RENAL["targets"]) > 1
    assert table["target"].tolist() == ["kidney"] * len(maps)
    assert (table["dsc"] == 1).all()
