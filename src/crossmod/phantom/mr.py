"""From tissues to MR signal."""

import numpy as np
from scipy import ndimage
from scipy.special import expit

from crossmod.phantom.artefacts import decay, ghost, slice_gain, truncate
from crossmod.phantom.ct import FWHM, chance
from crossmod.phantom.field import random_field
from crossmod.phantom.grid import Grid
from crossmod.phantom.recipe import MRSettings, Recipe
from crossmod.phantom.sequences import fat_phase, signal
from crossmod.phantom.tissue import FATS, Tissue, steps

# Tissue: T1 and T2 (ms) at 1.5 T, T1 and T2 at 3 T, proton density (share of water's), spread of texture.
# Sources: [1] de Bazelaire et al., Radiology 2004;230:652 (kidney, liver, spleen, pancreas, muscle, marrow, fat);
# [2] Stanisz et al., Magn Reson Med 2005;54:507 (blood, cord, muscle); [3] Rooney et al., Magn Reson Med 2007;57:308
# (CSF T1).
# ASSUME: T2 of the kidney is a tenth longer than [1] says, so that the liver has 0.44 of the kidney's signal, as
# in the nine real scans.
# ASSUME: fluids move, which costs signal: CSF and bile have 0.85 of their protons, bowel fluid holds mucus and food.
# The brightest point of the nine real scans is 1.1 times the kidney.
# ASSUME: where these give no value (disc, bile, bowel, cysts, carcinomas), it lies between those of its main
# components; proton densities are 0.7 to 1, and lower where protons are scarce (lung, bone) or move (flowing blood
# loses its echo).
RELAXATION = {
    Tissue.AIR: (1000, 50, 1000, 50, 0.0, 0.0),
    Tissue.SKIN: (900, 30, 1000, 30, 0.6, 0.1),
    Tissue.SUBCUTANEOUS_FAT: (343, 58, 382, 68, 0.95, 0.06),  # [1]
    Tissue.MUSCLE: (930, 35, 1150, 37, 0.85, 0.12),  # means of [1] and [2]
    Tissue.VISCERAL_FAT: (343, 58, 382, 68, 0.9, 0.15),  # [1]
    Tissue.BONE_CORTEX: (900, 10, 950, 10, 0.12, 0.1),
    Tissue.BONE_MARROW: (549, 49, 586, 49, 0.65, 0.15),  # [1]
    Tissue.DISC: (1000, 55, 1100, 50, 0.65, 0.2),
    Tissue.CSF: (4000, 1500, 4300, 1500, 0.85, 0.08),  # [3]
    Tissue.CORD: (745, 74, 993, 78, 0.8, 0.05),  # [2]
    Tissue.LUNG: (1000, 35, 1100, 30, 0.12, 0.3),
    Tissue.LIVER: (586, 46, 809, 34, 0.82, 0.13),  # [1]
    Tissue.LIVER_VESSEL: (1441, 180, 1932, 140, 0.6, 0.2),  # [2], slow flow
    Tissue.GALLBLADDER: (2500, 400, 2700, 350, 0.85, 0.06),
    Tissue.SPLEEN: (1057, 79, 1328, 61, 0.9, 0.08),  # [1]
    Tissue.BOWEL_WALL: (900, 60, 1000, 55, 0.85, 0.15),
    Tissue.BOWEL_FLUID: (2200, 165, 2400, 150, 0.88, 0.17),
    Tissue.BOWEL_STOOL: (700, 50, 800, 45, 0.7, 0.45),
    Tissue.BOWEL_GAS: (1000, 50, 1000, 50, 0.01, 0.0),
    Tissue.PANCREAS: (584, 46, 725, 43, 0.9, 0.15),  # [1]
    Tissue.ADRENAL: (700, 55, 850, 50, 0.85, 0.05),
    Tissue.ARTERY: (1441, 290, 1932, 275, 0.08, 0.4),  # [2], flow void
    Tissue.VEIN: (1441, 200, 1932, 160, 0.3, 0.5),  # [2], partly void
    Tissue.PLAQUE: (900, 10, 950, 10, 0.1, 0.1),
    Tissue.CORTEX: (966, 98, 1142, 86, 0.92, 0.09),  # [1], T2 see below
    Tissue.MEDULLA: (1412, 100, 1545, 92, 0.97, 0.1),  # [1], T2 see below
    Tissue.SINUS_FAT: (343, 58, 382, 68, 0.85, 0.3),  # [1]
    Tissue.URINE: (2800, 800, 3000, 700, 0.98, 0.05),
    Tissue.CYST: (3000, 900, 3200, 800, 1.0, 0.03),
    Tissue.TUMOUR: (1200, 95, 1400, 85, 0.9, 0.15),
    Tissue.NECROSIS: (1900, 180, 2100, 160, 0.95, 0.15),
    Tissue.HAEMORRHAGE: (700, 45, 800, 40, 0.9, 0.2),
    Tissue.MYOCARDIUM: (1030, 40, 1471, 47, 0.8, 0.1),  # [2] heart
    Tissue.CARTILAGE: (1024, 30, 1168, 27, 0.7, 0.1),  # [2]
    # T1 of carcinoma 1056 +- 292 ms and of metastases with their dead cores 1757 +- 723 (Eur J Radiol Open
    # 2021;8:100312); T2 of malignant lesions at 1.5 T 76 +- 11 (Radiology 1994;193:43) and 85 +- 17 (Eur Radiol
    # 2002;12:2273).
    # ASSUME: T1 is a quarter shorter at 1.5 T; viable metastasis lies below that mean; tumours within the dura are
    # brighter than cord on T2 (Liu et al., Eur Radiol 2009;19:2707); vertebral metastases are as other ones, darker on
    # T2.
    Tissue.LIVER_TUMOUR: (820, 73, 1050, 62, 0.88, 0.15),
    Tissue.LIVER_METASTASIS: (1150, 85, 1450, 72, 0.9, 0.15),
    Tissue.BONE_METASTASIS: (1150, 65, 1450, 55, 0.85, 0.15),
    Tissue.INTRADURAL_TUMOUR: (1050, 105, 1350, 90, 0.92, 0.12),
    # ASSUME: of the spine in detail, ligaments are as dark as tendon; a healthy nucleus has the T2 of Pfirrmann grades
    # I and II, a dry disc that of IV and V (Watanabe et al., Spine 2007;32:2468, whose medians are near these); marrow
    # lies between muscle and fat by its share of fat, whose echoes of a train fade slowly; tumours within the dura are
    # as bright as cord on T1, meningiomas hardly brighter on T2, schwannomas much so.
    Tissue.LIGAMENT: (800, 14, 900, 13, 0.5, 0.1),
    Tissue.DISC_NUCLEUS: (1100, 120, 1300, 110, 0.75, 0.08),
    Tissue.DISC_DRY: (900, 38, 1000, 35, 0.55, 0.15),
    Tissue.MARROW_RED: (600, 74, 660, 72, 0.57, 0.1),
    Tissue.MARROW_MIXED: (520, 84, 560, 82, 0.59, 0.1),
    Tissue.MARROW_FATTY: (450, 94, 485, 92, 0.62, 0.1),
    Tissue.VENOUS_PLEXUS: (1350, 170, 1700, 140, 0.75, 0.15),
    Tissue.HAEMANGIOMA: (390, 120, 430, 110, 0.9, 0.3),
    Tissue.SCHWANNOMA: (1150, 125, 1400, 110, 0.93, 0.16),
    Tissue.MENINGIOMA: (950, 85, 1200, 80, 0.9, 0.06),
    Tissue.EPENDYMOMA: (1050, 110, 1350, 95, 0.92, 0.14),
}
# Relaxation of carcinomas relative to the row above: T2 factor and texture. Clear-cell carcinomas are bright and uneven
# on T2, papillary ones dark and even (haemosiderin), chromophobe ones between: Oliva et al., AJR 2009;192:1524.
SUBTYPE_T2 = {"clear_cell": (1.25, 0.24), "papillary": (0.55, 0.1), "chromophobe": (0.85, 0.12)}


