"""The trainings that conf/training offers compose, take steps, and can be taken apart one key at a time."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml

from crossmod.design.arms import trainings
from crossmod.design.compose import compose
from crossmod.design.trainings import changed
from tests.train.conftest import TRAINING
from tests.train.test_tasks import learnt
from tests.train.toy import QUICK, THIN

ROOT = Path(__file__).resolve().parents[2]
CONSTANT = {"_target_": "torch.optim.lr_scheduler.ConstantLR"}
PRESETS = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "conf/training").glob("*.yaml"))
    if path.stem != "default"
}
ENHANCED = PRESETS["enhanced_sgd"]
WITHOUT = {
    "momentum": {"optimiser": ENHANCED["optimiser"] | {"momentum": 0.0, "nesterov": False}},
    "nesterov": {"optimiser": ENHANCED["optimiser"] | {"nesterov": False}},
    "decay of weights": {"optimiser": ENHANCED["optimiser"] | {"weight_decay": 0.0}},
    "warm-up": {"schedule": ENHANCED["schedule"] | {"warmup": 0.0}},
    "schedule": {"schedule": CONSTANT},
    "cosine": {"schedule": {"_target_": "crossmod.train.schedule.WarmupPolynomial", "warmup": 0.03}},
    "clipping": {"clip_norm": None},
    "average": {"average": None},
    "balance": {"loss": TRAINING["loss"]},
    "Dice": {"loss": {"_target_": "torch.nn.CrossEntropyLoss"}},
}


def weights(folder, **training):
    """All weights after four steps on the toy; and its losses."""
    folder.mkdir()
    network, losses, _ = learnt(folder, THIN, 4, **(QUICK | training))
    return torch.cat([p.detach().flatten() for p in network.parameters()]), losses


def test_the_presets_are_these():
    assert list(PRESETS) == ["adamw", "enhanced_sgd", "plain_sgd"]
    assert PRESETS["plain_sgd"]["optimiser"] == {"_target_": "torch.optim.SGD", "lr": 0.01, "momentum": 0.0}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_takes_steps(tmp_path, name):
    moved, losses = weights(tmp_path / "a", **PRESETS[name])
    assert bool(torch.isfinite(moved).all()) and losses[1] != losses[0]


def test_each_part_of_the_enhanced_one_is_removed_by_one_key(tmp_path):
    """Each removal is another training; `test_start.py` sees to clipping and averaging."""
    longer = changed(ENHANCED, {"schedule": ENHANCED["schedule"] | {"warmup": 0.5}})  # 3 % of four steps are none
    whole, _ = weights(tmp_path / "whole", **longer)
    for number, (part, change) in enumerate(WITHOUT.items()):
        left, losses = weights(tmp_path / str(number), **changed(longer, change))
        assert len(losses) == 4 and bool(torch.isfinite(left).all()), part
        assert torch.equal(left, whole) is (part in ("clipping", "average")), part


def test_presets_are_put_at_levels_and_after_the_default(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    text = (ROOT / "tests/studies/conf/study/slices.yaml").read_text(encoding="utf-8")
    inline = next(line for line in text.splitlines(keepends=True) if "training: {optimiser" in line)
    text = text.replace(inline, "").replace("study: slices", "study: presets")
    text = text.replace("  - _self_\n", "  - _self_\n  - /training@factors.optimiser.sgd.training: enhanced_sgd\n", 1)
    text = text.replace("/training@training: default", "/training@training: [default, plain_sgd]")
    (tmp_path / "conf/study/presets.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    study = compose(["study=presets", "scale=smoke"])
    settings = {name: training.settings for name, training in trainings(study).items()}
    assert list(study["factors"]["optimiser"]) == ["adamw", "sgd"], "levels keep their order"
    for level, preset in (("adamw", "plain_sgd"), ("sgd", "enhanced_sgd")):
        found = settings[f"mr3-none-{level}/kidney"]
        assert {key: found[key] for key in PRESETS[preset]} == PRESETS[preset]
        assert found["batch"] == 2
