"""The section of lesions: shares by size, and invented ones."""

import pytest

from crossmod.analyse.study import analyse
from crossmod.report import lesions as shown
from crossmod.report.results import Results
from crossmod.report.sections import sections
from tests.pieces import LESIONS, design, lesions, table

STUDY = {
    "study": "invented",
    "units": LESIONS | {"lesion": LESIONS["lesion"] | {"match": {"overlap": 0.25}}},
    "targets": {"image": {"title": "Tumour"}, "lesion": {"title": "Lesion", "unit": "lesion"}},
    "sites": {"clinic": {"title": "a clinic"}},
    "factors": {"network": {"patches": {"title": "Patches"}, "whole": {"title": "Whole slices"}}},
    "report": {"sections": ["lesions"], "notebooks": []},
}
FOUND = {"p1": [(0.4, False), (6.0, True)], "p2": [(0.9, True)], "p3": [(1.0, True), (0.0, True)], "p4": []}
MISSED = {"p1": [(0.4, False), (6.0, False)], "p2": [(0.9, False)], "p3": [(1.0, True)], "p4": []}


@pytest.fixture
def results(tmp_path) -> Results:
    place = tmp_path / "results/invented/smoke"
    (place / "analyse").mkdir(parents=True)
    found = [*lesions(FOUND), *lesions(MISSED, arm="whole")]
    asked = design(units=LESIONS, targets=["image", "lesion"], lesion_sizes_ml=[1.0, 5.0])
    analyse(table(found), asked).write(place / "analyse")
    return Results(place, STUDY)


def test_every_arm_has_its_shares_by_size_and_what_it_invents(results):
    (made,) = shown.detected(results)
    assert made.name == "Lesion: found, by size, end to end"
    assert made.columns[1:] == ["Site", "All", "Below 1 ml", "1 to 5 ml", "5 ml or more", "Invented per patient"]
    patches, whole = made.rows
    one = "100% (1 of 1)"
    assert [cell.text for cell in patches[2:]] == ["75% (3 of 4)", "50% (1 of 2)", one, one, "0.25"]
    assert [cell.text for cell in whole[2:]] == ["25% (1 of 4)", "0% (0 of 2)", one, "0% (0 of 1)", "0.00"]
    assert patches[2].detail and patches[6].detail and not whole[6].detail
    assert "0.25 of the union" in made.caption and "of 4 patients" in made.caption and "none left out" in made.caption


def test_the_section_is_shown_where_the_study_lists_it(results):
    (section,) = sections(results)
    assert (section.name, len(section.tables), section.said) == ("lesions", 1, [])


def test_arms_and_trainings_that_find_all_or_nothing_have_no_interval(results):
    (made,) = shown.detected(results)
    assert made.rows[1][3].detail == "", "no lesion below 1 ml was found"
