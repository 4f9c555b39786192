"""A training on a toy starts from others' weights, counts passes, averages, clips, and resumes whatever it learns."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from crossmod import train
from crossmod.job import Job, UserError
from crossmod.models.build import load_weights
from crossmod.models.stage import build_for
from crossmod.train.loop import Curve
from tests.train.conftest import TRAINING
from tests.train.toy import QUICK, THIN, UNET2D, prepared

RESTORE = THIN | {"learns": "reconstruction"}
PRESENT = THIN | {"learns": "presence", "of": ["liver"]}


@pytest.fixture
def toy_job(tmp_path, mlflow_store):
    """Function (name, stage, steps) → a training job on the toy; further keywords change the training's config."""
    folder = prepared(tmp_path / "prepare/toy", "s")
    (tmp_path / "training.json").write_text(json.dumps({"sets": {"toy": [{"toy": ["case0", "case1", "case2"]}]}}))

    def make(name: str, stage=THIN, steps: int | None = 8, model=UNET2D, **training) -> Job:
        outputs = {"weights": "model.safetensors", "history": "history.csv", "run": "run.json", "resume": "resume"}
        return Job(
            "train",
            {
                "training": str(tmp_path / "training.json"),
                "prepared": [str(folder)],
                "store": str(tmp_path / "none/store.json"),
            },
            {key: str(tmp_path / name / file) for key, file in outputs.items()},
            {
                "set": "toy",
                "fold": None,
                "derived": [],
                "stage": "s",
                "stages": {"s": stage | {"steps": steps}},
                "seed": 0,
                "model": model,
                "training": TRAINING | QUICK | training,
                "normalisation": {},
                "tags": {"study": "test"},
                "title": name,
            },
        )

    return make


@pytest.fixture(autouse=True)
def _unwatched(monkeypatch):
    """No MLflow: these trainings are not about it."""

    class Unwatched:
        run_id = ""

        def __init__(self, *_):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def log(self, row):
            return None

        finish = log

    monkeypatch.setattr("crossmod.runs.training.TrainingRun", Unwatched)


def weights(job: Job) -> dict[str, torch.Tensor]:
    return load_file(job.outputs["weights"])


def record(job: Job) -> dict:
    return json.loads(Path(job.outputs["run"]).read_text())


def test_a_training_starts_from_what_fits(toy_job, capfd):
    first = toy_job("restored", RESTORE)
    train.run(first)
    second = toy_job("started", steps=1, optimiser={"_target_": "torch.optim.SGD", "lr": 0.0})
    second.inputs["start"] = first.outputs["weights"]
    train.run(second)
    given, found, started = weights(first), weights(second), record(second)["start"]
    heads = sorted(name for name in found if given[name].shape != found[name].shape)
    assert heads and sorted(started["new"]) == heads and started["unused"] == heads
    assert sorted(started["loaded"] + heads) == sorted(found)
    for name in started["loaded"]:
        if "running" not in name and "tracked" not in name:  # a norm's statistics move without an optimiser
            torch.testing.assert_close(found[name], given[name], rtol=0, atol=0)
    assert f"{len(heads)} are new: {', '.join(started['new'])}" in capfd.readouterr().err
    assert record(first)["start"] is None


