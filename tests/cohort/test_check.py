"""The one check of every cohort: each fault with its case, file, value and cure, all at once."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from crossmod.cohort import run, run_check
from crossmod.cohort.check import check_cohorts, refuse_errors
from crossmod.cohort.inspection import FACTS, FAULTS, image_digest
from crossmod.job import Job, UserError
from crossmod.scans.scan import Scan

LABELS = {1: "parenchyma", 2: "tumour"}


@pytest.fixture
def scans(tmp_path, save, ct, mr, kidneys, affine):
    """A good CT, and one case for every fault; returns the rows of the user's table."""
    rows = []

    def case(name, image, label=kidneys, modality="CT", image_at=None, label_at=None, **columns):
        save(tmp_path / f"{name}.nii.gz", image, image_at)
        row = {"case": name, "patient": f"n-{name}", "modality": modality, "image": f"{name}.nii.gz", "label": ""}
        if label is not None:
            save(tmp_path / f"{name}_label.nii.gz", label, label_at)
            row["label"] = f"{name}_label.nii.gz"
        rows.append(row | columns)

    def vary(volume):
        changed = volume.copy()
        changed[0, 0, 0] += len(rows) + 1
        return changed

    near, turned = affine.copy(), affine @ np.diag([1.0, -1.0, 1.0, 1.0])
    near[0, 3] += 0.4
    turned[1, 3] += 8.0 * 19
    holes = ct.astype(np.float32)
    holes[3, 3, 3:5] = np.nan
    case("good", vary(ct), tumour_side="right")
    case("unlabelled", vary(ct), label=None)
    case("cut", vary(ct))
    (tmp_path / "cut.nii.gz").write_bytes((tmp_path / "cut.nii.gz").read_bytes()[:500])
    case("holes", holes)
    case("constant", np.zeros_like(ct))
    case("rounding", vary(ct), label_at=near)
    case("turned", vary(ct), label=kidneys[:, ::-1], label_at=turned)
    case("elsewhere", vary(ct), label_at=np.eye(4))
    case("empty", vary(ct), label=np.zeros_like(kidneys))
    case("unknown", vary(ct), label=np.where(kidneys == 2, 9, kidneys).astype(np.uint8))
    case("soft", vary(ct), label=kidneys.astype(np.float32) / 2)
    case("hounsfield", vary(ct), modality="MR")
    case("magnitude", vary(mr))
    case("side", vary(ct), tumour_side="left")
    case("absent", vary(ct))
    (tmp_path / "absent_label.nii.gz").unlink()
    return rows


EXPECTED = [
    ("cut", "error", "cut.nii.gz", "the file cannot be read", "EOFError", "Copy or convert it again"),
    ("holes", "error", "holes.nii.gz", "voxels without a number", "2 voxels are NaN", "Convert the scan again"),
    ("constant", "error", "constant.nii.gz", "the image is constant", "every voxel is 0", "Export the scan again"),
    ("rounding", "warning", "rounding_label.nii.gz", "differ by rounding", "0.05 voxels apart", "Nothing to do."),
    ("turned", "warning", "turned_label.nii.gz", "another grid over the same space", "RPS", "will be resampled"),
    ("elsewhere", "error", "elsewhere_label.nii.gz", "another space", "1×1×1 mm", "drawn on this image"),
    ("empty", "error", "empty_label.nii.gz", "the label map is empty", "every voxel is 0", "leave label empty"),
    (
        "unknown",
        "error",
        "unknown_label.nii.gz",
        "values without a name",
        "9; declared: 1 parenchyma, 2 tumour",
        "Name",
    ),
    ("soft", "error", "soft_label.nii.gz", "not a label map", "not 0.5", "Give the label map"),
    ("hounsfield", "error", "hounsfield.nii.gz", "called MR", "values from -1000 to 59", "Set modality to CT"),
    (
        "magnitude",
        "error",
        "magnitude.nii.gz",
        "called CT, but nothing is below 0 HU",
        "values from 0 to",
        "modality to MR",
    ),
    ("side", "error", "side_label.nii.gz", "tumour_side contradicts", "says left, the label map says right", "Correct"),
    ("absent", "error", "absent_label.nii.gz", "no such file", "", "Mend the path"),
]  # fmt: skip


