"""A job from the command line replaces what crossmod made, and nothing else; it stays inside the working folder."""

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmod.cli import run_job
from crossmod.door import admitted
from crossmod.job import Job, UserError, write_json

RECIPE = {"modality": "CT", "spacing_mm": [6.0, 6.0, 8.0]}


def cohort(folder="results/s/x/cohort/ct", record="results/s/x/cohort/ct.job.json", **settings) -> Job:
    about = {"name": "ct", "source": "simulated", "cases": 1, "seed": 0, "site": "a", "recipe": RECIPE}
    return Job("cohort", {}, {"folder": folder, "job": record}, about | settings)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A working folder of its own, with something of the user's in it, and something beside it."""
    folder = tmp_path / "work"
    (folder / "scans").mkdir(parents=True)
    (folder / "scans/mine.txt").write_text("mine")
    (folder / "notes.txt").write_text("mine")
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside/mine.txt").write_text("mine")
    monkeypatch.chdir(folder)
    yield folder
    for path in ("work/scans/mine.txt", "work/notes.txt", "beside/mine.txt"):
        assert (tmp_path / path).read_text() == "mine", "nothing of the user's is ever touched"


def test_a_job_is_repeated_and_replaces_what_it_made(here):
    first = cohort()
    run_job("cohort", first)
    assert len(list(here.glob("results/s/x/cohort/ct/images/*"))) == 1
    (here / "results/s/x/cohort/ct/cases.csv").unlink()
    run_job("cohort", Job.load("results/s/x/cohort/ct.job.json"))
    assert (here / "results/s/x/cohort/ct/cases.csv").is_file()
    run_job("cohort", cohort(cases=2))
    assert len(list(here.glob("results/s/x/cohort/ct/images/*"))) == 2


def test_a_moved_study_is_still_its_own(here):
    run_job("cohort", cohort())
    moved = here.with_name("moved")
    here.rename(moved)
    os.chdir(moved)
    run_job("cohort", Job.load("results/s/x/cohort/ct.job.json"))
    moved.rename(here)


@pytest.mark.parametrize("record", ["results/s/x/cohort/ct.job.json", "new.job.json", "scans/mine.job.json"])
@pytest.mark.parametrize("target", ["scans", "notes.txt", "results/s", "results"])
def test_a_job_edited_to_write_elsewhere_replaces_nothing(here, target, record):
    run_job("cohort", cohort())
    edited = cohort(target, record)
    (here / "edited.json").write_text(edited.to_json())
    with pytest.raises(UserError, match=rf"outputs\.folder: {target} exists already.*not replaced. Move it away"):
        run_job("cohort", Job.load("edited.json"))


def test_a_job_edited_in_its_own_place_replaces_nothing(here):
    run_job("cohort", cohort())
    (here / "results/s/x/cohort/ct.job.json").write_text(cohort("scans").to_json())
    with pytest.raises(UserError, match="scans exists already"):
        run_job("cohort", Job.load("results/s/x/cohort/ct.job.json"))


@pytest.mark.parametrize("key", ["folder", "job"])
@pytest.mark.parametrize(
    "target",
    ["../beside", "results/../../beside", "/etc", "~/../x/..", ".", "", "results/\0", "link/beside", 5, None, ["a"]],
)
def test_a_job_does_not_leave_the_working_folder(here, tmp_path, target, key):
    (here / "link").symlink_to(tmp_path)
    outputs = {"folder": "results/a", "job": "results/a.job.json"} | {key: target}
    job = Job("cohort", {}, outputs, {})
    with pytest.raises(UserError, match=rf"outputs\.{key}: .*(working folder|no path)"), admitted(job):
        pass
    assert not (here / "results").exists()


@pytest.mark.parametrize("step", ["train", "track"])
@pytest.mark.parametrize("store", ["../beside/store.json", "/etc/store.json", "scans/store.json", "store.json", 5, ""])
def test_a_job_writes_to_no_store_of_the_user_s(here, store, step):
    job = Job(step, {"store": store}, {"job": "results/a.job.json"}, {})
    with pytest.raises(UserError, match=r"inputs\.store: .*(working folder|no path|MLflow's store)"):
        run_job(step, job)
    assert not (here / "results").exists()


def test_results_may_lie_on_another_disk(here, tmp_path):
    (tmp_path / "disk").mkdir()
    (here / "results").symlink_to(tmp_path / "disk")
    run_job("cohort", cohort())
    run_job("cohort", Job.load("results/s/x/cohort/ct.job.json"))
    assert (tmp_path / "disk/s/x/cohort/ct/cases.csv").is_file()