@pytest.mark.parametrize("target", ["encoder_decoder.EncoderDecoder", "patchwise.PatchedEncoderDecoder"])
@pytest.mark.parametrize("learns", ["reconstruction", "presence"])
def test_an_encoder_and_decoder_take_over_what_they_learnt(toy_job, target, learns):
    """Who restores trains all but the head; who tells presence trains the encoder, and there is no decoder."""
    model = {"_target_": f"crossmod.models.{target}", "spatial_dims": 2, "in_channels": 1}
    model |= {"channels": [4, 8], "strides": [2]} | ({"patch_size": 16} if "Patched" in target else {})
    first = toy_job("first", PRESENT if learns == "presence" else RESTORE, steps=2, model=model)
    train.run(first)
    second = toy_job("second", steps=1, model=model, optimiser={"_target_": "torch.optim.SGD", "lr": 0.0})
    second.inputs["start"] = first.outputs["weights"]
    train.run(second)
    given, found, started = weights(first), weights(second), record(second)["start"]
    plain = {key: {name.removeprefix("network.") for name in names} for key, names in started.items()}
    if learns == "presence":
        assert all(name.startswith("encoder.") for name in plain["loaded"])
        assert {name.split(".")[0] for name in plain["new"]} == {"ups", "decoder", "head"}
        assert plain["unused"] == {"whole.weight", "whole.bias"}
    else:
        assert plain["new"] == plain["unused"] == {"head.weight", "head.bias"}
        assert {name.split(".")[0] for name in plain["loaded"]} == {"encoder", "ups", "decoder"}
    for name in started["loaded"]:
        if "running" not in name and "tracked" not in name:  # a norm's statistics move without an optimiser
            assert torch.equal(found[name], given[name])
    with safe_open(second.outputs["weights"], "pt") as file:
        assert json.loads(file.metadata()["crossmod"])["model"]["decodes"] is True


def test_a_start_that_fits_nowhere_is_refused(toy_job):
    first = toy_job("first", steps=1)
    train.run(first)
    job = toy_job(
        "other",
        THIN | {"patch": [4, 16, 16]},
        model=UNET2D | {"spatial_dims": 3, "channels": [4, 4], "norm": "instance"},
    )
    job.inputs["start"] = first.outputs["weights"]
    with pytest.raises(UserError, match="no kernel of these weights fits the network"):
        train.run(job)
    job.inputs["start"] = "nowhere.safetensors"
    with pytest.raises(UserError, match=r"nowhere\.safetensors: no such weights to start from"):
        train.run(job)


def test_a_budget_of_passes_is_computed_from_the_set(toy_job, capfd):
    job = toy_job("passes", THIN | {"passes": 5}, steps=None, budget="passes")
    train.run(job)
    assert record(job)["steps"] == 4  # 5 × 3 cases in batches of 4
    assert "5 passes over 3 cases in batches of 4 are 4 steps" in capfd.readouterr().err
    assert Path(job.outputs["history"]).read_text().splitlines()[-1].startswith("4,")


def test_the_average_is_what_is_saved(toy_job):
    plain, averaged, still = toy_job("plain"), toy_job("averaged", average=0.9), toy_job("still", steps=1)
    for job in (plain, averaged, still):
        train.run(job)
    ends, mean = weights(plain), weights(averaged)
    assert list(ends) == list(mean)
    assert Path(plain.outputs["history"]).read_bytes() == Path(averaged.outputs["history"]).read_bytes()
    name = next(name for name, tensor in ends.items() if tensor.ndim == 4)
    first = weights(still)[name]
    assert 0 < (mean[name] - first).abs().mean() < (ends[name] - first).abs().mean(), "it lags behind"
    load_weights(build_for(UNET2D, THIN), averaged.outputs["weights"])


def test_gradients_are_clipped(toy_job):
    sgd = {"_target_": "torch.optim.SGD", "lr": 1.0}
    constant = {"_target_": "torch.optim.lr_scheduler.ConstantLR"}
    still = toy_job("still", steps=1, optimiser=sgd | {"lr": 0.0}, schedule=constant)
    clipped = toy_job("clipped", steps=1, optimiser=sgd, schedule=constant, clip_norm=0.01)
    free = toy_job("free", steps=1, optimiser=sgd, schedule=constant)
    for job in (still, clipped, free):
        train.run(job)
    names = [name for name in weights(still) if "running" not in name and "tracked" not in name]

    def moved(job):
        return float(torch.cat([(weights(job)[n] - weights(still)[n]).flatten() for n in names]).norm())

    assert moved(clipped) == pytest.approx(0.01, rel=0.01)
    assert moved(free) > 0.05


def test_a_loss_of_no_use_to_a_task_is_said(toy_job, capfd):
    job = toy_job("restored", RESTORE, steps=1)
    train.run(job)
    assert "learns reconstruction by torch.nn.MSELoss, not the loss of segmentations" in capfd.readouterr().err
    assert record(job)["loss"] == {"_target_": "torch.nn.MSELoss"}


