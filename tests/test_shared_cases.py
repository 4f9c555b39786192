"""The reference cases beside the project, each after a public report.

Each gives the right value, or a refusal that names the cure.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from crossmod import cli
from crossmod.cohort.table import read_cohort
from crossmod.design.overrides import overrides_from_snakemake
from crossmod.evaluate.scores import score_site
from crossmod.job import Job
from crossmod.scans.files import read_scan, write_mask
from tests.patients import RENAL

MR_ML = {"right": 132, "left": 125}
CT_ML = {"right": 318, "left": 277}
# What is measured, how it is called, and what a refusal says of it.
REFUSED = {
    "nan_one_voxel": ("scan.nii.gz", "CT", ("1 ", "NaN")),
    "mr_one_inf": ("scan.nii.gz", "MR", ("1 ", "infinite")),
    "ct_plus1024": ("scan.nii.gz", "CT", ("Hounsfield",)),
    "ct_scaled_0_to_1": ("scan.nii.gz", "CT", ("Hounsfield",)),
    "dicom_ct_without_intercept": ("series", "auto", ("CT", "intercept")),
    "dicom_corner_jumps": ("series", "auto", ("line",)),
    "dicom_decimal_comma": ("series", "auto", ("IM0001.dcm", "PixelSpacing", "3,00000")),
    "dicom_spacing_zero": ("series", "auto", ("PixelSpacing",)),
    "dicom_zero_byte_slices": ("series", "auto", ("14", ".dcm")),
    "mhd_axes_unknown": ("scan.mhd", "auto", ("orientation",)),
    "mhd_without_spacing": ("scan.mhd", "auto", ("ElementSpacing",)),
    "nrrd_scanner_space": ("scan.nrrd", "auto", ("orientation", "scanner-xyz")),
    "nrrd_without_directions": ("scan.nrrd", "auto", ("directions",)),
    "sform_larger_than_qform": ("scan.nii.gz", "auto", ("sform", "qform", "3.36", "3")),
}
# Read rightly, or refused naming what is unusual.
READ = {
    "gzip_named_nii": ("scan.nii", "auto", MR_ML, ("gzip", ".nii.gz")),
    "nifti_units/metre": ("metre.nii.gz", "auto", MR_ML, ("met",)),
    "nifti_units/micron": ("micron.nii.gz", "auto", MR_ML, ("micro",)),
    "nrrd_space_with_time": ("scan.nrrd", "auto", MR_ML, ("space",)),
    "dicom_mr_negative": ("series", "auto", MR_ML, ("MR",)),
}
SCORES_REFUSED = {
    "scores_column_twice": ("dsc",),
    "scores_empty_file": ("empty",),
    "scores_mean_row": ("patient", "mean"),
    "scores_one_bad_cell": ("002", "mixed", "dsc", "#DIV/0!"),
    "scores_patient_empty": ("patient",),
}
SCORES_READ = ("scores_with_bom", "scores_decimal_comma")


@pytest.fixture(scope="module")
def cases(shared: Path) -> Path:
    """The folder of cases."""
    if not (shared / "cases").is_dir():
        pytest.skip("no reference cases (shared/cases) beside the project")
    return shared / "cases"


@pytest.fixture
def crossmod(monkeypatch, capsys, cases, tmp_path) -> Callable[..., tuple[int, str]]:
    """Copy a case into a folder of its own and run a command there: exit code and all that it said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gc.set_threshold", lambda *_: None)

    def run(case: str, *arguments: str) -> tuple[int, str]:
        shutil.copytree(cases / case.split("/")[0], tmp_path, dirs_exist_ok=True, copy_function=shutil.copyfile)
        monkeypatch.setattr(sys, "argv", ["crossmod", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        text = " ".join((said.out + said.err).split())
        assert "Traceback" not in text
        return int(ended.value.code or 0), text

    return run


def measured(folder: Path) -> dict:
    (record,) = folder.glob("out/*.json")
    return json.loads(record.read_text())


@pytest.mark.parametrize("case", REFUSED)
def test_measure_refuses(case, crossmod, tmp_path):
    scan, modality, words = REFUSED[case]
    code, said = crossmod(case, "measure", scan, "--modality", modality, "--out", "out")
    assert code == 2 and not list(tmp_path.glob("out/*"))
    assert all(word in said for word in words), said


@pytest.mark.parametrize("case", READ)
def test_measure_reads_or_refuses(case, crossmod, tmp_path):
    scan, modality, volumes_ml, words = READ[case]
    code, said = crossmod(case, "measure", scan, "--modality", modality, "--out", "out")
    if code == 2:
        assert all(word in said for word in words), said
    else:
        assert code == 0 and measured(tmp_path)["volumes_ml"] == pytest.approx(volumes_ml, abs=1.5)


def test_half_a_body(crossmod, tmp_path):
    crossmod("half_field_left", "measure", "scan.nii.gz", "--modality", "CT", "--out", "out")
    record = measured(tmp_path)
    certain = record["volumes_ml"]["left"] == pytest.approx(270, abs=10) and record["volumes_ml"]["right"] is None
    assert certain or any("guess" in warning for warning in record["warnings"])


def test_a_cut_kidney(crossmod, tmp_path):
    crossmod("kidney_cut_by_field", "measure", "scan.nii.gz", "--modality", "MR", "--out", "out")
    warnings = " ".join(measured(tmp_path)["warnings"])
    assert "right kidney" in warnings and "left kidney" in warnings and "edge" in warnings


@pytest.mark.parametrize("case", SCORES_REFUSED)
def test_analyse_refuses(case, crossmod):
    code, said = crossmod(case, "analyse", "scores.csv", "--plan", "plan.yaml", "--out", "out")
    assert code == 2
    assert all(word in said for word in SCORES_REFUSED[case]), said


@pytest.mark.parametrize("case", SCORES_READ)
def test_analyse_reads(case, crossmod, tmp_path):
    code, said = crossmod(case, "analyse", "scores.csv", "--plan", "plan.yaml", "--out", "out")
    assert code == 0, said
    paired = pd.read_csv(tmp_path / "out" / "paired.csv").iloc[0]
    assert paired["n"] == 24 and abs(paired["mean_difference"]) == pytest.approx(0.01455, abs=1e-5)


def cohort(crossmod: Callable, case: str, **settings: object) -> tuple[int, str, pd.DataFrame | None]:
    """Take a case in as a cohort and check it: exit code, what was said, faults."""
    Job("cohort", {}, {"folder": "results/own"}, {"name": "own", **settings}).save("cohort.job.json")
    code, said = crossmod(case, "cohort", "cohort.job.json")
    if code:
        return code, said, None
    Job("cohort.check", {"cohorts": ["results/own"]}, {"check": "results/check.csv"}, {}).save("check.job.json")
    code, said = crossmod(case, "cohort", "check.job.json")
    return code, said, pd.read_csv("results/own/faults.csv", dtype=str, keep_default_na=False)


@pytest.mark.parametrize("case", ["label_header_mirrored", "label_sides_swapped"])
def test_labels_on_the_wrong_side(case, crossmod):
    labels = {"1": "right_kidney", "2": "left_kidney"}
    code, said, _ = cohort(crossmod, case, source="folder", table="cases.csv", labels=labels)
    assert code == 2 and "right_kidney" in said and "left_kidney" in said


def test_a_label_in_layers(crossmod):
    labels = {"1": "right_kidney", "2": "left_kidney"}
    code, said, _ = cohort(crossmod, "seg_nrrd_layers", source="folder", table="cases.csv", labels=labels)
    assert code == 2 and "label map" in said


def test_a_kits_case_without_segmentation(crossmod):
    _, said, _ = cohort(crossmod, "kits_case_without_segmentation", source="kits23", root="dataset")
    record = Path("results/own/cohort.json")
    assert record.is_file(), said
    assert "case_00001" in json.dumps(json.loads(record.read_text())["left_out"])


def test_pictures_of_a_mac(crossmod):
    code, said, _ = cohort(crossmod, "chaos_mac_dotfiles", source="chaos", modality="CT", root=".")
    assert code == 0 or "._liver_GT_000.png" in said, said


def test_volumes_of_a_tilted_gantry(crossmod, tmp_path):
    structures = ("parenchyma", "sinus", "tumour", "cyst")
    names = [f"{side}_{name}" for name in structures for side in ("right", "left")]
    labels = {str(value): name for value, name in enumerate(names, start=1)}
    code, said, _ = cohort(crossmod, "tilted_gantry_volumes", source="folder", table="cases.csv", labels=labels)
    assert code == 0, said
    label = read_scan("label.nii.gz")
    parenchyma = np.where(label.array <= 2, label.array, 0).astype(np.uint8)
    write_mask("parenchyma.nii.gz", parenchyma, label.affine)
    index = {"cohort": "own", "case": "c1", "kidney": "parenchyma.nii.gz", "parenchyma": "parenchyma.nii.gz"}
    pd.DataFrame([index | {"parenchyma_reference_box": ""}]).to_csv("index.csv", index=False)
    settings = {"arm": "a", "seed": 0, "site": "s", **RENAL}
    (rows,) = score_site(tmp_path, {"own": read_cohort("results/own")}, settings)
    (right,) = (row for row in rows if row["side"] == "right")
    assert right["volume_reference_ml"] == right["volume_predicted_ml"] == pytest.approx(115, abs=1)
    if right["tumour"]:
        tumour_ml = (label.array == 5).sum() * label.voxel_ml
        assert right["tumour_ml"] == pytest.approx(tumour_ml)


def test_an_override_with_blanks(cases, root, tmp_path):
    shutil.copytree(cases / "override_path_with_blanks", tmp_path, dirs_exist_ok=True, copy_function=shutil.copyfile)
    table = tmp_path / "my MR data" / "cases.csv"
    override = f"cohorts.mr_real.table='{table}'"
    given = overrides_from_snakemake({"study": "renal_real", "scale": "smoke", "override": override})
    assert yaml.safe_load(given[-1].split("=", 1)[1]) == str(table)
    command = [sys.executable, "-m", "snakemake", "-n", "--cores", "1", "--config", "study=renal_real", "scale=smoke"]
    done = subprocess.run([*command, f"override={override}"], cwd=root, capture_output=True, text=True, check=False)
    assert "unknown key" not in done.stdout + done.stderr
