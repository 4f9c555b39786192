"""From tissues to spin-echo MR signal."""

import numpy as np
from scipy import ndimage
from scipy.special import expit

from crossmod.phantom.ct import FWHM
from crossmod.phantom.field import random_field
from crossmod.phantom.grid import Grid
from crossmod.phantom.recipe import MRSettings
from crossmod.phantom.tissue import FATS, Tissue

# Tissue: T1 and T2 (ms) at 1.5 T, T1 and T2 at 3 T, proton density (share of water's), spread of texture.
# Sources: [1] de Bazelaire et al., Radiology 2004;230:652 (kidney, liver, spleen, pancreas, muscle, marrow, fat);
# [2] Stanisz et al., Magn Reson Med 2005;54:507 (blood, cord, muscle); [3] Rooney et al., Magn Reson Med 2007;57:308 (CSF T1).
# ASSUME: where these give no value (disc, bile, bowel, cysts, carcinomas), it lies between those of its main components;
# proton densities are 0.7 to 1, and lower where protons are scarce (lung, bone) or move (flowing blood loses its echo).
RELAXATION = {
    Tissue.AIR: (1000, 50, 1000, 50, 0.0, 0.0),
    Tissue.SKIN: (900, 30, 1000, 30, 0.6, 0.1),
    Tissue.SUBCUTANEOUS_FAT: (343, 58, 382, 68, 0.95, 0.06),  # [1]
    Tissue.MUSCLE: (930, 35, 1150, 37, 0.85, 0.12),  # means of [1] and [2]
    Tissue.VISCERAL_FAT: (343, 58, 382, 68, 0.9, 0.15),  # [1]
    Tissue.BONE_CORTEX: (900, 10, 950, 10, 0.12, 0.1),
    Tissue.BONE_MARROW: (549, 49, 586, 49, 0.65, 0.15),  # [1]
    Tissue.DISC: (1000, 55, 1100, 50, 0.65, 0.2),
    Tissue.CSF: (4000, 1500, 4300, 1500, 1.0, 0.08),  # [3]
    Tissue.CORD: (745, 74, 993, 78, 0.8, 0.05),  # [2]
    Tissue.LUNG: (1000, 35, 1100, 30, 0.12, 0.3),
    Tissue.LIVER: (586, 46, 809, 34, 0.82, 0.13),  # [1]
    Tissue.LIVER_VESSEL: (1441, 180, 1932, 140, 0.6, 0.2),  # [2], slow flow
    Tissue.GALLBLADDER: (2500, 500, 2700, 450, 0.98, 0.06),
    Tissue.SPLEEN: (1057, 79, 1328, 61, 0.9, 0.04),  # [1]
    Tissue.BOWEL_WALL: (900, 60, 1000, 55, 0.85, 0.15),
    Tissue.BOWEL_FLUID: (2400, 320, 2600, 300, 0.92, 0.17),
    Tissue.BOWEL_STOOL: (700, 50, 800, 45, 0.7, 0.45),
    Tissue.BOWEL_GAS: (1000, 50, 1000, 50, 0.01, 0.0),
    Tissue.PANCREAS: (584, 46, 725, 43, 0.9, 0.15),  # [1]
    Tissue.ADRENAL: (700, 55, 850, 50, 0.85, 0.05),
    Tissue.ARTERY: (1441, 290, 1932, 275, 0.08, 0.4),  # [2], flow void
    Tissue.VEIN: (1441, 200, 1932, 160, 0.3, 0.5),  # [2], partly void
    Tissue.PLAQUE: (900, 10, 950, 10, 0.1, 0.1),
    Tissue.CORTEX: (966, 87, 1142, 76, 0.92, 0.07),  # [1]
    Tissue.MEDULLA: (1412, 85, 1545, 81, 0.97, 0.08),  # [1]
    Tissue.SINUS_FAT: (343, 58, 382, 68, 0.85, 0.3),  # [1]
    Tissue.URINE: (2800, 800, 3000, 700, 0.98, 0.05),
    Tissue.CYST: (3000, 900, 3200, 800, 1.0, 0.03),
    Tissue.TUMOUR: (1200, 95, 1400, 85, 0.9, 0.15),
    Tissue.NECROSIS: (1900, 180, 2100, 160, 0.95, 0.15),
    Tissue.HAEMORRHAGE: (700, 45, 800, 40, 0.9, 0.2),
}
# Relaxation of carcinomas relative to the row above: T2 factor and texture. Clear-cell carcinomas are bright and uneven on
# T2, papillary ones dark and even (haemosiderin), chromophobe ones between: Oliva et al., AJR 2009;192:1524.
SUBTYPE_T2 = {"clear_cell": (1.25, 0.24), "papillary": (0.55, 0.1), "chromophobe": (0.85, 0.12)}


