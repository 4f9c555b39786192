"""What is wrong stops Snakemake before anything runs and deletes nothing.

What is right works from any folder and shell.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from crossmod.design.compose import compose

from .conftest import Project

COHORT = "results/renal/smoke/cohort/ct_external.job.json"  # the rule of a real job that is done soonest
LABELS = "cohorts.mr_real.labels={1: kidney} cohorts.mr_real.title='Größe: ours'"


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table of one scan in a folder with blanks, umlauts and an equals sign."""
    folder = tmp_path_factory.mktemp("tables") / "my MR data, Größe=1"
    folder.mkdir()
    (folder / "cases.csv").write_text("case,patient,modality,image,label\na,p,MR,a.nii.gz,a.nii.gz\n")
    (folder / "a.nii.gz").touch()
    return folder / "cases.csv"


@pytest.fixture
def finished(bare, tmp_path):
    """The project with what stands for the finished reports of two studies."""
    project = Project(shutil.copytree(bare.folder, tmp_path / "project", ignore=shutil.ignore_patterns("results")))
    real = [f"cohorts.mr_real.{key}=x" for key in ("table", "title")] + ["cohorts.mr_real.labels={1: kidney}"]
    for name, overrides in (("renal", []), ("renal_real", ["study=renal_real", *real])):
        results = project.folder / "results" / name / "smoke"
        for part in ("report", "analyse"):
            (results / part).mkdir(parents=True)
        (results / "report/index.html").write_text("page")
        record = {"settings": {"study": compose(["scale=smoke", *overrides])}}
        (results / "report/index.job.json").write_text(json.dumps(record, sort_keys=True))
        (results / "analyse/dsc.csv").write_text("rows")
    return project


def files(project):
    """Every result, byte for byte."""
    return {
        path: path.read_bytes()
        for path in sorted((project.folder / "results").rglob("*"))
        if path.is_file() and path.name != ".running"
    }


def refused(project, *config):
    """What a real run says that stops, with a code of its own, before it has changed anything."""
    before = files(project)
    done = project.snakemake("--config", "scale=smoke", *config, check=False)
    assert done.returncode != 0, done.stdout
    assert "Nothing to be done" not in done.stdout
    assert files(project) == before
    return done.stdout


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("gone.csv", None, "gone.csv: no such table"),
        ("cases.csv", "case,patient,modality,image\na,p,MR,a.nii.gz\n", "'label' is missing"),
        ("cases.csv", "case,patient,modality,image,label\na,p,MR,b.nii.gz,\n", "b.nii.gz' does not exist"),
    ],
)
def test_a_faulty_table_stops_the_study_although_a_report_is_there(finished, tmp_path, name, text, message):
    if text is not None:
        (tmp_path / name).write_text(text)
    said = refused(finished, "study=renal_real", f"override=cohorts.mr_real.table={tmp_path / name} {LABELS}")
    assert message in said


@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_a_path_with_blanks_and_umlauts_reaches_the_config(bare, table, quote):
    given = f"override=cohorts.mr_real.table={quote}{table}{quote} {LABELS}"
    said = bare.snakemake("-n", "--config", "study=renal_real", "scale=smoke", given).stdout
    assert "cohort mr_real" in said
    assert "results/renal_real/smoke/report/index.html" in said


def test_what_must_be_given_is_shown(bare):
    done = bare.snakemake("-n", "--config", "study=renal_real", "scale=smoke", check=False)
    assert done.returncode != 0
    for key in ("table", "labels", "title"):
        assert f"cohorts.mr_real.{key}: must be given, e.g. cohorts.mr_real.{key}=" in done.stdout


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("pools.mr.amounts=[2,7]", "at most 6"),
        ("normalisation.ct_window_hu=[300,-200]", "the first number must be below the second"),
        ("title=${oc.env:HOME}", "calls a function"),
    ],
)
def test_an_impossible_value_deletes_nothing(finished, override, message):
    assert message in refused(finished, "replace=true", f"override={override}")


