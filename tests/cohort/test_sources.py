"""Each public data set, on a miniature copy of its layout."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from crossmod.cohort import run
from crossmod.cohort.table import read_cohort
from crossmod.job import Job, UserError
from crossmod.scans.files import read_scan


@pytest.fixture
def make(tmp_path):
    """Run the cohort step on a source; returns the cohort and its faults."""

    def run_source(source, root, threads=1, **settings):
        folder = tmp_path / "results" / source
        settings = {"name": source, "source": source, "root": str(root)} | settings
        run(Job("cohort", {}, {"folder": str(folder)}, settings, threads))
        return read_cohort(folder), pd.read_csv(folder / "faults.csv", keep_default_na=False)

    return run_source


# KiTS23


@pytest.fixture
def kits(tmp_path, save, ct, kidneys, affine):
    dataset = tmp_path / "kits23" / "dataset"
    left_in_front = affine @ np.diag([-1.0, 1, 1, 1])
    left_in_front[0, 3] *= -1
    for number, at in ((0, affine), (1, left_in_front), (2, affine)):
        ct[0, 0, 0] = -900 + number
        save(dataset / f"case_{number:05d}" / "segmentation.nii.gz", kidneys, at)
        if number < 2:
            save(dataset / f"case_{number:05d}" / "imaging.nii.gz", ct, at)
    people = [
        {
            "case_id": "case_00000",
            "gender": "male",
            "age_at_nephrectomy": 49,
            "tumor_histologic_subtype": "clear_cell_rcc",
        },
        {"case_id": "case_00001", "gender": "female", "age_at_nephrectomy": ">=90", "tumor_histologic_subtype": None},
    ]
    (dataset / "kits23.json").write_text(json.dumps(people))
    return tmp_path / "kits23"


@pytest.mark.parametrize("threads", [1, 2])
def test_kits23(make, kits, threads):
    cohort, faults = make("kits23", kits, threads)
    assert cohort.root == (kits / "dataset").resolve()
    assert cohort.labels == {1: "parenchyma", 2: "tumour", 3: "cyst"}
    rows = cohort.cases
    assert rows["case"].tolist() == ["case_00000", "case_00001"]
    assert rows["patient"].tolist() == ["kits23-00000", "kits23-00001"]
    assert rows["tumour_side"].tolist() == ["right", "left"]
    assert rows["sex"].tolist() == ["male", "female"]
    assert rows["age"].tolist() == [49.0, 90.0]
    assert rows["histology"].tolist() == ["clear_cell_rcc", "unknown"]
    assert len(faults) == 0
    assert read_scan(cohort.root / rows["image"][0]).array.min() == -1000


def test_kits23_names_cases_without_images(make, kits, tmp_path):
    cohort, _ = make("kits23", kits / "dataset")
    record = json.loads((tmp_path / "results" / "kits23" / "cohort.json").read_text())
    assert record["left_out"] == {"case_00002": "no imaging.nii.gz"}
    assert "case_00002" not in cohort.cases["case"].tolist()
    for image in kits.rglob("imaging.nii.gz"):
        image.unlink()
    with pytest.raises(UserError, match=r"none of the 3 cases.*has imaging\.nii\.gz.*kits23_download_data"):
        make("kits23", kits)


def test_another_layout_is_refused(make, tmp_path):
    with pytest.raises(UserError, match=r"holds nothing like 'case_\*/segmentation\.nii\.gz'"):
        make("kits23", tmp_path)
    with pytest.raises(UserError, match=r"is no folder; it should hold 'imagesTr"):
        make("amos22", tmp_path / "absent")


def test_kits23_lists_every_case_that_lacks_something(make, kits, tmp_path):
    dataset = kits / "dataset"
    shutil.copytree(dataset / "case_00000", dataset / "case_00007")
    (dataset / "case_00007" / "segmentation.nii.gz").unlink()
    (dataset / "case_00008").mkdir()
    (dataset / "._case_00009").write_bytes(b"")
    make("kits23", kits)
    record = json.loads((tmp_path / "results" / "kits23" / "cohort.json").read_text())
    assert record["left_out"] == {
        "case_00002": "no imaging.nii.gz",
        "case_00007": "no segmentation.nii.gz",
        "case_00008": "no imaging.nii.gz, no segmentation.nii.gz",
    }


# AMOS22


@pytest.fixture
def amos(tmp_path, save, ct, mr, kidneys):
    root = tmp_path / "amos22"
    labels = np.where(kidneys > 0, 3, 0).astype(np.uint8)
    labels[12:] = np.where(kidneys[12:] > 0, 2, 0)
    for part, number, image in (
        ("Tr", 4, ct),
        ("Va", 500, ct + 1),
        ("Tr", 507, mr),
        ("Tr", 600, mr + 1),
        ("Ts", 551, mr),
    ):
        save(root / f"images{part}" / f"amos_{number:04d}.nii.gz", image)
        if number not in (551, 600):
            save(root / f"labels{part}" / f"amos_{number:04d}.nii.gz", labels)
    meta = "amos_id,Patient's Sex,Patient's Age\n4,F,061Y\n507,M,\n"
    (tmp_path / "labeled_data_meta_0000_0599.csv").write_text(meta)
    return root


def test_amos22(make, amos):
    cohort, faults = make("amos22", amos)
    rows = cohort.cases
    assert rows["case"].tolist() == ["amos_0004", "amos_0500", "amos_0507"]
    assert rows["modality"].tolist() == ["CT", "CT", "MR"]
    assert rows["label"].tolist()[1] == "labelsVa/amos_0500.nii.gz"
    assert rows["sex"].tolist() == ["female", "unknown", "male"]
    assert rows["age"].tolist()[0] == 61
    assert (cohort.labels[2], cohort.labels[3]) == ("right_kidney", "left_kidney")
    assert len(faults) == 0
    # The patient's right kidney is the one at high x.
    label = read_scan(cohort.root / rows["label"][0])
    assert (label.affine @ [*np.argwhere(label.array == 2).mean(axis=0), 1])[0] > 0


def test_amos22_one_modality(make, amos, tmp_path):
    cohort, _ = make("amos22", amos, modality="MR")
    assert cohort.cases["case"].tolist() == ["amos_0507"]
    record = json.loads((tmp_path / "results" / "amos22" / "cohort.json").read_text())
    assert record["left_out"] == {"amos_0600": "no labelsTr/amos_0600.nii.gz"}
    with pytest.raises(UserError, match=r"modality is 'PET'; this source has CT, MR"):
        make("amos22", amos, modality="PET")


def test_amos22_lists_labels_without_an_image(make, amos, tmp_path):
    (amos / "labelsTr" / "amos_0001.nii.gz").write_bytes(b"")
    make("amos22", amos)
    record = json.loads((tmp_path / "results" / "amos22" / "cohort.json").read_text())
    assert record["left_out"]["amos_0001"] == "no imagesTr/amos_0001.nii.gz"


# CHAOS

GREYS = (0, 63, 126, 189, 252)
SHAPE = (10, 8, 6)  # columns, rows, slices


@pytest.fixture
def outlines():
    """(10, 8, 6) label map without any symmetry: each slice, row and column can be told."""
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[1:4, 1:3, 1:5] = 1
    labels[1:3, 5:7, 0:3] = 2
    labels[6:9, 4:7, 1:3] = 3
    labels[7:9, 1:2, 3:6] = 4
    return labels


@pytest.fixture
def chaos(tmp_path, write_series, outlines):
    root = tmp_path / "chaos" / "Train_Sets"
    rng = np.random.default_rng(7)

    def pngs(folder, names, greys):
        folder.mkdir(parents=True)
        for z, name in enumerate(names):
            Image.fromarray(greys[:, :, z].T.astype(np.uint8)).save(folder / name)

    for patient in ("2", "10"):
        names = [f"IMG-0004-{n:05d}" for n in range(1, 7)]
        # Names run from head to feet in one patient, from feet to head in the other.
        names = names[::-1] if patient == "2" else names
        for phase, shift in (("InPhase", 0), ("OutPhase", 1)):
            stems = [f"IMG-0004-{2 * int(name[-5:]) + shift:05d}" for name in names]
            volume = rng.integers(0, 500, SHAPE)
            write_series(root / "MR" / patient / "T1DUAL" / "DICOM_anon" / phase, volume, [f"{s}.dcm" for s in stems])
        pngs(root / "MR" / patient / "T1DUAL" / "Ground", [f"{n}.png" for n in names], np.take(GREYS, outlines))
        volume = rng.integers(0, 500, SHAPE)
        write_series(
            root / "MR" / patient / "T2SPIR" / "DICOM_anon", volume, [f"{name}.dcm" for name in names], series="own"
        )
        pngs(root / "MR" / patient / "T2SPIR" / "Ground", [f"{n}.png" for n in names], np.take(GREYS, outlines))
    names = [f"i{n:04d},0000b.dcm" for n in range(SHAPE[2])][::-1]
    volume = np.where(rng.random(SHAPE) < 0.5, 24, rng.integers(900, 1200, SHAPE))  # air, and fat to organs
    write_series(root / "CT" / "1" / "DICOM_anon", volume, names, modality="CT", intercept=-1024)
    liver = [f"liver_GT_{n:03d}.png" for n in range(SHAPE[2])][::-1]
    pngs(root / "CT" / "1" / "Ground", liver, np.where(outlines == 1, 255, 0))
    return tmp_path / "chaos"


@pytest.mark.parametrize("threads", [1, 2])
def test_chaos_mr(make, chaos, outlines, threads):
    cohort, faults = make("chaos", chaos, threads, modality="MR")
    rows = cohort.cases
    assert rows["case"].tolist() == [
        f"chaos-mr-{patient}-{sequence}" for patient in (2, 10) for sequence in ("fs-t2", "t1-in", "t1-opposed")
    ]
    assert rows["patient"].unique().tolist() == ["chaos-mr-2", "chaos-mr-10"]
    assert rows["image"].tolist()[0] == "images/chaos-mr-2-fs-t2.nii.gz"
    assert set(rows["tumour_side"]) == {"none"}
    assert cohort.labels == {1: "liver", 2: "right_kidney", 3: "left_kidney", 4: "spleen"}
    assert "error" not in set(faults["severity"]), faults.to_string()  # organs of a miniature are unusually small
    for row in rows.itertuples():
        label = read_scan(cohort.root / row.label)
        np.testing.assert_array_equal(label.array, outlines)
        np.testing.assert_allclose(label.affine, read_scan(cohort.root / row.image).affine)
        # Low columns are the patient's right (LPS), which is high x.
        sides = [(label.affine @ [*np.argwhere(label.array == v).mean(axis=0), 1])[0] for v in (2, 3)]
        assert sides[0] > sides[1]
    stored = b"".join(path.read_bytes() for path in cohort.root.rglob("*") if path.is_file())
    assert b"Doe" not in stored and b"4711" not in stored


def test_chaos_one_sequence_and_ct(make, chaos, outlines):
    cohort, _ = make("chaos", chaos / "Train_Sets", sequence="fs-t2")
    assert cohort.cases["sequence"].unique().tolist() == ["fs-t2"]
    cohort, faults = make("chaos", chaos, modality="CT")
    assert cohort.cases["case"].tolist() == ["chaos-ct-1"]
    assert cohort.labels == {1: "liver"}
    label = read_scan(cohort.root / cohort.cases["label"][0])
    np.testing.assert_array_equal(label.array, outlines == 1)
    assert read_scan(cohort.root / cohort.cases["image"][0]).array.min() < -900
    assert "error" not in set(faults["severity"]), faults.to_string()
    with pytest.raises(UserError, match=r"sequence is 't2'; this source has fs-t2, t1-in, t1-opposed"):
        make("chaos", chaos, sequence="t2")


@pytest.mark.parametrize("left", ["._IMG-0004-00001.png", ".DS_Store", "Thumbs.db", "._i0000,0000b.dcm"])
def test_chaos_passes_over_what_systems_leave(make, chaos, left):
    for folder in [chaos / "Train_Sets", *(path for path in chaos.rglob("*") if path.is_dir())]:
        (folder / left).write_bytes(b"\0\5\x16\7" + b"\0" * 100)
    (chaos / "Train_Sets" / "MR" / "__MACOSX").mkdir()
    (chaos / "Train_Sets" / "MR" / ".ipynb_checkpoints").mkdir()
    assert len(make("chaos", chaos)[0].cases) == 6
    assert len(make("chaos", chaos, modality="CT")[0].cases) == 1


def test_chaos_lists_series_that_lack_slices_or_outlines(make, chaos, tmp_path):
    mr = chaos / "Train_Sets" / "MR"
    shutil.rmtree(mr / "2" / "T2SPIR" / "Ground")
    for file in (mr / "10" / "T1DUAL" / "DICOM_anon" / "OutPhase").iterdir():
        file.unlink()
    assert len(make("chaos", chaos)[0].cases) == 4
    record = json.loads((tmp_path / "results" / "chaos" / "cohort.json").read_text())
    assert record["left_out"] == {
        "chaos-mr-2-fs-t2": "no T2SPIR/Ground",
        "chaos-mr-10-t1-opposed": "no T1DUAL/DICOM_anon/OutPhase",
    }
    shutil.rmtree(chaos / "Train_Sets" / "CT" / "1" / "Ground")
    with pytest.raises(UserError, match=r"holds no patient with slices and outlines \(1 left out\)"):
        make("chaos", chaos, modality="CT")


def test_chaos_names_every_broken_series_at_once(make, chaos, tmp_path):
    mr = chaos / "Train_Sets" / "MR"
    (mr / "2" / "T2SPIR" / "Ground" / "IMG-0004-00003.png").unlink()
    grey = mr / "2" / "T1DUAL" / "Ground" / "IMG-0004-00001.png"
    Image.fromarray(np.full((8, 10), 90, dtype=np.uint8)).save(grey)
    small = mr / "10" / "T2SPIR" / "Ground" / "IMG-0004-00001.png"
    Image.fromarray(np.zeros((4, 5), dtype=np.uint8)).save(small)
    first, second = (mr / "10" / "T1DUAL" / "DICOM_anon" / "InPhase" / f"IMG-0004-{n:05d}.dcm" for n in (2, 6))
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(kept)
    with pytest.raises(UserError) as error:
        make("chaos", chaos)
    text = str(error.value)
    assert "5 problems" in text
    assert "case 'chaos-mr-2-fs-t2':" in text and "5 PNG pictures for 6 slices" in text
    assert text.count("grey levels that belong to no organ (grey 90)") == 2
    assert "5×4 pixels, the slice has 10×8" in text
    assert "case 'chaos-mr-10-t1-in':" in text and "do not follow their places" in text
    assert not (tmp_path / "results" / "chaos").exists()


# TotalSegmentator


@pytest.fixture
def total(tmp_path, save, ct, mr, kidneys):
    root = tmp_path / "total"
    masks = {
        "kidney_left": (kidneys > 0) & (np.arange(24) < 12)[:, None, None],
        "kidney_right": (kidneys > 0) & (np.arange(24) >= 12)[:, None, None],
        "kidney_cyst_right": kidneys == 2,
        "liver": kidneys == 7,
    }
    for number, image, file in ((1, ct, "ct"), (2, ct + 1, "ct"), (3, mr, "mri")):
        case = root / f"s{number:04d}"
        save(case / f"{file}.nii.gz", image)
        for name, mask in masks.items():
            if number == 3 and "cyst" in name:
                continue
            save(case / "segmentations" / f"{name}.nii.gz", (mask & (number != 2)).astype(np.uint8))
    meta = "image_id;age;gender;institute;study_type;split\ns0001;65;m;A;ct abdomen;train\ns0003;50;f;B;mr;test\n"
    (root / "meta.csv").write_text(meta)
    return root


@pytest.mark.parametrize("threads", [1, 2])
def test_totalsegmentator_ct(make, total, kidneys, tmp_path, threads):
    cohort, faults = make("totalsegmentator", total, threads, modality="CT")
    row = cohort.cases.iloc[0]
    assert cohort.cases["case"].tolist() == ["s0001"]
    assert (row["modality"], row["patient"]) == ("CT", "totalsegmentator-ct-s0001")
    assert (row["sex"], row["age"], row["dataset_split"]) == ("male", 65.0, "train")
    label = read_scan(cohort.root / row["label"]).array
    expected = np.where(kidneys > 0, 2, 0)
    expected[12:] = np.where(kidneys[12:] > 0, 1, 0)
    expected[kidneys == 2] = 3
    np.testing.assert_array_equal(label, expected)
    np.testing.assert_array_equal(
        read_scan(cohort.root / row["image"]).array, read_scan(total / "s0001/ct.nii.gz").array
    )
    record = json.loads((tmp_path / "results" / "totalsegmentator" / "cohort.json").read_text())
    assert record["left_out"] == {"s0002": "no kidney in the field of view"}
    assert "error" not in set(faults["severity"]), faults.to_string()


def test_totalsegmentator_mr(make, total):
    cohort, faults = make("totalsegmentator", total, modality="MR")
    row = cohort.cases.iloc[0]
    assert (row["case"], row["modality"], row["sex"], row["dataset_split"]) == ("s0003", "MR", "female", "test")
    assert set(np.unique(read_scan(cohort.root / row["label"]).array)) == {0, 1, 2}
    assert "error" not in set(faults["severity"]), faults.to_string()


def test_totalsegmentator_names_every_broken_case(make, total, save, affine):
    (total / "s0001" / "segmentations" / "kidney_left.nii.gz").unlink()
    save(total / "s0003" / "segmentations" / "kidney_left.nii.gz", np.zeros((3, 3, 3), dtype=np.uint8))
    with pytest.raises(UserError) as error:
        make("totalsegmentator", total)
    text = str(error.value)
    assert "2 problems" in text
    assert "case 's0001':" in text and "kidney_left.nii.gz: no such file" in text
    assert "case 's0003': kidney_left.nii.gz is not on the grid of kidney_right.nii.gz" in text


def test_the_same_patient_in_two_cohorts_of_one_set_is_noticed(chaos, tmp_path):
    from crossmod.cohort.check import check_cohorts

    folders = []
    for sequence in ("fs-t2", "t1-in"):
        folders.append(tmp_path / "results" / sequence)
        settings = {"name": sequence, "source": "chaos", "root": str(chaos), "sequence": sequence}
        run(Job("cohort", {}, {"folder": str(folders[-1])}, settings))
    faults = check_cohorts(folders)
    faults = faults[faults["severity"] == "error"]
    assert faults["problem"].tolist() == ["the patient is in two cohorts"] * 2
    assert faults["value"].tolist()[0] == "the patient of fs-t2/chaos-mr-2-fs-t2"


def test_totalsegmentator_lists_subjects_that_lack_something(make, total, tmp_path):
    (total / "s0004" / "segmentations").mkdir(parents=True)
    shutil.copytree(total / "s0001", total / "s0005")
    for file in (total / "s0005" / "segmentations").iterdir():
        file.unlink()
    make("totalsegmentator", total, modality="CT")
    record = json.loads((tmp_path / "results" / "totalsegmentator" / "cohort.json").read_text())
    assert record["left_out"] == {
        "s0002": "no kidney in the field of view",
        "s0004": "no ct.nii.gz or mri.nii.gz",
        "s0005": "no segmentations/kidney_right.nii.gz, no segmentations/kidney_left.nii.gz",
    }


# SPIDER


@pytest.fixture
def spider(tmp_path):
    """Two patients: one with T1 and T2, one with T2 alone and with a series that nobody outlined."""
    import SimpleITK as sitk

    dataset = tmp_path / "spider"
    rng = np.random.default_rng(0)
    labels = np.zeros((5, 40, 30), np.uint8)  # slices, rows from above, columns from the front
    for number, top in ((101, 0), (3, 10), (2, 20), (1, 30)):
        labels[:, top : top + 7, 4:14] = number
    for number, top in ((203, 7), (202, 17), (201, 27)):
        labels[:, top : top + 3, 4:14] = number
    labels[1:4, :, 16:20] = 100
    for name, drawn in (("1_t1", True), ("1_t2", True), ("2_t2", True), ("10_t2_SPACE", False)):
        values = rng.integers(0, 900, labels.shape).astype(np.int16)
        for part, array in (("images", values), ("masks", labels)):
            if part == "images" or drawn:
                picture = sitk.GetImageFromArray(array)
                picture.SetSpacing((6.0, 6.0, 12.0))
                # Along the picture's axes: backwards, down, and to the left.
                picture.SetDirection((0, 0, 1, 1, 0, 0, 0, -1, 0))
                (dataset / part).mkdir(parents=True, exist_ok=True)
                sitk.WriteImage(picture, str(dataset / part / f"{name}.mha"))
    (dataset / "overview.csv").write_text(
        "new_file_name,subset,sex\n1_t1,training,F\n1_t2,training,F\n2_t2,training,M\n"
    )
    return dataset


def test_spider(make, spider, tmp_path):
    cohort, faults = make("spider", spider)
    rows = cohort.cases
    assert rows["case"].tolist() == ["1_t1", "1_t2", "2_t2"]
    assert rows["patient"].tolist() == ["spider-1", "spider-1", "spider-2"]
    assert rows["sequence"].tolist() == ["t1", "t2", "t2"]
    assert rows["sex"].tolist() == ["female", "female", "male"]
    assert {cohort.labels[value] for value in (1, 25, 101)} == {"whole_vertebra"}
    assert cohort.labels[100] == "canal" and cohort.labels[201] == "disc"
    assert not (faults["severity"] == "error").any()
    label = read_scan(cohort.root / rows["label"][0])
    lowest, highest = ((label.affine @ [*np.argwhere(label.array == v).mean(axis=0), 1])[2] for v in (1, 101))
    assert lowest < highest
    record = json.loads((tmp_path / "results" / "spider" / "cohort.json").read_text())
    assert record["left_out"] == {"10_t2_SPACE": "no masks/10_t2_SPACE.mha"}


def test_spider_one_sequence(make, spider):
    cohort, _ = make("spider", spider, sequence="t1")
    assert cohort.cases["case"].tolist() == ["1_t1"]
    with pytest.raises(UserError, match=r"sequence is 'flair'; this source has t1, t2, t2_space"):
        make("spider", spider, sequence="flair")
    with pytest.raises(UserError, match=r"no image of t2_space with a mask \(1 left out\)"):
        make("spider", spider, sequence="t2_space")


def test_spider_without_its_overview_or_with_another_table(make, spider):
    (spider / "overview.csv").write_text("file,sex\n1_t1,F\n")
    with pytest.raises(UserError, match="no column 'new_file_name'"):
        make("spider", spider)
    (spider / "overview.csv").unlink()
    assert set(make("spider", spider)[0].cases["sex"]) == {"unknown"}
