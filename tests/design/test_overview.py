"""The overview names every arm and training of a study once, and says of each training who needs it."""

import shutil

import pytest
from typer.testing import CliRunner

from crossmod.cli import app
from crossmod.design.arms import arms, trainings
from crossmod.design.compose import compose
from crossmod.design.overview import Sheet, differences, drawn, needed, overview, reasons, sheets
from tests.conftest import ROOT

INVENTED = ["treatments", "teachers", "slices"]


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """The project's own study and the invented ones, composed."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "conf", folder / "conf")
    shutil.copytree(ROOT / "tests/studies/conf", folder / "conf", dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return {"default": compose([])} | {name: compose([f"study={name}", "scale=smoke"]) for name in INVENTED}


def sheet(study, word):
    (found,) = [sheet for sheet in sheets(study) if word in sheet.title]
    return found


def column(sheet, name):
    place = sheet.columns.index(name)
    return {row[0]: row[place] for row in sheet.rows}


def test_every_arm_and_training_stands_in_it_once(studies):
    for study in studies.values():
        assert [row[0] for row in sheet(study, "what is compared").rows] == [arm.name for arm in arms(study)]
        assert [row[0] for row in sheet(study, "what is fitted").rows] == list(trainings(study))


def test_no_training_exists_without_a_reason(studies):
    for study in studies.values():
        assert list(reasons(study)) == list(trainings(study))
        assert all(reasons(study).values())


def test_arms_show_their_levels_and_a_column_of_nothing_is_left_out(studies):
    found = sheet(studies["default"], "what is compared")
    assert found.columns == ["arm", "strategy", "amount", "subset", "set", "stages"]
    assert found.rows[1] == ["mrA040", "pure", "40", "A", "mrA040", "kidney → parenchyma"]


def test_treatments_share_a_training_and_a_program_has_none(studies):
    study = studies["treatments"]
    assert column(sheet(study, "what is fitted"), "needed by")["ct/kidney"] == (
        "arms ct-kidney-unprocessed-own, ct-kidney-inverted-own, ct-kidney-black-own"
    )
    compared = sheet(study, "what is compared")
    assert "threshold.py" in column(compared, "program")["kidney-inverted-threshold"]
    assert column(compared, "treat")["kidney-inverted-threshold"] == "inverted"


def test_a_site_tells_which_arms_it_validates(studies):
    assert column(sheet(studies["treatments"], "2 sites"), "arms of") == {
        "mr": "",
        "scanned": "treatment unprocessed; tool own",
    }
    assert "arms of" not in overview(studies["default"])


def test_trainings_of_a_teacher_and_those_that_wait_for_it_are_told(studies):
    study = studies["teachers"]
    fitted = sheet(study, "what is fitted")
    assert column(fitted, "needed by")["ct/parenchyma/fold1"] == "teacher old"
    assert column(fitted, "labelled by")["taught/parts/fold0"] == "old"
    assert column(fitted, "labelled by")["ct/tumour/fold0"] == ""
    assert column(fitted, "fold")["ct/tumour/fold1"] == "1 of 2"
    assert sheet(study, "derived cohort").rows == [["taught", "ct", "parenchyma by old, tumour by reference"]]
    assert column(sheet(study, "1 teacher"), "labels") == {"old": "taught: parenchyma"}


def test_a_start_and_what_differs_from_the_studys_own_training_are_told(studies):
    fitted = sheet(studies["slices"], "what is fitted")
    assert column(fitted, "start")["mr3-restore-adamw/kidney"] == "mr3-adamw/restore"
    assert column(fitted, "start")["mr3-none-sgd/kidney"] == "random weights"
    assert column(fitted, "needed by")["mr3-adamw/restore"] == "start of mr3-restore-adamw/kidney"
    assert column(fitted, "differs")["mr3-none-sgd/kidney"] == "optimiser=SGD, clip_norm=12.0, average=0.9"


def test_differences_name_the_deepest_key():
    own = {"batch": 2, "optimiser": {"_target_": "a.B", "lr": 1.0, "momentum": 0.9}}
    assert list(differences(own, own)) == []
    slower = {**own, "optimiser": {**own["optimiser"], "lr": 0.1}}
    assert list(differences(own, slower)) == ["optimiser.lr=0.1"]
    assert list(differences(own, {"batch": 4, "optimiser": {"_target_": "c.D"}})) == ["batch=4", "optimiser=D"]


def test_many_reasons_are_shortened():
    assert needed([f"arm a{number}" for number in range(6)]) == "arms a0, a1, a2, a3 and 2 more"
    assert needed(["arm a", "teacher t", "start of b"]) == "arm a; teacher t; start of b"


def test_lines_are_aligned_and_only_the_last_column_is_wrapped():
    table = Sheet("two of them", ["name", "why"], [["a", "one two three four five six seven"], ["longer", ""]])
    assert drawn(table).splitlines() == [
        "two of them",
        "  name    why",
        "  a       one two three four five six seven",
        "  longer",
    ]
    assert drawn(table, width=30).splitlines()[2:4] == ["  a       one two three four five", "          six seven"]


def test_empty_tables_are_left_out(studies):
    text = overview(studies["default"])
    assert "teacher" not in text and "derived" not in text
    assert text.startswith(f"{studies['default']['study']}, scale laptop, seed 0\n\n13 arms")
    assert not any(line != line.rstrip() for line in text.splitlines())


def test_the_command_prints_it_with_the_overrides():
    said = CliRunner().invoke(app, ["config", "--arms", "pools.mr.amounts=[20]", "seeds=[0,1]"])
    assert said.exit_code == 0, said.output
    assert "seeds 0, 1" in said.output and "10 trainings × 2 seeds" in said.output
    assert "ct116+mrB020/kidney" in said.output


def test_seeds_are_a_column_where_arms_differ_in_them(studies):
    study = studies["slices"]
    arms_sheet, fitted = sheet(study, "what is compared"), sheet(study, "what is fitted")
    assert set(column(arms_sheet, "seeds").values()) == {"0", "0, 1"}
    asked = [len(seeds.split(", ")) for seeds in column(fitted, "seeds").values()]
    assert f", {sum(asked)} networks with their seeds" in fitted.title
    assert "seeds" not in sheet(studies["default"], "what is compared").columns