def test_another_config_does_not_replace_a_finished_report(finished):
    said = refused(finished, "override=analyse.alpha=0.01")
    assert "results/renal/smoke holds a finished report of another config" in said
    assert "analyse.alpha: 0.05 → 0.01" in said
    assert "replace=true" in said
    said = finished.snakemake("-n", "--config", "scale=smoke", "override=analyse.alpha=0.01").stdout
    assert "analyse.alpha: 0.05 → 0.01" in said, "a dry run says it too"
    assert "another config" not in finished.snakemake("-n", "--config", "scale=smoke").stdout
    assert "true or false is needed" in refused(finished, "replace=maybe")


def test_a_replaced_report_is_kept(finished):
    finished.snakemake(COHORT, "--config", "scale=smoke", "replace=true", "override=analyse.alpha=0.01")
    (kept,) = (finished.folder / "results/renal/smoke/replaced").iterdir()
    assert (kept / "report/index.html").read_text() == "page"
    assert (kept / "analyse/dsc.csv").read_text() == "rows"


def test_a_study_that_adds_sites_does_not_change_what_another_report_rests_on(finished, table):
    given = f"override=cohorts.mr_real.table='{table}' {LABELS} training.batch=4"
    said = refused(finished, "study=renal_real", "replace=true", given)
    assert "results/renal/smoke holds a finished report, and this study would change what it rests on" in said
    assert "training.batch: 2 → 4" in said


def test_a_failing_job_is_told_in_a_screen_and_repeated_by_hand(again):
    """What failed, why, and where its log is.

    The job itself stays a file, and can as well be given on standard input.
    """
    module = again.folder / "src/crossmod/cohort/simulated.py"
    sound = module.read_text()
    broken = sound.replace("def write_cohort(", "def write_cohort(*_):\n    raise OSError(28, 'no')\n\n\ndef _sound(")
    module.write_text(broken)
    said = again.snakemake(COHORT, "--config", "scale=smoke", check=False)
    assert said.returncode == 1
    told = said.stdout.split("── failed: ")[1].splitlines()
    job = "results/renal/smoke/logs/cohort/ct_external.log.json"
    assert told[0] == "cohort ct_external: making and checking its cases (exit code 2)"
    assert told[1] == f"   again: crossmod cohort {job} --threads 2"
    assert told[2] == "   log: results/renal/smoke/logs/cohort/ct_external.log"
    assert "the disk is full" in told[3]
    assert len(said.stdout.splitlines()) < 40
    assert "settings" not in said.stdout and "CalledProcessError" not in said.stdout
    module.write_text(sound)
    command, record = [sys.executable, "-m", "crossmod.cli", "cohort"], again.folder / COHORT
    text = (again.folder / job).read_text()
    for source, given in ((job, None), ("-", text), (COHORT, None)):
        subprocess.run([*command, source], cwd=again.folder, env=again.environment, input=given, text=True, check=True)
        assert record.read_text() == text


@pytest.mark.skipif(not Path("/usr/bin/env").exists(), reason="needs a Unix shell")
def test_without_activation_in_a_folder_with_blanks_whose_results_are_a_link(bare, tmp_path):
    """Jobs find the `crossmod` beside the Python that runs Snakemake."""
    project = Project(
        shutil.copytree(bare.folder, tmp_path / "my 'own' project", ignore=shutil.ignore_patterns("results"))
    )
    (tmp_path / "far disk").mkdir()
    (project.folder / "results").symlink_to(tmp_path / "far disk")
    snakemake = Path(sys.executable).with_name("snakemake")
    command = [snakemake, "--cores", "1", COHORT, "--config", "scale=smoke"]
    environment = {
        "HOME": os.environ.get("HOME", "/"),
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(project.folder / "src"),
    }
    done = subprocess.run(command, cwd=project.folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "far disk/renal/smoke/cohort/ct_external/cases.csv").is_file()
    shutil.rmtree(tmp_path / "far disk")
    done = subprocess.run(command, cwd=project.folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "If results is a link, the folder it leads to must exist" in done.stderr
