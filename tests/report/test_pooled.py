"""The section of pooled scores: its tables, the sentence that says where the two kinds differ, and its audit."""

from pathlib import Path

import pytest

from crossmod.analyse.design import Design
from crossmod.analyse.study import analyse
from crossmod.report import pooled
from crossmod.report.audit import Printed
from crossmod.report.results import Results
from crossmod.report.sections import sections
from tests.pieces import THREE, UNITS, design, rows, table

WORSE = [("s1", "p1", 10, 12, 6, 100), ("s2", "p1", 10, 5, 4, 100), ("s3", "p2", 80, 90, 60, 200)]
STUDY = {
    "study": "invented",
    "units": UNITS,
    "targets": {"slices": {"title": "Tumour in a slice"}},
    "sites": {"clinic": {"title": "a clinic"}},
    "factors": {"network": {"patches": {"title": "Patches"}, "whole": {"title": "Whole slices"}}},
    "report": {"sections": ["pooled"], "notebooks": []},
}
CONTRAST = {"factor": "network", "a": "patches", "b": "whole"}


def results(folder: Path, asked: Design, found: list[dict], **changes) -> Results:
    """What the report reads, of score rows."""
    place = folder / "results/invented/smoke"
    (place / "analyse").mkdir(parents=True)
    analyse(table(found), asked).write(place / "analyse")
    return Results(place, STUDY | changes)


@pytest.fixture
def contrasted(tmp_path) -> Results:
    found = [*rows(THREE), *rows(WORSE, arm="whole")]
    return results(tmp_path, design(), found, analyse={"contrast": CONTRAST})


def test_both_levels_of_the_contrast_stand_side_by_side(contrasted):
    (shown,) = pooled.tables_of(contrasted)
    assert shown.groups == [("", 2), ("Whole slices", 2), ("Patches", 2)]
    assert shown.columns == ["Score", "Site", *["Per slice", "Pooled"] * 2]
    by_name = {row[0].text: row for row in shown.rows}
    assert [cell.value for cell in by_name["Precision"][4:]] == pytest.approx([(0.9 + 1 + 70 / 90) / 3, 84 / 105])
    assert [cell.text for cell in by_name["Precision"][4:]] == ["0.893", "0.800"]
    assert by_name["F1 score of the mean precision and recall"][5].value == by_name["F1 score"][5].value
    assert by_name["Recall"][5].detail and not by_name["F1 score of the mean precision and recall"][5].detail
    assert "Unit: the slice; n 3, patients 2; none left out." in shown.caption
    assert "A slice counts where the reference shows something" in shown.caption
    assert pooled.every_arm(contrasted) == []


def test_a_sentence_says_where_the_two_kinds_differ_and_what_becomes_of_f1(contrasted):
    (text,) = pooled.sentences(contrasted)
    assert text.startswith("Tumour in a slice: mean per slice and pooled score differ by more than 0.01 in 11 of 12 ")
    assert "most in recall with “Whole slices” (0.583 per slice, 0.700 pooled)." in text
    assert "is not the mean F1 score: 0.820 against 0.797 with “Patches”; pooled, both are 0.820." in text


def test_without_a_contrast_the_best_arm_is_shown_and_said_to_be_chosen(tmp_path):
    found = [*rows(WORSE, arm="patches"), *rows(THREE, arm="whole"), *rows(WORSE, arm="third")]
    bare = results(tmp_path, design(("patches", "whole", "third")), found)
    (shown,) = pooled.tables_of(bare)
    assert shown.groups == [("", 2), ("whole", 2)]
    assert "the one training set of 3 with the highest mean DSC" in shown.caption
    (every,) = pooled.every_arm(bare)
    assert [title for title, _ in every.groups[1:]] == ["patches", "whole", "third"]


def test_one_unit_has_one_score_and_no_difference(tmp_path):
    alone = results(tmp_path, design(("patches",)), rows(THREE[:1]))
    (text,) = pooled.sentences(alone)
    assert "differ by more than 0.01 in none of 6 scores" in text
    assert "is the mean F1 score to three decimals here (0.900 with “patches”)." in text


def test_an_undefined_score_says_why(tmp_path):
    nothing = results(tmp_path, design(("patches",)), rows([("s1", "p1", 0, 0, 0, 100)]))
    (shown,) = pooled.tables_of(nothing)
    precision = next(row for row in shown.rows if row[0].text == "Precision")
    assert precision[2].value is None and "reference and prediction are empty" in precision[2].text
    assert pooled.sentences(nothing) == [
        "Tumour in a slice: mean per slice and pooled score differ by more than 0.01 in none of 1 scores, most in "
        "accuracy with “patches” (1.000 per slice, 1.000 pooled)."
    ]


def test_the_audit_reads_the_sentences_of_a_section(contrasted):
    (section,) = sections(contrasted)
    text = f'<ul class="said-pooled"><li>{section.said[0]}</li></ul><ul><li>no number</li></ul>'
    assert [place for place, *_ in Printed(text).cells] == ["said-pooled, row 1, column 1"]
    assert Printed(text).cells[0][1] == section.said[0]
