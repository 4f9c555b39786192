"""What a trained stage sees of an image: windows as in training, background around an image smaller than a patch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crossmod.job import UserError
from crossmod.models.stage import build_for
from crossmod.predict.network import Ensemble, TrainedStage, pooled

PATCH = (16, 24, 16)
BACKGROUND = -1.5
STAGE = {"classes": {"kidney": ["kidney"]}, "patch": PATCH, "overlap": 0.25}


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
    return TrainedStage.of(Witness(), STAGE, "32-true")


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

    members = tuple(TrainedStage.of(Constant(logit), STAGE, "32-true") for logit in (-1.0, 4.0))
    together = Ensemble(members).probability(np.zeros(PATCH, np.float32), 0.0)
    np.testing.assert_allclose(together, 1 / (1 + np.exp(-1.5)), rtol=1e-5)
    assert Ensemble(members).stage is members[0].stage


def test_one_sure_training_does_not_decide_against_all_others():
    certain, others = np.array([0.0, 1.0], np.float32), np.array([0.99, 0.01], np.float32)
    together = pooled([certain, *[others] * 4])
    assert np.isfinite(together).all()
    assert (together > 0.5).tolist() == [True, False]
    assert pooled([certain]) is certain


class Bands(torch.nn.Module):
    """Logits of a background and two classes: 0, and ten times what is given of brightness around 1 and around 2."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 1, X, Y, Z) → (B, 3, X, Y, Z)."""
        return torch.cat([torch.zeros_like(x), 10 * (0.5 - (x - 1).abs()), 10 * (0.5 - (x - 2).abs())], dim=1)


TWO = {"classes": {"liver": ["liver"], "tumour": ["tumour"]}, "patch": PATCH, "overlap": 0.25}


def test_of_several_classes_probabilities_are_a_softmax_with_the_background_first():
    image = np.random.default_rng(1).choice([0.0, 1.0, 2.0], (20, 30, 9)).astype(np.float32)
    found = TrainedStage.of(Bands(), TWO, "32-true").probability(image, 0.0)
    assert found.shape == (3, 20, 30, 9)
    np.testing.assert_allclose(found.sum(axis=0), 1, rtol=1e-5)
    np.testing.assert_array_equal(found.argmax(axis=0), image)


def test_a_network_of_other_classes_than_its_stage_is_refused(stage):
    with pytest.raises(UserError, match=r"tells 2 classes from the background, and its stage has 1 \(kidney\)"):
        TrainedStage.of(Bands(), STAGE, "32-true").probability(np.zeros(PATCH, np.float32), 0.0)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("overlap", [0.0, 0.5])
def test_patches_one_voxel_thick_see_every_slice_once_across_and_as_it_is(axis, overlap):
    patch = [8, 8, 8]
    patch[axis] = 1
    thin = TrainedStage.of(Witness(), STAGE | {"patch": patch, "overlap": overlap}, "32-true")
    shape = [12, 12, 12]
    shape[axis] = 5
    image = np.random.default_rng(2).normal(0, 1, shape).astype(np.float32)
    np.testing.assert_array_equal(thin.probability(image, BACKGROUND) > 0.5, image > 0)
    seen = thin.network.seen
    assert {window.shape for window in seen} == {tuple(patch)}
    along = 2 if overlap == 0.0 else int((12 - 8) / 4) + 1
    assert len(seen) == 5 * along**2


@given(
    arrays(np.float32, (3, 4, 2, 1, 2), elements=st.floats(0.015625, 1, width=32)),
    st.permutations(range(3)),
)
def test_the_pool_of_several_classes_is_the_normalised_geometric_mean_in_any_order(weights, order):
    members = weights / weights.sum(axis=1, keepdims=True)
    product = np.prod(members.astype(float) ** (1 / 3), axis=0)
    found = pooled([members[i] for i in order])
    np.testing.assert_allclose(found, product / product.sum(axis=0), rtol=1e-4)


def test_of_two_classes_both_ways_of_pooling_are_one():
    p = np.random.default_rng(3).uniform(0.01, 0.99, (3, 4, 4, 4))
    as_classes = pooled([np.stack([1 - one, one]) for one in p])
    np.testing.assert_allclose(as_classes[1], pooled(list(p)), rtol=1e-9)


@pytest.mark.parametrize("thin", [0, 1, 2])
def test_a_network_of_two_dimensions_sees_plane_after_plane(thin):
    model = {
        "_target_": "monai.networks.nets.UNet",
        "spatial_dims": 2,
        "in_channels": 1,
        "channels": [4, 8],
        "strides": [2],
    }
    patch, shape = [16, 16, 16], [20, 20, 20]
    patch[thin], shape[thin] = 1, 5
    flat = {"classes": {"a": ["liver"], "b": ["spleen"]}, "patch": patch, "overlap": 0.5}
    stage = TrainedStage.of(build_for(model, flat), flat, "32-true")
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    found = stage.probability(image, BACKGROUND)
    assert found.shape == (3, *shape)
    for plane in range(5):
        alone = stage.probability(image.take([plane], axis=thin), BACKGROUND)
        np.testing.assert_allclose(found.take([plane], axis=1 + thin), alone, atol=1e-5)


def test_auxiliary_outputs_are_left_to_training():
    class Several(Witness):
        def forward(self, x):
            main = super().forward(x)
            return [main, -main]

    image = np.random.default_rng(0).normal(size=PATCH).astype(np.float32)
    one, several = (
        TrainedStage.of(kind(), STAGE, "32-true").probability(image, BACKGROUND) for kind in (Witness, Several)
    )
    np.testing.assert_array_equal(one, several)
