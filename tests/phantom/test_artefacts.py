"""What scanners add is as strong as asked, lies where it should, and comes from the generator alone."""

import numpy as np
import pytest

from crossmod.phantom import Recipe
from crossmod.phantom.artefacts import ghost, slice_gain, streak, truncate
from crossmod.phantom.grid import Grid, make_grid


@pytest.fixture
def grid() -> Grid:
    """Of 5 mm: (80, 64, 40)."""
    recipe = Recipe(spacing_mm=(5, 5, 5), field_of_view_mm=(400, 320, 200), orientation="RAS", position_sd_mm=0.0)
    return make_grid(recipe, np.random.default_rng(0))


@pytest.fixture
def image(grid) -> np.ndarray:
    """(80, 64, 40) float32, uneven."""
    return np.random.default_rng(1).uniform(20, 400, grid.shape).astype(np.float32)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("share", [0.4, 0.75, 0.99])
def test_truncation_keeps_the_mean_of_every_line(image, axis, share):
    before = image.copy()
    truncate(image, axis, share)
    assert image.dtype == np.float32
    assert not np.array_equal(image, before)
    np.testing.assert_allclose(image.mean(axis=axis), before.mean(axis=axis), rtol=1e-4)


def test_all_of_k_space_leaves_the_bytes(image):
    before = image.tobytes()
    truncate(image, 1, 1.0)
    assert image.tobytes() == before


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("size", [64, 65])
def test_truncation_keeps_low_waves_and_drops_high_ones(axis, size):
    low, high = (np.cos(2 * np.pi * cycles * np.arange(size) / size) for cycles in (5, 25))
    shape = [1, 1, 1]
    shape[axis] = size
    image = np.ones((3, 3, 3), np.float32).take(np.zeros(size, int), axis) * (2 + low + high).reshape(shape)
    image = image.astype(np.float32)
    truncate(image, axis, 0.5)
    np.testing.assert_allclose(image, np.broadcast_to((2 + low).reshape(shape), image.shape), atol=1e-5)


@pytest.mark.parametrize(("share", "kept"), [(0.5, 24), (0.75, 37), (0.001, 2)])
def test_truncation_keeps_the_share_asked(share, kept):
    """Of the 49 frequencies of 96 voxels; two at least."""
    image = np.random.default_rng(4).normal(size=(1, 96, 1)).astype(np.float32)
    truncate(image, 1, share)
    spectrum = np.abs(np.fft.rfft(image.ravel()))
    assert np.flatnonzero(spectrum > 1e-4).max() == kept - 1


@pytest.mark.parametrize("share", [0.1, 0.25])
def test_edges_overshoot_by_nine_per_cent(share):
    """Gibbs: the first lobe beside a step of height 1 is 0.0895 high, however many frequencies there are."""
    image = np.zeros((1, 512, 1), np.float32)
    image[:, 128:384] = 1
    truncate(image, 1, share)
    assert image.max() - 1 == pytest.approx(0.0895, abs=0.01)
    assert -image.min() == pytest.approx(0.0895, abs=0.01)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_truncation_rings_along_its_axis_only(axis):
    image = np.zeros((40, 40, 40), np.float32)
    image[10:30, 10:30, 10:30] = 1
    truncate(image, axis, 0.5)
    outside = np.moveaxis(image, axis, 0)
    assert np.abs(outside[:, :10]).max() < 1e-5 and np.abs(outside[:, :, :10]).max() < 1e-5
    assert np.abs(outside[:8]).max() > 0.01


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("seed", range(6))
def test_ghosts_are_fainter_copies_at_even_steps_along_their_axis(grid, axis, seed):
    """One point at the front: copies lie one and two steps to either side, a step being 1/6 to 1/2.5 of the field."""
    image = np.zeros(grid.shape, np.float32)
    at = (40, 63, 20)
    image[at] = 100
    ghost(image, grid, axis, 0.1, np.random.default_rng(seed))
    assert image[at] == 100
    image[at] = 0
    found = np.argwhere(image)
    others = [other for other in range(3) if other != axis]
    assert all((found[:, other] == at[other]).all() for other in others)
    size = grid.shape[axis]
    away = set(((found[:, axis] - at[axis]) % size).tolist())
    assert away == {-value % size for value in away}
    near = [step for step in away if size / 6 - 1 < step < size / 2.5 + 1]
    assert any(away == {step % size, -step % size, far % size, -far % size} for step in near for far in even(step))
    assert 0 < image.max() <= 10


def even(step: int) -> tuple[int, ...]:
    """Where the second copy may lie once steps are rounded to voxels."""
    return 2 * step - 1, 2 * step, 2 * step + 1


