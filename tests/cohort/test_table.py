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
        "case 'b b': sex is 'f'; valid: male, female, unknown",
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