# ASSUME: half of the marrow's signal is fat, and a fifth of the sinus fat's signal is that of small vessels and
# calyces.
FAT_SHARE = dict.fromkeys(FATS, 1.0) | {Tissue.BONE_MARROW: 0.5, Tissue.SINUS_FAT: 0.8}
# Fat of vertebral marrow at 25, 55 and 80 years: 25, 40 and 55 % (Kühn et al., Radiology 2012;265:763, is near these).
FAT_SHARE |= {Tissue.MARROW_RED: 0.3, Tissue.MARROW_MIXED: 0.45, Tissue.MARROW_FATTY: 0.65, Tissue.HAEMANGIOMA: 0.5}
# ASSUME: T1-weighted contrast varies half as much within a tissue as T2-weighted one: T1 does, and vessels are no
# longer dark. A spin echo is T2-weighted in full from this echo time.
EVEN_T1, T2_WEIGHTED_MS = 0.5, 60.0
# ASSUME: over a long train of echoes everything fades with one T2, between those of liver and kidney: fluids, which
# fade more slowly, are as blurred as organs.
TRAIN_T2_MS = 80.0
# ASSUME: the edge of a saturation band is as sharp as the profile of its pulse, and lies parallel to the back.
BAND_EDGE_MM = 3.0
# Spread (log scale) of every tissue's signal under full domain randomisation.
RANDOM_LOG = 0.6


