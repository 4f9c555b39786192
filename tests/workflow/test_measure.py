"""`crossmod measure` on scans of one's own: masks in the scan's space, volumes that are those of the mask."""

import json
import shutil
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from crossmod.scans.files import read_scan

pytestmark = pytest.mark.study
MODEL = "results/renal/smoke/train/ct3+mrA006"


def measure(study, scan, *arguments, model=MODEL):
    command = [sys.executable, "-m", "crossmod.cli", "measure", str(scan), *map(str, arguments)]
    if model:
        command += ["--model", model]
    return subprocess.run(command, cwd=study.folder, env=study.environment, capture_output=True, text=True, check=False)


def check(out, stem, scan):
    record = json.loads((out / f"{stem}.parenchyma.json").read_text())
    mask = nib.load(out / f"{stem}.parenchyma.nii.gz")
    image = read_scan(scan)
    assert mask.shape == image.array.shape
    np.testing.assert_allclose(mask.affine, image.affine, atol=1e-4)
    voxel_ml = abs(np.linalg.det(mask.affine[:3, :3])) / 1000
    for side, value in record["mask_values"].items():
        assert (record["volumes_ml"][side] or 0.0) == pytest.approx(
            (np.asarray(mask.dataobj) == value).sum() * voxel_ml, abs=0.01
        )
    picture = np.asarray(Image.open(out / f"{stem}.parenchyma.png").convert("L"))
    assert picture.std() > 10, "the overlay shows something"
    return record


def test_a_simulated_scan(study, tmp_path):
    scan = sorted((study.results / "cohort/mr/images").iterdir())[0]
    done = measure(study, scan, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "volume (ml)" in done.stdout
    assert check(tmp_path, scan.name.removesuffix(".nii.gz"), scan)["modality"] == "MR"


def test_beside_the_scan_by_default_and_ct_is_recognised(study, tmp_path):
    scan = shutil.copy(sorted((study.results / "cohort/ct/images").iterdir())[0], tmp_path / "my scan.nii.gz")
    assert measure(study, scan).returncode == 0
    assert check(tmp_path, "my scan", scan)["modality"] == "CT"


@pytest.mark.real
@pytest.mark.parametrize(
    ("scan", "modality"),
    [
        ("chaos_t2spir/image_1.nii.gz", "MR"),
        ("totalsegmentator/example_ct.nii.gz", "CT"),
        ("totalsegmentator/example_ct_dicom", "CT"),
        ("ukat_kidney/ge_01_e1_mag.nii.gz", "MR"),
    ],
)
def test_real_scans_of_every_kind(study, real_data, tmp_path, scan, modality):
    done = measure(study, real_data / scan, "--out", tmp_path)
    assert done.returncode in (0, 3), done.stderr  # networks of a smoke study may find no kidney
    stem = scan.split("/")[1].removesuffix(".nii.gz")
    assert check(tmp_path, stem, real_data / scan)["modality"] == modality


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere.nii.gz",), "nowhere.nii.gz"),
        (("{scan}", "--modality", "PET"), "expected CT, MR or auto"),
        (("{scan}", "--seed", "7"), "no arm of a finished study with seed 7"),
    ],
)
def test_mistakes_are_one_clear_message(study, arguments, message):
    scan = sorted((study.results / "cohort/mr/images").iterdir())[0]
    done = measure(study, *[argument.format(scan=scan) for argument in arguments])
    assert done.returncode == 2
    assert message in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


def test_without_a_study_the_shipped_networks_measure(bare, study, tmp_path):
    scan = sorted((study.results / "cohort/mr/images").iterdir())[0]
    done = measure(bare, scan, "--out", tmp_path, model=None)
    assert done.returncode == 0, done.stderr
    assert check(tmp_path, scan.name.removesuffix(".nii.gz"), scan)["model"].startswith("shipped")