def render_mr(
    fine: np.ndarray, grid: Grid, settings: MRSettings, histology: str, rng: np.random.Generator
) -> np.ndarray:
    """Magnitude (int16, arbitrary units) on the grid, R-A-S order, from tissues on the fine grid; see `render_ct`."""
    signal, texture = _signal(settings, histology, rng)
    cortex = float(signal[Tissue.CORTEX])
    weight = signal[fine]
    weight *= 1 + texture[fine] * random_field(rng, 7.0, 1.0, (260.0,) * 3).on(grid.fine_axes)
    np.maximum(weight, 0, out=weight)
    is_fat = np.zeros(len(Tissue), dtype=np.float32)
    is_fat[list(FATS)] = 1
    # ASSUME: half of the marrow's signal is fat.
    is_fat[Tissue.BONE_MARROW] = 0.5
    # ASSUME: a fifth of the sinus fat's signal is that of small vessels and calyces within.
    is_fat[Tissue.SINUS_FAT] = 0.8
    weight *= 1 - is_fat[fine] * _suppression(grid, settings, rng)
    image = grid.mean_slices(weight)
    for axis in range(3):
        sigma = settings.psf_fwhm_mm / FWHM / grid.spacing_mm[axis]
        if axis != grid.slice_axis and sigma > 0.15:
            ndimage.gaussian_filter1d(image, sigma, axis=axis, output=image, mode="nearest", truncate=3.0)
    image *= np.exp(_receive_field(grid, settings, rng))
    _add_noise(image, settings.noise * np.exp(rng.normal(0, settings.noise_sd)) * cortex, rng)
    # ASSUME: scanner units are arbitrary: a cortex lies anywhere from 250 to 1000.
    units = np.exp(rng.uniform(np.log(250.0), np.log(1000.0))) / cortex
    return np.clip(np.round(image * np.float32(units)), 0, 32767).astype(np.int16)


def _signal(settings: MRSettings, histology: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Spin-echo signal PD (1 - exp(-TR/T1)) exp(-TE/T2) and texture of every tissue, float32 (len(Tissue),)."""
    rows = np.array([RELAXATION[t] for t in Tissue], dtype=float)
    t1, t2 = rows[:, [0, 1]].T if settings.field_t == 1.5 else rows[:, [2, 3]].T
    density, texture = rows[:, 4], rows[:, 5].copy()
    factor, texture[Tissue.TUMOUR] = SUBTYPE_T2[histology]
    t2 = t2.copy()
    t2[Tissue.TUMOUR] *= factor
    spread = np.exp(settings.relaxation_sd * np.clip(rng.normal(size=(3, len(Tissue))), -2.5, 2.5))
    # Cortex and medulla vary together: hydration and age move both.
    spread[:, Tissue.MEDULLA] = spread[:, Tissue.CORTEX] * spread[:, Tissue.MEDULLA] ** 0.3
    # Flow: how much of the blood's echo survives differs widely.
    for vessel in (Tissue.ARTERY, Tissue.VEIN, Tissue.LIVER_VESSEL):
        spread[2, vessel] *= np.exp(rng.normal(0, 0.5))
    tr, te = np.array([settings.repetition_time_ms, settings.echo_time_ms]) * np.exp(
        rng.normal(0, settings.timing_sd, 2)
    )
    signal = density * spread[2] * (1 - np.exp(-tr / (t1 * spread[0]))) * np.exp(-te / (t2 * spread[1]))
    return signal.astype(np.float32), texture.astype(np.float32)


def _suppression(grid: Grid, settings: MRSettings, rng: np.random.Generator) -> np.ndarray:
    """Share of fat signal removed at every point of the fine grid: falls where the main field is off resonance."""
    if settings.fat_suppression == 0:
        return np.zeros((1, 1, 1), dtype=np.float32)
    x, y, z = grid.fine_axes
    # ASSUME: inhomogeneity grows with the distance from the isocentre, plus a smooth part of each patient's own.
    edge = (x[:, None, None] / 190.0) ** 4 + ((y[None, :, None] - 20.0) / 150.0) ** 4 + (z[None, None, :] / 130.0) ** 4
    off = random_field(rng, 110.0, 1.0).on(grid.fine_axes) + (edge * rng.uniform(0.2, 1.2)).astype(np.float32)
    failure = np.float32(settings.fat_failure) * expit(np.float32(2.5) * (off - np.float32(2.0)))
    strength = np.clip(settings.fat_suppression + rng.normal(0, 0.03), 0, 1)
    return np.float32(strength) * (1 - failure)


def _receive_field(grid: Grid, settings: MRSettings, rng: np.random.Generator) -> np.ndarray:
    """Logarithm of the receive field: surface coils are brighter near the skin, plus a smooth part."""
    x, y, _ = grid.axes
    near = (x[:, None] / 180.0) ** 2 + ((y[None, :] - 20.0) / 120.0) ** 2
    field = random_field(rng, 130.0, settings.bias).on(grid.axes)
    field += (0.8 * settings.bias * rng.uniform(-0.2, 1.0) * np.minimum(near, 2.0)).astype(np.float32)[:, :, None]
    return field


def _add_noise(image: np.ndarray, sd: float, rng: np.random.Generator) -> None:
    """Magnitude of the signal with Gaussian noise in both channels (Rician), in place."""
    image += rng.standard_normal(image.shape, dtype=np.float32) * np.float32(sd)
    imaginary = rng.standard_normal(image.shape, dtype=np.float32)
    imaginary *= np.float32(sd)
    np.sqrt(image * image + imaginary * imaginary, out=image)