def render_mr(fine: np.ndarray, grid: Grid, recipe: Recipe, histology: str, rng: np.random.Generator) -> np.ndarray:
    """Magnitude (int16, arbitrary units) on the grid, R-A-S order, from tissues on the fine grid; see `render_ct`."""
    settings = recipe.mr
    level, texture, phase = _signal(settings, histology, rng)
    level *= np.exp(np.float32(RANDOM_LOG * recipe.randomisation) * chance(rng))
    # An inversion may leave the cortex without signal, and noise does not follow it.
    bright = float(level[Tissue.VISCERAL_FAT if settings.readout == "inversion-recovery" else Tissue.CORTEX])
    weight = level[fine]
    uneven = 1 + texture[fine] * random_field(rng, 7.0, 1.0, (260.0,) * 3).on(grid.fine_axes)
    np.maximum(uneven, 0, out=uneven)
    weight *= uneven
    share = np.array([FAT_SHARE.get(tissue, 0.0) for tissue in Tissue], dtype=np.float32)[fine]
    # Where fat is in phase, what is left of it adds to water; where it is opposed, it takes away: dark rims arise as
    # slices and the point spread mix both.
    weight *= 1 - share + share * np.float32(phase) * (1 - _suppression(grid, settings, rng))
    image = grid.mean_slices(weight)
    if settings.saturation:
        image *= _unsaturated(grid.axes[1], settings)[None, :, None]
    inplane = [axis for axis in range(3) if axis != grid.slice_axis]
    for axis in inplane:
        sigma = settings.psf_fwhm_mm / FWHM / grid.spacing_mm[axis]
        if sigma > 0.15:
            ndimage.gaussian_filter1d(image, sigma, axis=axis, output=image, mode="nearest", truncate=3.0)
    # ASSUME: phase is encoded along the shorter way through the body.
    encoded = inplane[-1] if grid.slice_axis == 2 else inplane[0]
    if settings.readout == "single-shot":
        decay(image, encoded, (settings.train_ms - settings.echo_time_ms) / TRAIN_T2_MS)
    truncate(image, encoded, settings.truncation)
    np.abs(image, out=image)
    ghost(image, grid, encoded, settings.ghosts, rng)
    image *= np.exp(_receive_field(grid, settings, rng))
    slice_gain(image, grid.slice_axis, settings.slice_gain_sd, rng)
    _add_noise(image, settings.noise * np.exp(rng.normal(0, settings.noise_sd)) * bright, rng)
    # ASSUME: scanner units are arbitrary: the 99th percentile lies anywhere from 300 to 2000.
    units = np.exp(rng.uniform(np.log(300.0), np.log(2000.0))) / max(float(np.percentile(image[::2, ::2], 99)), 1e-6)
    return np.clip(np.round(image * np.float32(units)), 0, 32767).astype(np.int16)


