"""The user's own table."""

import numpy as np
import pandas as pd
import pytest

from crossmod.cohort.folder import listed_files, read_user_table, write_cohort
from crossmod.cohort.table import COLUMNS, read_cohort, read_record
from crossmod.job import UserError

LABELS = {1: "kidney", 2: "tumour"}


def test_patients_become_pseudonyms(tmp_path, save, mr, kidneys, user_cohort):
    rows = []
    for case, patient in (("b", "Doe 4711"), ("a", "Roe 0815"), ("c", "doe 4711 ")):
        save(tmp_path / "scans" / f"{case}.nii.gz", mr + len(rows))
        save(tmp_path / "scans" / f"{case}_label.nii.gz", kidneys)
        image, label = f"scans/{case}.nii.gz", f"scans/{case}_label.nii.gz"
        rows.append(
            {"case": case, "patient": patient, "modality": "MR", "image": image, "label": label, "field": "1.5 T"}
        )
    folder = user_cohort(rows, LABELS)
    cohort = read_cohort(folder)
    assert cohort.cases["patient"].tolist() == ["own-P0001", "own-P0002", "own-P0001"]
    assert list(cohort.cases.columns) == list(COLUMNS)
    assert cohort.root == tmp_path.resolve()
    everything = "".join(path.read_text() for path in folder.iterdir())
    assert "4711" not in everything and "0815" not in everything
    assert "error" not in set(pd.read_csv(folder / "faults.csv")["severity"])


