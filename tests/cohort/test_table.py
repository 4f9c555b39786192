"""The table of cases."""

import json

import numpy as np
import pandas as pd
import pytest

from crossmod.cohort.table import COLUMNS, read_cohort, write_table
from crossmod.job import UserError

LABELS = {2: "left_kidney", 1: "right_kidney"}


def rows(**changes):
    row = {"case": "a", "patient": "P1", "modality": "MR", "image": "a.nii.gz", "label": "a_label.nii.gz"}
    return pd.DataFrame([row | changes])


def write(folder, cases, labels=LABELS, root="."):
    folder.mkdir(exist_ok=True)
    write_table(folder, name="own", source="folder", root=root, labels=labels, cases=cases)


def test_what_is_written_is_read(tmp_path):
    write(tmp_path / "own", rows(age="61", sex="female", scanner="X").astype(object))
    cohort = read_cohort(tmp_path / "own")
    assert (cohort.name, cohort.source, cohort.simulated) == ("own", "folder", False)
    assert cohort.root == (tmp_path / "own").resolve()
    assert cohort.labels == {1: "right_kidney", 2: "left_kidney"}
    assert list(cohort.cases.columns) == [*COLUMNS, "scanner"]
    row = cohort.cases.iloc[0]
    assert (row["age"], row["sex"], row["tumour_side"], row["sequence"]) == (61.0, "female", "unknown", "unknown")
    assert (tmp_path / "own" / "cases.csv").read_text().endswith(",female,61,X\n")


def test_optional_columns_may_be_absent_or_empty(tmp_path):
    write(tmp_path / "own", rows(label=None, age=None))
    row = read_cohort(tmp_path / "own").cases.iloc[0]
    assert row["label"] == "" and np.isnan(row["age"])


def test_a_relative_root_starts_at_the_cohort(tmp_path):
    (tmp_path / "scans").mkdir()
    write(tmp_path / "own", rows(), root="../scans")
    assert read_cohort(tmp_path / "own").root == (tmp_path / "scans").resolve()


def test_all_faults_at_once(tmp_path):
    cases = pd.concat(
        [rows(), rows(modality="mri"), rows(case="b b", sex="f", age="forty"), rows(case="c", age="140", patient="")]
    )
    with pytest.raises(UserError) as error:
        write(tmp_path / "own", cases, {0: "background", 3: "kidney_left"})
    text = str(error.value)
    for part in (
        "9 problems",
        "labels.0: 0 is the background",
        "labels.3: 'kidney_left' is not a known structure; did you mean 'left_kidney'?",
        "case 'a': the name occurs 2 times",
        "case 'a': modality is 'mri'; did you mean 'MR'?",
        "case 'b b': case is 'b b'; use up to 100 letters",
        "case 'b b': sex is 'f'; valid: female, male, unknown",
        "case 'b b': age is 'forty'; write",
        "case 'c': age is '140'",
        "case 'c': patient is empty",
    ):
        assert part in text


@pytest.mark.parametrize("path", ["../secret.nii.gz", "/etc/passwd", "link/secret.nii.gz", "a/../../secret.nii.gz"])
@pytest.mark.parametrize("column", ["image", "label"])
def test_paths_stay_inside(tmp_path, path, column):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "link").symlink_to(tmp_path)
    with pytest.raises(UserError, match=rf"{column} is '.*', which leads out of"):
        write(tmp_path / "own", rows(**{column: path}))


def test_links_inside_the_root_are_fine(tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "store").mkdir()
    (tmp_path / "own" / "link").symlink_to("store")
    write(tmp_path / "own", rows(image="link/a.nii.gz"))
    assert len(read_cohort(tmp_path / "own").cases) == 1