@pytest.mark.parametrize("threads", [1, 2])
def test_every_fault_is_listed_at_once(scans, user_cohort, threads):
    folder = user_cohort(scans, LABELS, threads=threads)
    faults = pd.read_csv(folder / "faults.csv", keep_default_na=False)
    assert list(faults.columns) == list(FAULTS)
    found = faults.drop(columns="cohort").to_numpy().tolist()
    assert len(found) == len(EXPECTED), faults.to_string()
    for row, expected in zip(found, EXPECTED, strict=True):
        assert row[:3] == list(expected[:3])
        for text, part in zip(row[3:], expected[3:], strict=True):
            assert part in text
    assert set(faults["cohort"]) == {"own"}


def test_facts_are_those_of_the_files(scans, user_cohort, tmp_path):
    folder = user_cohort(scans[:3], LABELS)
    facts = pd.read_csv(folder / "facts.csv")
    assert list(facts.columns) == list(FACTS)
    good = facts.iloc[0]
    assert (good["shape_x"], good["shape_y"], good["shape_z"]) == (24, 20, 12)
    assert (good["spacing_x_mm"], good["spacing_z_mm"]) == (8.0, 10.0)
    assert (good["min"], good["label_values"]) == (-1000.0, "0 1 2")
    assert facts.iloc[1]["image_sha256"] != good["image_sha256"]
    assert facts.iloc[2].drop(["case", "label_values"]).isna().all()


def test_a_second_run_gives_the_same_bytes(scans, user_cohort):
    folder = user_cohort(scans, LABELS)
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    user_cohort(scans, LABELS, threads=2)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first
    assert set(first) == {"cohort.json", "private.json", "cases.csv", "facts.csv", "faults.csv"}


def test_errors_stop_after_the_list_is_written(scans, user_cohort, tmp_path, capsys):
    folder = user_cohort(scans, LABELS)
    check = tmp_path / "check.csv"
    with pytest.raises(UserError) as error:
        run_check(Job("cohort", {"cohorts": [str(folder)]}, {"check": str(check)}, {}))
    text = str(error.value)
    assert text.startswith("11 faults in the cohorts; nothing was trained:\n")
    assert "  own/side: side_label.nii.gz: tumour_side contradicts the labels (the table says left" in text
    assert "rounding" not in text
    told = capsys.readouterr().err
    assert "2 warnings in the cohorts; all of them are in" in told and "own/rounding: rounding_label.nii.gz" in told
    table = pd.read_csv(check, keep_default_na=False)
    assert table["severity"].tolist() == ["error"] * 11 + ["warning"] * 2


def test_good_cohorts_pass(scans, user_cohort, tmp_path):
    one = user_cohort(scans[:1], LABELS, "one")
    two = user_cohort(scans[1:2], LABELS, "two")
    check = tmp_path / "check.csv"
    run_check(Job("cohort", {"cohorts": [str(one), str(two)]}, {"check": str(check)}, {}))
    assert check.read_text() == ",".join(FAULTS) + "\n"