def test_a_class_that_nobody_shows_is_warned_of(toy_job, capfd):
    classes = {"bright": ["liver"], "dark": ["spleen"], "third": ["aorta"]}
    train.run(toy_job("third", THIN | {"classes": classes}, steps=1))
    assert "has no foreground for class 'third' of stage 's'" in capfd.readouterr().err


def test_a_derived_cohort_may_lack_cases_of_the_set(toy_job, capfd):
    job = toy_job("derived", steps=1)
    training = Path(job.inputs["training"])
    training.write_text(training.read_text().replace('"case2"', '"case2", "case3"'))
    with pytest.raises(UserError, match="1 cases are not prepared for stage 's', the first 'case3'"):
        train.run(job)
    job.settings["derived"] = ["toy"]
    train.run(job)
    assert "1 of 4 cases are left out of cohort 'toy', the first 'case3'" in capfd.readouterr().err
    assert record(job)["cases"] == 3


def test_the_header_names_the_network_as_it_is(toy_job):
    job = toy_job("three", steps=1)
    train.run(job)
    with safe_open(job.outputs["weights"], "pt") as file:
        facts = json.loads(file.metadata()["crossmod"])
    assert facts["model"] == UNET2D | {"out_channels": 3}
    assert facts["stage"]["s"]["classes"] == THIN["classes"]


SGD = {"optimiser": {"_target_": "torch.optim.SGD", "lr": 0.01, "momentum": 0.9, "nesterov": True}}
PLAIN_SGD = {"optimiser": {"_target_": "torch.optim.SGD", "lr": 0.01}}
ONE_CYCLE = {"schedule": {"_target_": "torch.optim.lr_scheduler.OneCycleLR"}}


@pytest.mark.parametrize(
    ("stage", "training"),
    [
        (THIN, {"average": 0.9, "clip_norm": 1.0} | SGD),
        (THIN | {"classes": {"bright": ["liver", "spleen"]}}, {"average": 0.5}),
        (THIN, PLAIN_SGD | ONE_CYCLE | {"optimiser": SGD["optimiser"]}),
        (RESTORE, PLAIN_SGD),
        (PRESENT, {"schedule": {"_target_": "torch.optim.lr_scheduler.CosineAnnealingLR"}}),
    ],
    ids=["several", "one", "cycle", "reconstruction", "presence"],
)
def test_killed_and_resumed_is_the_same_as_undisturbed(toy_job, monkeypatch, capfd, stage, training):
    start = toy_job("start", steps=1)
    train.run(start)
    jobs = [toy_job(name, stage, **training) for name in ("undisturbed", "killed")]
    for job in jobs:
        job.inputs["start"] = start.outputs["weights"]
        job.settings["title"] = "same"
    train.run(jobs[0])

    def fail(self, trainer, *_):
        if trainer.global_step == 5:
            raise RuntimeError("interrupted")

    with monkeypatch.context() as patch:
        patch.setattr(Curve, "on_train_batch_start", fail, raising=False)
        with pytest.raises(RuntimeError, match="interrupted"):
            train.run(jobs[1])
    train.run(jobs[1])
    assert "resuming from step 4" in capfd.readouterr().err
    for key in ("weights", "history", "run"):
        assert Path(jobs[0].outputs[key]).read_bytes() == Path(jobs[1].outputs[key]).read_bytes(), key


def test_other_weights_to_start_from_are_another_training(toy_job, monkeypatch, capfd):
    starts = [toy_job("one", steps=1), toy_job("two", steps=2)]
    for job in starts:
        train.run(job)
    job = toy_job("killed")

    def fail(self, trainer, *_):
        if trainer.global_step == 5:
            raise RuntimeError("interrupted")

    job.inputs["start"] = starts[0].outputs["weights"]
    with monkeypatch.context() as patch:
        patch.setattr(Curve, "on_train_batch_start", fail, raising=False)
        with pytest.raises(RuntimeError, match="interrupted"):
            train.run(job)
    job.inputs["start"] = starts[1].outputs["weights"]
    train.run(job)
    assert "resuming" not in capfd.readouterr().err
