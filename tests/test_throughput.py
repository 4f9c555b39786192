"""Throughput: every call is timed by itself, after a warm-up, and the table says on what."""

import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from crossmod import throughput
from crossmod.design.timed import throughput_faults, throughput_settings
from crossmod.job import Job, UserError
from crossmod.models.stage import build_for
from crossmod.throughput import measured, processor
from tests.train.toy import UNET2D

PATCHED = {
    "_target_": "crossmod.models.patchwise.PatchedEncoderDecoder",
    "spatial_dims": 2,
    "in_channels": 1,
    "channels": [4, 8],
    "strides": [2],
    "patch_size": 16,
}
SETTINGS = {
    "models": {"model": UNET2D, "patched": PATCHED},
    "stage": {"learns": "segmentation", "classes": {"a": ["liver"]}, "patch": [16, 1, 16], "overlap": 0.5},
    "slice": [40, 30],
    "warm_up": 1,
    "repeats": 4,
    "threads": 1,
    "precision": "32-true",
}


def test_networks_are_timed_one_plane_at_a_time(tmp_path):
    table = tmp_path / "throughput.csv"
    throughput.run(Job("throughput", {}, {"table": str(table)}, SETTINGS))
    found = pd.read_csv(table)
    assert list(found["model"]) == ["model", "patched"] and list(found["slice"]) == ["40x30"] * 2
    assert list(found["parameters"]) == [
        sum(parameter.numel() for parameter in build_for(model, SETTINGS["stage"]).parameters())
        for model in (UNET2D, PATCHED)
    ]
    assert (found["median_ms"] > 0).all() and (found["p95_ms"] >= found["median_ms"]).all()
    assert found["slices_per_s"].to_numpy() == pytest.approx(1000 / found["median_ms"], rel=0.02)
    assert (found["real_time"] == (found["median_ms"] <= 40)).all() and set(found["limit_ms"]) == {40.0}
    assert set(found["processor"]) == {processor()} and set(found["threads"]) == {1} and set(found["repeats"]) == {4}
    assert found["torch"].str.match(r"\d+\.\d+").all() and set(found["precision"]) == {"32-true"}


def test_the_median_and_the_slow_end_are_of_the_calls_after_the_warm_up(monkeypatch):
    calls, clock = [], iter([0.0, 0.010, 1.0, 1.010, 2.0, 2.010, 3.0, 3.110])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    speed = measured(lambda: calls.append(1), warm_up=3, repeats=4)
    assert len(calls) == 7
    assert (speed.median_ms, speed.p95_ms) == (pytest.approx(10), pytest.approx(95))


@pytest.mark.parametrize(("waited_s", "warns"), [((0.0, 0.07), True), ((5.0, 5.001), False), ((None, None), False)])
def test_a_busy_machine_is_told_beside_the_figure(monkeypatch, capsys, tmp_path, waited_s, warns):
    """Two calls of half a second each, in which others had the processor for so long."""
    clock, waited = iter([0.0, 0.5, 1.0, 1.5]), iter(waited_s)
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(throughput, "_waited_s", lambda: next(waited))
    one = SETTINGS | {"models": {"model": UNET2D}, "repeats": 2}
    throughput.run(Job("throughput", {}, {"table": str(tmp_path / "t.csv")}, one))
    assert ("other programs had the processor in 7% of the time" in capsys.readouterr().err) is warns
    noted = pd.read_csv(tmp_path / "t.csv", keep_default_na=False)["note"].item()
    assert noted.startswith("other programs had the processor in 7% of the time") is warns and bool(noted) is warns
    assert pd.read_csv(tmp_path / "t.csv")["waited"].fillna(-1).item() == pytest.approx(
        -1 if waited_s[0] is None else waited_s[1] - waited_s[0]
    )


def test_a_patch_of_three_dimensions_is_no_plane(tmp_path):
    job = Job("throughput", {}, {"table": str(tmp_path / "t.csv")}, SETTINGS | {"stage": {"patch": [16, 16, 16]}})
    with pytest.raises(UserError, match=r"\[16, 16, 16\] is no plane"):
        throughput.run(job)


@pytest.fixture
def study(monkeypatch) -> dict:
    """The study of slices, as composed, with a network of a level and one that nobody uses."""
    from crossmod.design.compose import validate

    folder = Path(__file__).parents[1]
    values = yaml.safe_load((folder / "tests/studies/conf/study/slices.yaml").read_text(encoding="utf-8"))
    values |= {"model": UNET2D, "models": {"cut": PATCHED, "unused": PATCHED | {"patch_size": 32}}, "scale": "smoke"}
    values["training"] = yaml.safe_load((folder / "conf/training/default.yaml").read_text(encoding="utf-8"))
    values["factors"]["optimiser"]["sgd"]["model"] = "cut"
    del values["defaults"]
    return validate(values | {"throughput": {"stage": "kidney", "slice": [320, 384], "threads": 2}})


def test_a_study_times_the_networks_that_its_arms_use(study):
    settings = throughput_settings(study)
    assert list(settings["models"]) == ["model", "cut"]
    assert settings["slice"] == [320, 384] and (settings["warm_up"], settings["repeats"], settings["threads"]) == (
        10,
        100,
        2,
    )
    assert settings["stage"]["patch"] == [32, 32, 1] and settings["precision"] == "auto"
    assert list(throughput_faults(study | {"throughput": None})) == []


@pytest.mark.parametrize(
    ("stage", "patch", "problem"),
    [
        ("kidny", [32, 32, 1], "throughput.stage: no stage that learns segmentation 'kidny'; did you mean 'kidney'"),
        ("restore", [32, 32, 1], "throughput.stage: no stage that learns segmentation 'restore'"),
        ("kidney", [32, 32, 32], "patches of 'kidney' have three dimensions; planes alone are timed"),
    ],
)
def test_a_stage_that_cannot_be_timed_is_a_fault(study, stage, patch, problem):
    study["throughput"]["stage"] = stage
    study["stages"]["kidney"]["patch"] = patch
    (fault,) = throughput_faults(study)
    assert problem in fault