def test_patients_and_images_in_two_places(scans, user_cohort):
    good, other = scans[0], scans[1]
    one = user_cohort([good], LABELS, "one")
    same_patient = other | {"patient": f" {good['patient'].upper()}"}
    same_image = good | {"case": "copy", "patient": "somebody else"}
    same_name = scans[5] | {"case": "good"}
    two = user_cohort([same_patient, same_image, same_name], LABELS, "two")
    faults = check_cohorts([one, two])
    errors = faults[faults["severity"] == "error"].set_index("problem")
    assert errors.index.tolist() == ["duplicate image", "the patient is in two cohorts"]
    assert errors.loc["duplicate image", "case"] == "copy"
    assert "the same voxels as one/good" in errors.loc["duplicate image", "value"]
    shared = errors.loc["the patient is in two cohorts"]
    assert (shared["case"], shared["value"]) == ("unlabelled", "the patient of one/good")
    assert "prefix the numbers with the hospital" in shared["cure"]
    assert "n-good" not in faults.to_string().lower()
    names = faults[faults["problem"] == "the case name is used in another cohort"]
    assert names[["cohort", "case", "severity", "value"]].to_numpy().tolist() == [["two", "good", "warning", "one"]]
    with pytest.raises(UserError, match=r"2 faults in the cohorts"):
        refuse_errors(faults)


def test_a_patient_may_validate_in_two_cohorts_of_which_neither_trains(scans, user_cohort):
    """T1 and T2 of the same people are two validation sets; a training that saw one of them is refused."""
    one = user_cohort(scans[:1], LABELS, "one")
    two = user_cohort([scans[1] | {"patient": scans[0]["patient"]}], LABELS, "two")
    for training, severity in (
        ({"three"}, "warning"),
        ({"one"}, "error"),
        ({"two", "three"}, "error"),
        (None, "error"),
    ):
        faults = check_cohorts([one, two], training)
        (row,) = faults[faults["problem"] == "the patient is in two cohorts"].to_dict("records")
        assert row["severity"] == severity
        assert ("neither cohort trains" in row["cure"]) == (severity == "warning")


def test_a_table_that_is_gone_cannot_be_compared(scans, user_cohort, tmp_path):
    one = user_cohort(scans[:1], LABELS, "one")
    two = user_cohort(scans[1:2], LABELS, "two")
    (tmp_path / "one.csv").unlink()
    assert len(check_cohorts([one])) == 0
    with pytest.raises(UserError, match=r"Cohort 'one': its patients cannot be compared.*Put it back"):
        check_cohorts([one, two])


def test_an_image_twice_in_one_cohort(scans, user_cohort):
    folder = user_cohort([scans[0], scans[0] | {"case": "again"}], LABELS)
    faults = check_cohorts([folder])
    assert faults[["case", "problem"]].to_numpy().tolist() == [["again", "duplicate image"]]


def test_a_copy_is_known_in_another_dress(ct, affine):
    original = image_digest(Scan(ct, affine))
    turned = affine @ np.diag([-1.0, 1, 1, 1])
    turned[0, 3] += 8.0 * 23
    assert image_digest(Scan(ct[::-1], turned)) == original
    assert image_digest(Scan(ct.astype(np.float32), affine)) == original
    assert image_digest(Scan(ct[::-1], affine)) != original
    assert image_digest(Scan(ct, affine @ np.diag([1, 1, 1.1, 1]))) != original


def test_an_unknown_source_is_refused_with_the_nearest(tmp_path):
    settings = {"name": "x", "source": "kits"}
    with pytest.raises(UserError, match=r"no source 'kits'; did you mean 'kits23'\?"):
        run(Job("cohort", {}, {"folder": str(tmp_path / "x")}, settings))


def test_importing_the_step_is_cheap():
    code = "import crossmod.cohort, sys; sys.exit('numpy' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_missing_settings_are_named(tmp_path):
    for source, missing in (("folder", "table, labels"), ("chaos", "root")):
        settings = {"name": "x", "source": source, "table": None}
        with pytest.raises(UserError, match=f"Cohort 'x': the settings need {missing}"):
            run(Job("cohort", {}, {"folder": str(tmp_path / "x")}, settings))


def test_nothing_half_written_stays(tmp_path):
    settings = {"name": "x", "source": "folder", "table": str(tmp_path / "absent.csv"), "labels": {1: "kidney"}}
    with pytest.raises(UserError, match="no such table"):
        run(Job("cohort", {}, {"folder": str(tmp_path / "x")}, settings))
    assert list(tmp_path.iterdir()) == []