def test_semicolons_and_excels_mark_are_read(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("case;patient;modality;image;label\n a ;1;MR;a.nii;\n", encoding="utf-8-sig")
    assert read_user_table(table)[0].iloc[0].tolist() == ["a", "1", "MR", "a.nii", ""]


def test_columns_are_named_all_at_once(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("case,patiant,Modality,image,patient_name,tumor_side\na,1,MR,a.nii,Doe,left\n")
    with pytest.raises(UserError) as error:
        read_user_table(table)
    text = str(error.value)
    assert "4 problems" in text
    assert "column 'patiant' is unknown; did you mean 'patient'?" in text
    assert "column 'Modality' is unknown; did you mean 'modality'?" in text
    assert "column 'tumor_side' is unknown; did you mean 'tumour_side'?" in text
    assert "column 'label' is missing; found: case, patiant" in text


def test_a_first_line_of_data_is_not_shown(tmp_path):
    (tmp_path / "t.csv").write_text("a,4711,MR,a.nii,\nb,0815,MR,b.nii,\n")
    with pytest.raises(UserError, match="names none of the columns case, patient") as error:
        read_user_table(tmp_path / "t.csv")
    assert "4711" not in str(error.value)


def test_empty_patients_and_missing_tables(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("case,patient,modality,image,label\na,,MR,a.nii,\nb,1,MR,b.nii,\nc,,MR,c.nii,\n")
    with pytest.raises(UserError, match=r"2 problems:\n  line 2: patient is empty\n  line 4: patient is empty"):
        read_user_table(table)
    with pytest.raises(UserError, match=r"no such table"):
        read_user_table(tmp_path / "absent.csv")


@pytest.mark.parametrize(
    ("column", "written", "read"),
    [
        *[("modality", text, "MR") for text in ("mr", "MRI")],
        *[
            ("sex", text, word)
            for text, word in (("M", "male"), ("Female", "female"), ("O", "unknown"), ("NA", "unknown"))
        ],
        *[
            ("tumour_side", text, word)
            for text, word in (("R", "right"), ("Both", "both"), ("None", "none"), ("", "unknown"))
        ],
        *[
            ("age", text, years)
            for text, years in (("045Y", 45), ("61.0", 61), ('"0,5"', 0.5), ("NA", None), ("", None))
        ],
        *[("label", text, "") for text in ("NA", "nan", "")],
    ],
)
def test_cells_are_understood_as_other_programs_write_them(tmp_path, column, written, read):
    cells = {"case": "NA", "patient": "1", "modality": "MR", "image": "a.nii", "label": "b.nii"} | {column: written}
    (tmp_path / "t.csv").write_text(f"{','.join(cells)}\n{','.join(cells.values())}\n")
    write_cohort("own", tmp_path, {"table": str(tmp_path / "t.csv"), "labels": {"1": "kidney"}})
    (case,) = read_cohort(tmp_path).cases.to_dict("records")
    assert case["case"] == "NA" and (np.isnan(case[column]) if read is None else case[column] == read)


@pytest.mark.parametrize(("column", "written"), [("age", "3M"), ("age", "1963"), ("sex", "x"), ("modality", "T2")])
def test_cells_that_are_not_understood_are_refused(tmp_path, column, written):
    cells = {"case": "a", "patient": "1", "modality": "MR", "image": "a.nii", "label": "b.nii"} | {column: written}
    (tmp_path / "t.csv").write_text(f"{','.join(cells)}\n{','.join(cells.values())}\n")
    with pytest.raises(UserError, match=f"{column} is '{written}'"):
        write_cohort("own", tmp_path, {"table": str(tmp_path / "t.csv"), "labels": {"1": "kidney"}})


def test_label_values_are_whole_numbers(tmp_path):
    (tmp_path / "t.csv").write_text("case,patient,modality,image,label\na,1,MR,a.nii,\n")
    with pytest.raises(UserError, match=r"labels\.right: a label value is a whole number"):
        write_cohort("own", tmp_path, {"table": str(tmp_path / "t.csv"), "labels": {"right": "kidney"}})


def test_a_relative_table_is_noted_relative_to_the_cohort(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "results" / "own").mkdir(parents=True)
    (tmp_path / "data" / "t.csv").write_text("case,patient,modality,image,label\na,1,MR,a.nii,\n")
    monkeypatch.chdir(tmp_path)
    write_cohort("own", tmp_path / "results" / "own", {"table": "data/t.csv", "labels": {"1": "kidney"}})
    record = read_record(tmp_path / "results" / "own")
    assert (record["root"], record["table"]) == ("../../data", "../../data/t.csv")
    assert read_cohort(tmp_path / "results" / "own").root == (tmp_path / "data").resolve()


def test_the_root_may_lie_elsewhere(tmp_path):
    (tmp_path / "scans").mkdir()
    (tmp_path / "own").mkdir()
    (tmp_path / "t.csv").write_text("case,patient,modality,image,label\na,1,MR,a.nii,\n")
    settings = {"table": str(tmp_path / "t.csv"), "root": str(tmp_path / "scans"), "labels": {1: "kidney"}}
    write_cohort("own", tmp_path / "own", settings)
    assert read_cohort(tmp_path / "own").root == (tmp_path / "scans").resolve()
    with pytest.raises(UserError, match=r"root is '.*absent', which is no folder"):
        write_cohort("own", tmp_path / "own", settings | {"root": str(tmp_path / "absent")})


IDENTIFYING = ["PatientID", "hospital_number", "Patient Name", "MRN", "dob", "accession", "patient.1", "field"]


@pytest.mark.parametrize("column", IDENTIFYING)
def test_other_columns_are_named_and_their_cells_go_nowhere(tmp_path, save, mr, kidneys, user_cohort, column, capsys):
    save(tmp_path / "a.nii.gz", mr)
    save(tmp_path / "l.nii.gz", kidneys)
    row = {"case": "a", "patient": "X-4711", "modality": "MR", "image": "a.nii.gz", "label": "l.nii.gz"}
    folder = user_cohort([row | {column: "X-0815"}], LABELS)
    assert f"that results do not need are left out: {column}" in capsys.readouterr().err
    everything = "".join(path.read_text() for path in folder.iterdir())
    assert "X-4711" not in everything and "X-0815" not in everything and column not in everything


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("case,patient,modality,image,label,label", "two columns are called 'label'"),
        ("case,patient,modality,image,label,Label ", "'label' and 'Label' have the same name"),
        ("case,patient,patient,image,label,modality", "two columns are called 'patient'"),
        ("case,patient,modality,image,label,pat ient", "'patient' and 'pat ient' have the same name"),
    ],
)
def test_doubled_columns_are_refused_without_their_cells(tmp_path, header, message):
    (tmp_path / "t.csv").write_text(header + "\na,4711,MR,a.nii,l.nii,0815\n")
    with pytest.raises(UserError, match=message) as error:
        read_user_table(tmp_path / "t.csv")
    assert "4711" not in str(error.value) and "0815" not in str(error.value)


def test_files_that_a_table_lists_may_have_impossible_names(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    names = ["loop", "x" * 300, "a.nii"]
    lines = [f"{n},p{n},MR,{name}," for n, name in enumerate(names)]
    (tmp_path / "t.csv").write_text("case,patient,modality,image,label\n" + "\n".join(lines))
    (tmp_path / "a.nii").touch()
    assert listed_files(tmp_path / "t.csv") == [tmp_path / "t.csv", tmp_path / "a.nii"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labels": {"²": "kidney"}}, "labels.²: a label value is a whole number"),
        ({"labels": {"01": "kidney"}}, "labels.01: a label value is a whole number"),
        ({"labels": {"9" * 5000: "kidney"}}, "a label value is a whole number"),
        ({"labels": ["kidney"]}, "labels is .*it must be value: structure"),
        ({"table": 5}, "table is 5; it must be a path"),
        ({"root": "x" * 300}, "which is no folder"),
    ],
)
def test_settings_of_other_kinds_are_refused(tmp_path, settings, message):
    (tmp_path / "t.csv").write_text("case,patient,modality,image,label\na,1,MR,a.nii,\n")
    with pytest.raises(UserError, match=message):
        write_cohort("own", tmp_path, {"table": str(tmp_path / "t.csv"), "labels": {"1": "kidney"}} | settings)


@pytest.mark.real
def test_real_fat_suppressed_mr_pass(tmp_path, real_data, user_cohort):
    import nibabel as nib
    import numpy as np

    from crossmod.cohort import run
    from crossmod.job import Job
    from crossmod.scans.files import read_scan
    from crossmod.scans.match import labels_on_image_grid

    numbers = sorted(path.name[6:-7] for path in (real_data / "chaos_t2spir").glob("image_*.nii.gz"))
    rows = [
        {"case": f"chaos-{n}", "patient": n, "modality": "MR", "sequence": "fs-t2", "image": f"image_{n}.nii.gz",
         "label": f"label_{n}.nii.gz"}
        for n in numbers
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    labels = {1: "liver", 2: "right_kidney", 3: "left_kidney", 4: "spleen"}
    settings = {"name": "mr_real", "source": "folder", "table": str(tmp_path / "t.csv"), "labels": labels}
    settings["root"] = str(real_data / "chaos_t2spir")
    run(Job("cohort", {}, {"folder": str(tmp_path / "mr_real")}, settings))
    cohort = read_cohort(tmp_path / "mr_real")
    assert len(cohort.cases) == 9
    faults = pd.read_csv(tmp_path / "mr_real" / "faults.csv")
    cut = "right_kidney reaches the edge of the image and may be cut"
    assert faults[["case", "severity", "problem"]].to_numpy().tolist() == [["chaos-15", "warning", cut]]
    for row in cohort.cases.itertuples():
        image = read_scan(cohort.root / row.image)
        array = labels_on_image_grid(read_scan(cohort.root / row.label), image)
        liver, right, left, spleen = (
            nib.affines.apply_affine(image.affine, np.argwhere(array == value)).mean(axis=0) for value in (1, 2, 3, 4)
        )
        # The affine grows towards the patient's right, where the liver is, and upwards, where liver and spleen are.
        assert right[0] > left[0] + 80 and liver[0] > spleen[0] + 80
        assert liver[2] > right[2] and spleen[2] > left[2]


@pytest.mark.real
def test_real_scans_of_other_makes(real_data, tmp_path):
    from crossmod.cohort import run
    from crossmod.job import Job

    organs = {1: "spleen", 2: "right_kidney", 3: "left_kidney", 4: "gallbladder", 5: "liver"}
    labels = {value: organs.get(value, "other") for value in range(1, 118)}
    rows = [
        ("ts-ct", "CT", "totalsegmentator/example_ct.nii.gz", "totalsegmentator/example_seg_fast_force_split.nii.gz")
    ]
    rows += [("ts-dicom", "CT", "totalsegmentator/example_ct_dicom", "totalsegmentator/example_seg_dicom.nii.gz")]
    rows += [("ts-mr", "MR", "totalsegmentator/example_mr_sm.nii.gz", "totalsegmentator/example_seg_mr.nii.gz")]
    rows += [
        (maker, "MR", f"ukat_kidney/{maker}_01_e1_mag.nii.gz", f"ukat_kidney/{maker}_01_kidneys.nii.gz")
        for maker in ("ge", "philips", "siemens")
    ]
    table = pd.DataFrame(rows, columns=["case", "modality", "image", "label"])
    table["patient"] = table["case"]
    table.to_csv(tmp_path / "t.csv", index=False)
    settings = {"name": "real", "source": "folder", "table": str(tmp_path / "t.csv"), "labels": labels}
    run(Job("cohort", {}, {"folder": str(tmp_path / "real")}, settings | {"root": str(real_data)}))
    faults = pd.read_csv(tmp_path / "real" / "faults.csv")
    assert set(faults["severity"]) == {"warning"}
    # The DICOM series and its label map are stored with opposite second axes: fixable, and said.
    assert faults.loc[faults["case"] == "ts-dicom", "problem"].tolist() == [
        "the label is on another grid over the same space"
    ]
    cut = [f"{side}_kidney reaches the edge of the image and may be cut" for side in ("right", "left")]
    for case in ("ts-mr", "philips", "siemens"):
        assert faults.loc[faults["case"] == case, "problem"].tolist() == cut
    assert set(faults["case"]) == {"ts-dicom", "ts-mr", "philips", "siemens"}
    facts = pd.read_csv(tmp_path / "real" / "facts.csv").set_index("case")
    assert facts.loc["ts-ct", "min"] < -1000
    assert facts["image_sha256"].is_unique
