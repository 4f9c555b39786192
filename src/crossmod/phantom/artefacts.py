"""What scanners add: truncated or fading k-space, ghosts of breathing, uneven slices, streaks."""

import numpy as np
from scipy import fft, ndimage

from crossmod.phantom.grid import Grid


def truncate(image: np.ndarray, axis: int, share: float) -> None:
    """Leave out the outer part of k-space along an axis, in place: edges ring (Gibbs) and blur.

    Args:
        image: float32.
        axis: phase-encoding axis.
        share: of the frequencies that is kept.
    """
    if share >= 1:
        return
    spectrum = fft.rfft(image, axis=axis)
    keep = max(2, round(share * spectrum.shape[axis]))
    index = [slice(None)] * 3
    index[axis] = slice(keep, None)
    spectrum[tuple(index)] = 0
    image[:] = fft.irfft(spectrum, n=image.shape[axis], axis=axis)


def decay(image: np.ndarray, axis: int, times_t2: float) -> None:
    """Blur along an axis as the signal fades over a train of echoes, in place; the middle of k-space keeps its level.

    Lines of half of k-space come after the middle one, outwards; the other half is their mirror image (half Fourier).

    Args:
        image: float32.
        axis: phase-encoding axis.
        times_t2: how long the train goes on after the middle of k-space, in T2.
    """
    spectrum = fft.rfft(image, axis=axis)
    count = spectrum.shape[axis]
    shape = [1, 1, 1]
    shape[axis] = count
    spectrum *= np.exp(-max(times_t2, 0.0) * np.linspace(0, 1, count)).astype(np.float32).reshape(shape)
    image[:] = fft.irfft(spectrum, n=image.shape[axis], axis=axis)


def ghost(image: np.ndarray, grid: Grid, axis: int, strength: float, rng: np.random.Generator) -> None:
    """Add displaced copies of the front of the body along the phase-encoding axis, in place.

    ASSUME: breathing is periodic over the acquisition, so that ghosts lie evenly apart, at two to six to a field of
    view (Wood & Henkelman, Med Phys 1985;12:143), and what moves most is the front wall.
    """
    if strength == 0:
        return
    y = grid.axes[1]
    moving = np.clip((y - y[0]) / (y[-1] - y[0] + 1e-3), 0, 1).astype(np.float32) ** 2
    copy = image * moving[None, :, None]
    step = image.shape[axis] / rng.uniform(2.5, 6.0)
    for order in (1, -1, 2, -2):
        shifted = np.roll(copy, round(order * step), axis=axis)
        image += np.float32(strength * rng.uniform(0.3, 1.0) / abs(order) ** 1.5) * shifted


def slice_gain(image: np.ndarray, axis: int, sd: float, rng: np.random.Generator) -> None:
    """Make some slices brighter than others, in place: cross-talk of interleaved slices and a wandering gain."""
    if sd == 0:
        return
    count = image.shape[axis]
    gain = rng.normal(0, 0.6 * sd, count) + rng.normal(0, sd) * (np.arange(count) % 2)
    shape = [1, 1, 1]
    shape[axis] = count
    image *= np.exp(gain).astype(np.float32).reshape(shape)


def streak(image: np.ndarray, grid: Grid, strength_hu: float, across: bool, rng: np.random.Generator) -> None:
    """Add streaks to a CT, in place.

    Args:
        image: HU, R-A-S.
        grid: its sampling points.
        strength_hu: standard deviation of the streaks where they are strongest.
        across: from the arms, straight across the body; else in a fan from metal in the spine.
        rng: source of chance.

    ASSUME: photon starvation and beam hardening add bands along the rays through the dense object, nothing else.
    """
    if strength_hu == 0:
        return
    x, y, z = (axis.astype(np.float32) for axis in grid.axes)
    height = rng.standard_normal(len(z)).astype(np.float32)
    if across:
        bands = ndimage.gaussian_filter1d(rng.standard_normal((len(y), len(z))).astype(np.float32), 1.2, axis=0)
        bands /= bands.std() + 1e-6
        near = np.exp(-(((y - 10) / 60) ** 2))[:, None]
        image += np.float32(strength_hu) * (bands * near)[None]
        return
    middle = np.array([rng.uniform(-12, 12), rng.uniform(-20, 5)], dtype=np.float32)
    u, v = x[:, None] - middle[0], y[None, :] - middle[1]
    turn = np.arctan2(v, u)
    fan = sum(
        np.float32(rng.normal()) * np.cos(np.float32(k) * turn + np.float32(rng.uniform(0, 6.3)))
        for k in range(2, 30, 3)
    )
    fade = np.exp(-np.hypot(u, v) / 70) * (np.hypot(u, v) > 8)
    part = np.abs(z - rng.choice(z)) < rng.uniform(15, 50)
    level = np.where(part, 1 + 0.3 * height, 0).astype(np.float32)
    image += np.float32(strength_hu / 3.0) * (fan * fade)[:, :, None].astype(np.float32) * level
