"""Hundreds of bad inputs through every door.

None gives a traceback, and none gives a number without a warning beside it.
"""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from bad import cases, scans, tables
from bad.base import Good, dicom, good, metaimage, nifti, nrrd

from crossmod import cli
from crossmod.job import Job

Scans = dict[str, Good]


@pytest.fixture(scope="module")
def patients() -> Scans:
    """One simulated patient of each modality."""
    return {modality: good(modality) for modality in ("CT", "MR")}


@pytest.fixture
def crossmod(monkeypatch, capsys, tmp_path) -> Callable[..., tuple[int, str]]:
    """Run a command in a folder of its own: exit code and all that it said. What is not a message fails the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gc.set_threshold", lambda *_: None)

    def run(*arguments: str | Path) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["crossmod", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out + said.err

    return run


@pytest.fixture
def one_training(monkeypatch) -> None:
    """The shipped networks, one training of each stage: as good for this, and five times as fast."""
    from dataclasses import replace

    from crossmod.weights.model import Model

    whole = Model.shipped()
    alone = replace(whole, weights={stage: files[:1] for stage, files in whole.weights.items()})
    monkeypatch.setattr(Model, "shipped", classmethod(lambda cls: alone))


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_what_is_right_enters(modality, crossmod, patients, one_training, tmp_path):
    scan, found = patients[modality], []
    for path in (
        nifti(tmp_path / "a.nii.gz", scan.array, scan.affine),
        nrrd(tmp_path / "b.nrrd", scan),
        metaimage(tmp_path / "c.mha", scan),
        dicom(tmp_path / "d", scan),
    ):
        code, said = crossmod("measure", path, "--out", tmp_path / "out")
        assert code == 0, said
        (file,) = (tmp_path / "out").glob(f"{path.name[0]}*.json")
        record = json.loads(file.read_text())
        assert record["warnings"] == [] and record["modality"] == modality
        found.append(record["volumes_ml"])
    assert all(volumes == found[0] for volumes in found)


def test_a_right_cohort_enters_without_a_word(crossmod, patients, tmp_path):
    nifti(tmp_path / "image.nii.gz", patients["CT"].array, patients["CT"].affine)
    nifti(tmp_path / "label.nii.gz", patients["CT"].labels, patients["CT"].affine)
    (tmp_path / "cases.csv").write_text(f"{cases.HEADER}\na,1,CT,image.nii.gz,label.nii.gz\n")
    assert enters(crossmod, cases.LABELS)[0] == 0
    assert len((tmp_path / "results" / "check.csv").read_text().splitlines()) == 1


def test_a_right_table_is_tested(crossmod, tmp_path):
    table = tables.scores()
    tables.write(tables.BadTable("good", tables.csv(table)), tmp_path)
    code, said = crossmod("analyse", "scores.csv", "--plan", "plan.yaml", "--out", "out")
    assert code == 0, said
    paired = pd.read_csv(tmp_path / "out" / "paired.csv").iloc[0]
    by_arm = table.pivot(index="case", columns="arm", values="dsc")
    assert paired["n"] == 24
    assert abs(paired["mean_difference"]) == pytest.approx((by_arm["mixed"] - by_arm["pure"]).mean())


def refused(code: int, said: str) -> None:
    """One message with a cure, and nothing that could be taken for a result."""
    assert code == 2, f"exit code {code}: {said}"
    assert "Traceback" not in said and "crossmod:" in said
    assert " ml" not in said, said


@pytest.mark.parametrize("bad", [b for b in scans.all_scans() if not b.seen], ids=lambda b: b.name)
def test_measure_refuses(bad, crossmod, patients, tmp_path):
    (tmp_path / "in").mkdir()
    scan = bad.make(tmp_path / "in", patients)
    refused(*crossmod("measure", scan, "--modality", bad.modality, "--out", tmp_path / "out"))
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize("bad", [b for b in scans.all_scans() if b.seen], ids=lambda b: b.name)
def test_measure_warns(bad, crossmod, patients, one_training, tmp_path):
    (tmp_path / "in").mkdir()
    scan = bad.make(tmp_path / "in", patients)
    code, said = crossmod("measure", scan, "--modality", bad.modality, "--out", tmp_path / "out")
    (record,) = (json.loads(path.read_text()) for path in (tmp_path / "out").glob("*.json"))
    assert "warning" in said and record["warnings"]
    assert all(volume is None or volume > 0 for volume in record["volumes_ml"].values())
    assert code == (3 if set(record["volumes_ml"].values()) == {None} else 0)


def cohort_job(labels: dict[int, str]) -> Job:
    """The job of a cohort of the user's own table."""
    settings = {
        "name": "own",
        "source": "folder",
        "table": "cases.csv",
        "labels": {str(k): v for k, v in labels.items()},
    }
    return Job("cohort", {}, {"folder": "results/own"}, settings)


