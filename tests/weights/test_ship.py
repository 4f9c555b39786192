"""Only what was trained by today's config is put into the package, and it is told apart by its hash."""

import copy
import itertools
import json
from pathlib import Path

import pytest
import torch

import crossmod.weights.ship
from crossmod.design.arms import deployed
from crossmod.design.compose import compose
from crossmod.job import UserError, file_digest
from crossmod.models.build import load_weights, save_weights
from crossmod.models.stage import build_for
from crossmod.weights.model import Model
from crossmod.weights.ship import ship

LEARNT = ("learns", "classes", "of", "region", "spacing_mm", "patch", "steps", "jitter_mm")


def trained(results: Path, change=None) -> dict:
    """A finished training of the study `measure`, but for the training."""
    study = compose(["study=measure"])
    for stage, settings in study["stages"].items():
        job = {
            "stages": {stage: {key: settings[key] for key in LEARNT}},
            "model": study["model"],
            "training": study["training"],
        }
        if change:
            job = copy.deepcopy(job)
            change(job)
        for seed in study["seeds"]:
            folder = results / "measure/laptop/train" / deployed(study)[0].name / stage / f"seed{seed}"
            torch.manual_seed(seed)
            save_weights(build_for(study["model"], study["stages"][stage]), folder / "model.safetensors", {})
            (folder / "job.json").write_text(json.dumps({"settings": job}))
    return study


def test_networks_and_record_are_written(tmp_path):
    study = trained(tmp_path)
    record = ship([], tmp_path, tmp_path / "package")
    for stage, seed in itertools.product(study["stages"], study["seeds"]):
        path = tmp_path / "package" / f"{stage}-{seed}.safetensors"
        assert record["weights"][stage][path.name] == file_digest(path)
        torch.manual_seed(seed)
        expected = build_for(study["model"], study["stages"][stage]).state_dict()
        for name, tensor in load_weights(build_for(study["model"], study["stages"][stage]), path).state_dict().items():
            torch.testing.assert_close(tensor, expected[name], atol=1e-3, rtol=1e-3)
    assert json.loads((tmp_path / "package/weights.json").read_text()) == record


def test_what_is_not_trained_is_named(tmp_path):
    with pytest.raises(UserError, match="kidney/seed0: not trained yet.*make weights") as caught:
        ship([], tmp_path, tmp_path / "package")
    assert "parenchyma/seed0" in str(caught.value)
    assert not (tmp_path / "package").exists()


@pytest.mark.parametrize("key", ["model", "training", "stages"])
def test_what_was_trained_otherwise_is_refused(tmp_path, key):
    def change(job):
        value = next(iter(job["stages"].values())) if key == "stages" else job[key]
        value["steps" if key == "stages" else "other"] = 1

    trained(tmp_path, change)
    with pytest.raises(UserError, match="trained with other settings"):
        ship([], tmp_path, tmp_path / "package")


def test_only_what_was_shipped_is_replaced(tmp_path):
    trained(tmp_path)
    folder = tmp_path / "package"
    ship([], tmp_path, folder)
    (folder / "other.txt").write_text("mine")
    ship(["seeds=[0,1]"], tmp_path, folder)
    assert len(list(folder.glob("*.safetensors"))) == 4
    assert (folder / "other.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["mine.safetensors", "kidney-0.safetensors"])
@pytest.mark.parametrize("record", [False, True])
def test_a_network_of_the_user_s_is_never_removed(tmp_path, name, record):
    trained(tmp_path)
    folder = tmp_path / "package"
    folder.mkdir()
    if record:
        ship([], tmp_path, folder)
    (folder / name).write_bytes(b"mine")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(UserError, match=f"{name}: not, or no longer, as weights.json tells of.*Move it away"):
        ship([], tmp_path, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("text", ["", "mine", "{}"])
def test_a_record_of_the_user_s_is_never_replaced(tmp_path, text):
    trained(tmp_path)
    (tmp_path / "package").mkdir()
    (tmp_path / "package/weights.json").write_text(text)
    with pytest.raises(UserError, match="weights.json: not a record.*move it away"):
        ship([], tmp_path, tmp_path / "package")
    assert (tmp_path / "package/weights.json").read_text() == text


@pytest.mark.parametrize("moment", [0, 1, 3])
def test_killed_between_its_files_it_is_repeated(tmp_path, monkeypatch, moment):
    trained(tmp_path)
    folder = tmp_path / "package"
    ship([], tmp_path, folder)
    whole = crossmod.weights.ship.whole
    left = iter(range(moment))

    def dies(path):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return whole(path)

    monkeypatch.setattr("crossmod.weights.ship.whole", dies)
    with pytest.raises(KeyboardInterrupt):
        ship(["seeds=[0,1]"], tmp_path, folder)
    with pytest.raises(UserError, match="missing, or not what weights.json tells of"):
        Model.shipped(folder)
    monkeypatch.undo()
    ship(["seeds=[0,1]"], tmp_path, folder)
    assert len(Model.shipped(folder).weights["kidney"]) == 2