def test_a_link_of_the_user_s_is_not_followed_to_be_emptied(here):
    (here / "results").mkdir()
    (here / "results/ct").symlink_to(here / "scans")
    with pytest.raises(UserError, match="results/ct exists already"):
        run_job("cohort", cohort("results/ct", "results/ct.job.json"))


def test_an_empty_folder_and_the_job_s_own_record_are_free(here):
    (here / "results/s/x/cohort/ct").mkdir(parents=True)
    write_json("results/s/x/cohort/ct.job.json", json.loads(cohort().to_json()))
    run_job("cohort", Job.load("results/s/x/cohort/ct.job.json"))
    assert (here / "results/s/x/cohort/ct/cases.csv").is_file()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"made": 5}', '{"made": null}'])
def test_a_damaged_note_vouches_for_nothing(here, content):
    run_job("cohort", cohort())
    (here / "results/s/x/cohort/.ct.job.json.made").write_text(content)
    with pytest.raises(UserError, match="outputs.folder: results/s/x/cohort/ct exists already"):
        run_job("cohort", cohort())


@pytest.mark.parametrize(
    "notebook", ["evil.ipynb", "/tmp/evil.ipynb", "notebooks/../evil.ipynb", "notebooks/a/b.ipynb", 3]
)
def test_only_the_project_s_notebooks_are_executed(here, notebook):
    cell = {
        "cell_type": "code",
        "id": "a",
        "execution_count": None,
        "metadata": {"tags": ["parameters"]},
        "outputs": [],
    }
    cell["source"] = f"open({str(here / 'canary')!r}, 'w')"
    (here / "evil.ipynb").write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    job = Job("report.notebook", {"notebook": notebook, "results": "r"}, {"notebook": "o.ipynb", "figures": "f"}, {})
    with pytest.raises(UserError, match=r"inputs\.notebook: .*not executed"):
        run_job("report", job)
    assert not (here / "canary").exists()


@given(st.text(max_size=20) | st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=3))
def test_any_path_is_inside_or_refused(value):
    job = Job("cohort", {}, {"folder": value}, {})
    try:
        with admitted(job):
            pass
    except UserError:
        return
    assert ".." not in value.split("/")
    assert not value.startswith("/")


@pytest.mark.parametrize(
    "step", ["train", "cohort", "prepare", "split", "predict", "evaluate", "analyse", "report", "track", "throughput"]
)
def test_a_job_that_lacks_its_keys_is_a_message(step):
    text = json.dumps({"step": step, "inputs": {}, "outputs": {}, "settings": {}})
    done = subprocess.run(
        [sys.executable, "-m", "crossmod.cli", step, "-"], input=text, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    said = done.stderr.replace("\n", " ")
    assert "The job has no key" in said or "Settings of the analyse step: 'factors'. Expected arms" in said
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"step": "cohort.draw"}, r"No step is called 'cohort.draw'; there are cohort, "),
        ({"step": "train"}, "This job belongs to `crossmod train`, not to `crossmod cohort`"),
        ({"settings": {"name": float("nan")}}, "NaN is no number of JSON"),
        ({"settings": {"name": "ct", "source": 7}}, "no source '7'; valid: "),
    ],
)
def test_a_job_that_makes_no_sense_is_a_message(here, change, problem):
    text = json.dumps(json.loads(cohort().to_json()) | change)
    with pytest.raises(UserError, match=problem):
        run_job("cohort", Job.from_json(text))


@pytest.mark.parametrize(
    ("step", "inputs", "settings"),
    [
        ("split.site", {"training": "notes.txt"}, {}),
        ("split.audit", {"training": "notes.txt", "sites": {"a": "notes.txt"}}, {"arms": []}),
        (
            "train",
            {"training": "notes.txt", "prepared": []},
            {"stages": {"k": {}}, "stage": "k", "training": {}, "set": "a", "fold": 0},
        ),
    ],
)
def test_an_input_that_is_no_json_is_named(here, step, inputs, settings):
    job = Job(step, inputs, {"resume": "results/resume", "job": "results/job.json"}, settings)
    with pytest.raises(UserError, match=r"notes\.txt: no JSON"):
        run_job(step.split(".")[0], job)


@pytest.mark.parametrize(
    ("folder", "record"),
    [("results/x", "results/x"), ("results/x", "results/x/job.json"), ("results/x/y", "results/x")],
)
def test_no_output_lies_in_another(here, folder, record):
    with pytest.raises(UserError, match=r"outputs\.\w+: .* lies in it"):
        run_job("cohort", cohort(folder, record))
    assert not (here / "results").exists()