@pytest.mark.parametrize("axis", [0, 1])
def test_the_back_of_the_body_does_not_move(grid, axis):
    image = np.zeros(grid.shape, np.float32)
    image[:, 0] = 100
    before = image.copy()
    ghost(image, grid, axis, 0.3, np.random.default_rng(0))
    np.testing.assert_array_equal(image, before)


def test_ghosts_are_as_strong_as_asked(grid, image):
    added = []
    for strength in (0.05, 0.2):
        ghosted = image.copy()
        ghost(ghosted, grid, 0, strength, np.random.default_rng(3))
        added.append(float((ghosted - image).mean()))
    assert added[0] > 0
    assert added[1] == pytest.approx(4 * added[0], rel=1e-3)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_differ_by_a_factor_alone(image, axis):
    before = image.copy()
    slice_gain(image, axis, 0.1, np.random.default_rng(2))
    ratio = np.moveaxis(image / before, axis, 0).reshape(image.shape[axis], -1)
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :1], ratio.shape), rtol=1e-5)
    assert np.ptp(ratio[:, 0]) > 0.05 and (ratio > 0).all()


def test_slices_differ_as_much_as_asked(grid):
    """Half of the slices share one random step.

    Of the spread, 0.6 lies between any two, all of it between odd and even.
    """
    within, between = [], []
    for seed in range(60):
        image = np.ones(grid.shape, np.float32)
        slice_gain(image, 2, 0.1, np.random.default_rng(seed))
        level = np.log(image[0, 0])
        within.append(level[::2].std())
        between.append(level[1::2].mean() - level[::2].mean())
    assert np.mean(within) == pytest.approx(0.06, rel=0.1)
    assert np.std(between) == pytest.approx(0.1, rel=0.25)


@pytest.mark.parametrize("across", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_streaks_leave_the_mean_about_unchanged(grid, across, seed):
    image = np.zeros(grid.shape, np.float32)
    streak(image, grid, 30.0, across, np.random.default_rng(seed))
    assert image.std() > 1
    assert abs(image.mean()) < 3


@pytest.mark.parametrize("seed", range(3))
def test_streaks_of_the_arms_run_straight_across_and_are_as_strong_as_asked(grid, seed):
    image = np.zeros(grid.shape, np.float32)
    streak(image, grid, 30.0, True, np.random.default_rng(seed))
    np.testing.assert_array_equal(image, np.broadcast_to(image[:1], image.shape))
    middle = np.abs(grid.axes[1] - 10) < 25
    assert image[0, middle].std() == pytest.approx(30, rel=0.3)
    far = np.abs(grid.axes[1] - 10) > 130
    assert image[0, far].std() < 3


def test_streaks_of_metal_fan_out_from_the_spine_in_some_slices(grid):
    peaks = []
    x, y, _ = grid.axes
    apart = np.hypot(x[:, None], y[None, :])
    for seed in range(20):
        image = np.zeros(grid.shape, np.float32)
        streak(image, grid, 30.0, False, np.random.default_rng(seed))
        strength = image.std(axis=(0, 1))
        assert (strength == 0).any() and (strength > 0).any()
        worst = image[:, :, np.argmax(strength)]
        assert worst[apart > 150].std() < 0.35 * worst[apart < 50].std()
        peaks.append(worst[apart < 40].std())
    assert 8 < np.mean(peaks) < 40


def worn(name: str, image: np.ndarray, grid: Grid, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A copy of an image with one artefact."""
    image = image.copy()
    if name == "ghost":
        ghost(image, grid, 1, strength, rng)
    elif name == "slice_gain":
        slice_gain(image, 2, strength, rng)
    else:
        streak(image, grid, 100 * strength, name == "arms", rng)
    return image


ARTEFACTS = ("ghost", "slice_gain", "arms", "metal")


@pytest.mark.parametrize("name", ARTEFACTS)
def test_no_strength_leaves_bytes_and_generator(image, grid, name):
    rng = np.random.default_rng(5)
    before = rng.bit_generator.state
    assert worn(name, image, grid, 0.0, rng).tobytes() == image.tobytes()
    assert rng.bit_generator.state == before


@pytest.mark.parametrize("name", ARTEFACTS)
def test_all_comes_from_the_generator(image, grid, name):
    one, two, other = (worn(name, image, grid, 0.2, np.random.default_rng(seed)) for seed in (7, 7, 8))
    assert one.dtype == np.float32
    assert one.tobytes() == two.tobytes()
    assert one.tobytes() != other.tobytes()