def check_job() -> Job:
    """The job that looks at all cohorts and stops at errors."""
    return Job("cohort.check", {"cohorts": ["results/own"]}, {"check": "results/check.csv"}, {})


def enters(crossmod: Callable, labels: dict[int, str]) -> tuple[int, str]:
    """What the two jobs of the cohort's door say of ``cases.csv``."""
    cohort_job(labels).save("cohort.job.json")
    check_job().save("check.job.json")
    code, said = crossmod("cohort", "cohort.job.json")
    code, said = (code, said) if code else crossmod("cohort", "check.job.json")
    assert "no such job file" not in said and "no job" not in said
    return code, said


@pytest.mark.parametrize("bad", [b for b in scans.all_scans() if not b.seen], ids=lambda b: b.name)
def test_a_cohort_refuses_the_scan(bad, crossmod, patients, tmp_path):
    (tmp_path / "in").mkdir()
    scan = bad.make(tmp_path / "in", patients)
    modality = "MR" if bad.modality == "auto" else bad.modality
    (tmp_path / "cases.csv").write_text(f"{cases.HEADER}\na,1,{modality},{scan.relative_to(tmp_path)},\n")
    refused(*enters(crossmod, cases.LABELS))


STAGES = {
    name: {"classes": {name: [name]}, "region": region, "keep": keep, "spacing_mm": [8.0, 8.0, 8.0]}
    | {"patch": [16, 16, 16], "overlap": 0.25, "margin_mm": 10.0}
    for name, region, keep in (("kidney", "image", {"one_a_side": 2}), ("parenchyma", "kidney", {"largest": 1}))
}
NORMALISATION = {"ct_window_hu": [-200.0, 300.0], "mr_percentiles": [0.5, 99.5]}
NETWORK = {"_target_": "monai.networks.nets.UNet", "spatial_dims": 3, "in_channels": 1, "out_channels": 2}
NETWORK |= {"channels": [4, 8], "strides": [2]}


@pytest.fixture(scope="module")
def ready(patients, tmp_path_factory) -> Path:
    """A study up to its trained networks: a cohort of each modality, checked and prepared, of one case."""
    from crossmod import cohort, prepare
    from crossmod.models.build import build, save_weights

    folder = tmp_path_factory.mktemp("ready")
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.chdir(folder)  # paths are relative, so that the study can be copied
    for modality, scan in patients.items():
        (folder / modality).mkdir()
        nifti(folder / modality / "image.nii.gz", scan.array, scan.affine)
        nifti(folder / modality / "label.nii.gz", scan.labels, scan.affine)
        table = Path(modality) / "cases.csv"
        table.write_text(f"{cases.HEADER}\na,1,{modality},image.nii.gz,label.nii.gz\n")
        settings = {"name": modality, "source": "folder", "table": str(table), "labels": cases.LABELS}
        own, prepared = Path("results") / modality, Path("results/prepare") / modality
        cohort.run(Job("cohort", {}, {"folder": str(own)}, settings))
        settings = {"stages": STAGES, "normalisation": NORMALISATION}
        prepare.run(Job("prepare", {"cohort": str(own)}, {"folder": str(prepared)}, settings))
        (folder / f"results/{modality}.json").write_text(json.dumps({"arm": {modality: {"a": [0]}}}))
    for stage in STAGES:
        save_weights(build(NETWORK), folder / f"results/{stage}.safetensors", {})
    monkeypatch.undo()
    return folder


