"""Random curves and inversions: monotone, of the same mean and spread, and drawn only where they are asked for."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crossmod.design.compose import compose
from crossmod.train.augment import Augment
from crossmod.train.contrast import Curve, Invert

SETTINGS = compose([])["training"]["augmentation"]
NEVER = SETTINGS | dict.fromkeys(["affine", "noise", "blur", "brightness", "contrast", "gamma"], 0.0)


def image(seed=0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(1, 6, 7, 8)).astype(np.float32))


@given(st.integers(0, 10_000))
def test_a_curve_keeps_the_order_of_intensities_their_mean_and_spread(seed):
    x = image(seed)
    y = Curve.draw(np.random.default_rng(seed))(x)
    order = x.flatten().argsort()
    assert (np.diff(y.flatten()[order].numpy()) >= -1e-5).all()
    assert float(y.mean()) == pytest.approx(float(x.mean()), abs=1e-4)
    assert float(y.std()) == pytest.approx(float(x.std()), abs=1e-4)


def test_an_inversion_turns_the_order_round_and_undoes_itself():
    x = image()
    y = Invert(keep_dark=False)(x)
    assert (np.diff(y.flatten()[x.flatten().argsort()].numpy()) <= 1e-5).all()
    torch.testing.assert_close(Invert(keep_dark=False)(y), x, atol=1e-4, rtol=0)


def test_an_inversion_may_keep_air_dark():
    x = image().clamp(min=-0.5)
    y = Invert(keep_dark=True)(x)
    air = x == x.min()
    assert air.any() and (y[air] == y.min()).all()
    rest = ~(x <= x.min() + 0.01 * (x.max() - x.min()))
    assert (np.diff(y[rest][x[rest].argsort()].numpy()) <= 1e-5).all()


@pytest.mark.parametrize("change", [Curve.draw(np.random.default_rng(0)), Invert(True), Invert(False)])
def test_a_patch_without_contrast_stays(change):
    flat = torch.full((1, 4, 4, 4), -1.5)
    torch.testing.assert_close(change(flat), flat, rtol=0, atol=0)


def test_switched_off_nothing_more_is_drawn():
    old = {name: value for name, value in SETTINGS.items() if name not in ("curve", "invert")}
    after = []
    for settings in (old, SETTINGS, SETTINGS | {"curve": 0.0, "invert": 0.0}):
        rng = np.random.default_rng(7)
        Augment(settings, (6, 6, 6)).draw(rng)
        after.append(rng.random())
    assert len(set(after)) == 1 and SETTINGS["curve"] == SETTINGS["invert"] == 0


def test_the_other_changes_are_the_same_with_and_without():
    x, label = image()[0].numpy(), np.zeros((6, 7, 8), np.uint8)
    outs = []
    for settings in (NEVER | {"gamma": 1.0}, NEVER | {"gamma": 1.0, "curve": 1e-12}):
        change = Augment(settings, (6, 7, 8)).draw(np.random.default_rng(3))
        outs.append(change(x, label)["image"])
    torch.testing.assert_close(*outs, rtol=0, atol=0)


def test_they_come_as_often_as_asked_and_repeat():
    augment = Augment(NEVER | {"curve": 0.5, "invert": 0.25}, (6, 6, 6))
    drawn = [augment.draw(np.random.default_rng(seed)).intensity for seed in range(600)]
    curves = sum(any(isinstance(one, Curve) for one in changes) for changes in drawn)
    inversions = [one for changes in drawn for one in changes if isinstance(one, Invert)]
    assert 240 < curves < 360 and 110 < len(inversions) < 190
    assert 0.3 < np.mean([one.keep_dark for one in inversions]) < 0.7
    x, label = image()[0].numpy(), np.zeros((6, 7, 8), np.uint8)
    a, b = (augment.draw(np.random.default_rng(11))(x, label)["image"] for _ in range(2))
    torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_a_level_may_switch_them_on_for_its_trainings_alone():
    study = compose(["factors.strategy.ct.training={augmentation: {curve: 0.5, invert: 0.5}}"])
    assert study["factors"]["strategy"]["ct"]["training"] == {"augmentation": {"curve": 0.5, "invert": 0.5}}
    assert study["training"]["augmentation"]["invert"] == 0
