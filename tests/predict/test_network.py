"""What a trained stage sees of an image: windows as in training, background around an image smaller than a patch."""

import numpy as np
import pytest
import torch

from crossmod.predict.network import Ensemble, TrainedStage, pooled

PATCH = (16, 24, 16)
BACKGROUND = -1.5


class Witness(torch.nn.Module):
    """Foreground where the image is above zero; keeps all it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[np.ndarray] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 1, X, Y, Z) → (B, 2, X, Y, Z)."""
        self.seen.extend(x[:, 0].float().numpy())
        return torch.cat([torch.zeros_like(x), 20 * x], dim=1)


@pytest.fixture
def stage():
    return TrainedStage.of(Witness(), {"patch": PATCH, "overlap": 0.25}, "32-true")


@pytest.mark.parametrize("shape", [(16, 5, 16), (3, 4, 5), (40, 6, 33), (16, 24, 16), (30, 41, 22)])
def test_masks_have_the_images_shape_and_place(stage, shape):
    image = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    found = stage.probability(image, BACKGROUND)
    assert found.shape == shape
    np.testing.assert_array_equal(found > 0.5, image > 0)


def test_a_thin_slab_lies_in_the_middle_of_background_as_in_training(stage):
    slab = np.full((16, 4, 16), 2.0, dtype=np.float32)
    stage.probability(slab, BACKGROUND)
    (window,) = stage.network.seen
    assert window.shape == PATCH
    assert (window[:, 10:14] == 2).all()
    assert (np.delete(window, range(10, 14), axis=1) == BACKGROUND).all()


def test_an_ensemble_is_the_logarithmic_pool_of_its_members():
    class Constant(torch.nn.Module):
        def __init__(self, logit):
            super().__init__()
            self.logit = logit

        def forward(self, x):
            return torch.cat([torch.zeros_like(x), torch.full_like(x, self.logit)], dim=1)

    members = tuple(
        TrainedStage.of(Constant(logit), {"patch": PATCH, "overlap": 0.25}, "32-true") for logit in (-1.0, 4.0)
    )
    together = Ensemble(members).probability(np.zeros(PATCH, np.float32), 0.0)
    np.testing.assert_allclose(together, 1 / (1 + np.exp(-1.5)), rtol=1e-5)
    assert Ensemble(members).stage is members[0].stage


def test_one_sure_training_does_not_decide_against_all_others():
    certain, others = np.array([0.0, 1.0], np.float32), np.array([0.99, 0.01], np.float32)
    together = pooled([certain, *[others] * 4])
    assert np.isfinite(together).all()
    assert (together > 0.5).tolist() == [True, False]
    assert pooled([certain]) is certain