def predicts(crossmod: Callable, modality: str) -> tuple[int, str]:
    """What the predict job says of the one case of a modality."""
    inputs = {
        "weights": {stage: [f"results/{stage}.safetensors"] for stage in STAGES},
        "site": f"results/{modality}.json",
        "cohorts": [f"results/{modality}"],
        "prepared": [f"results/prepare/{modality}"],
    }
    settings = {"arm": "arm", "site": "s", "cascade": list(STAGES), "stages": STAGES, "seed": 0}
    settings |= {"models": {stage: NETWORK for stage in STAGES}, "precision": "32-true", "threads": 1}
    settings |= {"normalisation": NORMALISATION, "treat": None, "normalise_as": None, "segmenter": None}
    Job("predict", inputs, {"folder": "results/predict"}, settings).save("predict.job.json")
    return crossmod("predict", "predict.job.json")


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_a_right_scan_is_predicted(modality, crossmod, ready, tmp_path):
    shutil.copytree(ready, tmp_path, dirs_exist_ok=True)
    code, said = predicts(crossmod, modality)
    assert code == 0, said
    assert (tmp_path / "results/predict/a.kidney.nii.gz").is_file()


@pytest.mark.parametrize("bad", [b for b in scans.all_scans() if not b.seen], ids=lambda b: b.name)
def test_predict_refuses(bad, crossmod, patients, ready, tmp_path):
    modality = "MR" if bad.modality == "auto" else bad.modality
    (tmp_path / modality / "in").mkdir(parents=True)
    scan = bad.make(tmp_path / modality / "in", patients)
    shutil.copytree(ready, tmp_path, dirs_exist_ok=True)
    table = tmp_path / "results" / modality / "cases.csv"
    table.write_text(table.read_text().replace("image.nii.gz", str(scan.relative_to(tmp_path / modality))))
    code, said = predicts(crossmod, modality)
    refused(code, said)
    assert bad.name == "no-such-file" or "no such file" not in said


@pytest.mark.parametrize("bad", cases.all_labels(), ids=lambda b: b.name)
def test_a_cohort_refuses_the_label(bad, crossmod, patients, tmp_path):
    nifti(tmp_path / "image.nii.gz", patients["CT"].array, patients["CT"].affine)
    bad.make(tmp_path, patients["CT"])
    (tmp_path / "cases.csv").write_text(f"{cases.HEADER}\na,1,CT,image.nii.gz,label.nii.gz\n")
    code, said = enters(crossmod, bad.labels or cases.LABELS)
    faults = tmp_path / "results" / "own" / "faults.csv"
    warned = faults.is_file() and "warning" in faults.read_text()
    assert (code == 2 and "Traceback" not in said) or (code == 0 and warned), said


@pytest.mark.parametrize("bad", cases.all_cohorts(), ids=lambda b: b.name)
def test_a_cohort_refuses_the_table(bad, crossmod, patients, tmp_path):
    scan = patients["CT"]
    nifti(tmp_path / "image.nii.gz", scan.array, scan.affine)
    nifti(tmp_path / "label.nii.gz", scan.labels, scan.affine)
    (tmp_path / "loop.nii.gz").symlink_to(tmp_path / "loop.nii.gz")
    (tmp_path / "out.nii.gz").symlink_to("/etc/hostname")
    table = bad.table.replace(b"{image}", b"image.nii.gz").replace(b"{label}", b"label.nii.gz")
    (tmp_path / "cases.csv").write_bytes(table)
    refused(*enters(crossmod, cases.LABELS))


@pytest.mark.parametrize("bad", tables.all_tables(), ids=lambda b: b.name)
def test_analyse_refuses(bad, crossmod, tmp_path):
    tables.write(bad, tmp_path)
    code, said = crossmod("analyse", "scores.csv", "--plan", "plan.yaml", "--out", "out")
    assert "Traceback" not in said
    assert not (tmp_path / "canary").exists()
    if code == 0:  # what could not be tested is said, and no p-value stands there
        results = [pd.read_csv(path) for path in (tmp_path / "out").glob("*.csv")]
        assert all(table["p_family"].isna().all() and table["note"].notna().all() for table in results), said
    else:
        refused(code, said)