def _signal(settings: MRSettings, histology: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """Signal and texture of every tissue, float32 (len(Tissue),), and the cosine of fat's phase."""
    rows = np.array([RELAXATION[t] for t in Tissue], dtype=float)
    t1, t2 = rows[:, [0, 1]].T if settings.field_t == 1.5 else rows[:, [2, 3]].T
    density, texture = rows[:, 4], rows[:, 5].copy()
    factor, texture[Tissue.TUMOUR] = SUBTYPE_T2[histology]
    spin_echo = settings.readout in ("spin-echo", "single-shot")
    texture *= max(EVEN_T1, min(1.0, settings.echo_time_ms / T2_WEIGHTED_MS)) if spin_echo else EVEN_T1
    t2 = t2.copy()
    t2[Tissue.TUMOUR] *= factor
    spread = np.exp(settings.relaxation_sd * np.clip(steps(rng, 3), -2.5, 2.5))
    # Cortex and medulla vary together: hydration and age move both.
    spread[:, Tissue.MEDULLA] = spread[:, Tissue.CORTEX] * spread[:, Tissue.MEDULLA] ** 0.3
    # So do marrows: what differs between them is their fat.
    for marrow in (Tissue.MARROW_RED, Tissue.MARROW_FATTY):
        spread[:, marrow] = spread[:, Tissue.MARROW_MIXED] * spread[:, marrow] ** 0.2
    # Flow: how much of the blood's echo survives differs widely.
    for vessel in (Tissue.ARTERY, Tissue.VEIN, Tissue.LIVER_VESSEL):
        spread[2, vessel] *= np.exp(rng.normal(0, 0.5))
    tr, te = np.array([settings.repetition_time_ms, settings.echo_time_ms]) * np.exp(
        rng.normal(0, settings.timing_sd, 2)
    )
    te = tr / 2 if settings.readout == "balanced" else te
    level = signal(t1 * spread[0], t2 * spread[1], density * spread[2], settings, tr, te)
    return level.astype(np.float32), texture.astype(np.float32), fat_phase(settings, te)


def _suppression(grid: Grid, settings: MRSettings, rng: np.random.Generator) -> np.ndarray:
    """Share of fat signal removed at every point of the fine grid: falls where the main field is off resonance.

    The main field varies over centimetres: the sub-slices of a slice share one value.
    """
    if settings.fat_suppression == 0:
        return np.zeros((1, 1, 1), dtype=np.float32)
    x, y, z = (axis.astype(np.float32) for axis in grid.axes)
    # ASSUME: inhomogeneity grows with the distance from the isocentre, plus a smooth part of each patient's own.
    edge = [
        ((axis - shift) / reach) ** 4 for axis, shift, reach in zip((x, y, z), (0, 20, 0), (190, 150, 130), strict=True)
    ]
    off = random_field(rng, 110.0, 1.0).on(grid.axes)
    off += np.float32(rng.uniform(0.2, 1.2)) * (edge[0][:, None, None] + edge[1][None, :, None] + edge[2])
    failure = np.float32(settings.fat_failure) * expit(np.float32(2.5) * (off - np.float32(2.0)))
    strength = np.float32(np.clip(settings.fat_suppression + rng.normal(0, 0.03), 0, 1))
    return np.repeat(strength * (1 - failure), grid.samples, axis=grid.slice_axis)


def _unsaturated(y_mm: np.ndarray, settings: MRSettings) -> np.ndarray:
    """Share of the signal that a saturation band in front of a plane leaves, along the axis from back to front."""
    band = expit((y_mm - settings.saturation_from_mm) / BAND_EDGE_MM)
    return (1 - settings.saturation * band).astype(np.float32)


def _receive_field(grid: Grid, settings: MRSettings, rng: np.random.Generator) -> np.ndarray:
    """Logarithm of the receive field: surface coils are brighter near the skin, plus a smooth part."""
    x, y, _ = grid.axes
    near = (x[:, None] / 180.0) ** 2 + ((y[None, :] - 20.0) / 120.0) ** 2
    field = random_field(rng, 130.0, settings.bias).on(grid.axes)
    field += (0.8 * settings.bias * rng.uniform(-0.2, 1.0) * np.minimum(near, 1.4)).astype(np.float32)[:, :, None]
    if settings.coil_mm:
        field += _spine_coil(y, settings.coil_mm)[None, :, None]
    return field


def _spine_coil(y_mm: np.ndarray, radius_mm: float) -> np.ndarray:
    """Logarithm of the sensitivity of loops under the back, on their axis: r^3 / (r^2 + depth^2)^(3/2).

    Hoult & Lauterbur, J Magn Reson 1979;34:425. ASSUME: loops lie 105 mm behind the vertebral bodies, in a row along
    the spine that is longer than the picture.
    """
    depth = np.maximum(y_mm + 105.0, 0.0)
    return (-1.5 * np.log1p((depth / radius_mm) ** 2)).astype(np.float32)


def _add_noise(image: np.ndarray, sd: float, rng: np.random.Generator) -> None:
    """Magnitude of the signal with Gaussian noise in both channels (Rician), in place."""
    image += rng.standard_normal(image.shape, dtype=np.float32) * np.float32(sd)
    imaginary = rng.standard_normal(image.shape, dtype=np.float32)
    imaginary *= np.float32(sd)
    np.sqrt(image * image + imaginary * imaginary, out=image)