def test_an_altered_table_is_checked_again(tmp_path):
    write(tmp_path / "own", rows())
    path = tmp_path / "own" / "cases.csv"
    path.write_text(path.read_text().replace("a.nii.gz", "../a.nii.gz"))
    with pytest.raises(UserError, match=r"cases\.csv: 1 problem:\n.*leads out of"):
        read_cohort(tmp_path / "own")
    path.write_text("case,patient\na,b\n")
    with pytest.raises(UserError, match=r"column 'modality' is missing"):
        read_cohort(tmp_path / "own")


def test_what_is_no_cohort_says_so(tmp_path):
    with pytest.raises(UserError, match=r"cohort\.json: not a cohort"):
        read_cohort(tmp_path)
    (tmp_path / "cohort.json").write_text(json.dumps({"name": "x"}))
    with pytest.raises(UserError, match=r"no entry labels, root, simulated, source"):
        read_cohort(tmp_path)
    with pytest.raises(UserError, match=r"the table has no case"):
        write(tmp_path / "own", rows()[:0])


@pytest.mark.parametrize("case", ["001", "NA", "None", "1e5", "TRUE", "-", "1.0", "a" * 100])
def test_case_names_are_text(tmp_path, case):
    write(tmp_path / "own", rows(case=case))
    assert read_cohort(tmp_path / "own").cases["case"].tolist() == [case]


@pytest.mark.parametrize("case", ["", ".", "..", ".x", "a/b", "a" * 101, "ä", "²", "+1", "=x", "a b"])
def test_names_that_no_file_should_have_are_refused(tmp_path, case):
    with pytest.raises(UserError, match="use up to 100 letters"):
        write(tmp_path / "own", rows(case=case))


def test_names_that_differ_by_capitals_only_are_refused(tmp_path):
    with pytest.raises(UserError, match="cases a, A: the names differ by capitals only"):
        write(tmp_path / "own", pd.concat([rows(), rows(case="A"), rows(case="b")]))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("loop", "cannot be followed"),
        ("loop/a.nii", "cannot be followed"),
        ("x" * 300, "no file can be called"),
        ("x/" * 3000, "no file can be called"),
        ("a\0b", "no file can be called"),
        ("scans\\a.nii", "'/' between folders"),
        ("C:\\a.nii", "'/' between folders"),
        ("~/a.nii", "from the root on"),
    ],
)
@pytest.mark.parametrize("column", ["image", "label"])
def test_paths_that_lead_nowhere_are_refused(tmp_path, column, path, message):
    (tmp_path / "own").mkdir()
    (tmp_path / "own/loop").symlink_to("loop")
    with pytest.raises(UserError, match=message):
        write(tmp_path / "own", rows(**{column: path}))


@pytest.mark.parametrize("age", ["061Y", "6_1", "61,5", "nan", "1e1", "-1", "121", "inf"])
def test_ages_that_are_none_are_refused(tmp_path, age):
    with pytest.raises(UserError, match="age is"):
        write(tmp_path / "own", rows(age=age))


def test_labels_that_are_none_are_refused(tmp_path):
    for labels in ({2**31: "kidney"}, {1: 5}, {1: None}):
        with pytest.raises(UserError, match="values go up to|is no name"):
            write(tmp_path / "own", rows(), labels)
    write(tmp_path / "own", rows())
    record = json.loads((tmp_path / "own/cohort.json").read_text())
    (tmp_path / "own/cohort.json").write_text(json.dumps(record | {"labels": {"²": "kidney"}}))
    with pytest.raises(UserError, match="labels.²: no label value"):
        read_cohort(tmp_path / "own")


def test_paths_of_the_machine_lie_in_a_file_of_their_own(tmp_path):
    (tmp_path / "scans").mkdir()
    write(tmp_path / "own", rows(), root=str(tmp_path / "scans"))
    assert str(tmp_path) not in (tmp_path / "own/cohort.json").read_text()
    assert json.loads((tmp_path / "own/private.json").read_text()) == {"root": str(tmp_path / "scans")}
    assert read_cohort(tmp_path / "own").root == (tmp_path / "scans").resolve()
