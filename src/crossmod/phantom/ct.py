"""From tissues to Hounsfield units."""

import numpy as np
from scipy import ndimage

from crossmod.phantom.artefacts import streak
from crossmod.phantom.field import random_field
from crossmod.phantom.grid import Grid
from crossmod.phantom.recipe import CTSettings, Recipe
from crossmod.phantom.tissue import Tissue, steps

# Spread (HU) of every tissue under full domain randomisation.
RANDOM_HU = 22.0
FWHM = 2.3548  # full width at half maximum over standard deviation of a Gaussian

# Tissue: HU without contrast, uptake in HU at 100 s, spread between patients (HU), texture (HU).
# Sources: textbook attenuation ranges (Prokop & Galanski, Spiral and Multislice CT of the Body, 2003); uptake of
# carcinomas by subtype in the nephrographic phase: Young et al., Radiology 2013;267:444 (clear cell ~ 120, papillary ~
# 70, chromophobe ~ 80 HU after contrast).
HU = {
    Tissue.AIR: (-1000, 0, 0, 0),
    Tissue.SKIN: (30, 10, 8, 5),
    Tissue.SUBCUTANEOUS_FAT: (-108, 2, 4, 5),
    Tissue.MUSCLE: (44, 14, 7, 16),
    Tissue.VISCERAL_FAT: (-100, 5, 6, 16),
    Tissue.BONE_CORTEX: (400, 0, 90, 60),
    Tissue.BONE_MARROW: (140, 15, 45, 35),
    Tissue.DISC: (85, 8, 12, 6),
    Tissue.CSF: (12, 0, 4, 3),
    Tissue.CORD: (36, 4, 3, 3),
    Tissue.LUNG: (-830, 15, 30, 25),
    Tissue.LIVER: (55, 60, 9, 4),
    Tissue.LIVER_VESSEL: (42, 105, 6, 3),
    Tissue.GALLBLADDER: (8, 0, 6, 2),
    Tissue.SPLEEN: (46, 72, 7, 3),
    Tissue.BOWEL_WALL: (38, 45, 10, 9),
    Tissue.BOWEL_FLUID: (15, 2, 10, 6),
    Tissue.BOWEL_STOOL: (25, 0, 30, 55),
    Tissue.BOWEL_GAS: (-940, 0, 20, 15),
    Tissue.PANCREAS: (40, 55, 8, 12),
    Tissue.ADRENAL: (28, 45, 8, 4),
    Tissue.ARTERY: (42, 112, 6, 3),
    Tissue.VEIN: (42, 105, 8, 5),
    Tissue.PLAQUE: (650, 0, 150, 80),
    Tissue.CORTEX: (31, 148, 8, 5),
    Tissue.MEDULLA: (30, 146, 8, 6),
    Tissue.SINUS_FAT: (-85, 12, 12, 14),
    Tissue.URINE: (6, 2, 4, 2),
    Tissue.CYST: (7, 0, 5, 2),
    Tissue.TUMOUR: (35, 70, 8, 15),
    Tissue.NECROSIS: (22, 8, 6, 7),
    Tissue.HAEMORRHAGE: (58, 5, 8, 8),
    Tissue.MYOCARDIUM: (45, 60, 6, 6),
    Tissue.CARTILAGE: (90, 10, 15, 8),
    # Liver over carcinoma 1.21 in the delayed phase (median; AJR 2013, PMID 23255745), so about 1.15 at 100 s.
    # ASSUME: metastases take up half of what the liver does, vertebral ones are lytic soft tissue, tumours within the
    # dura are as dense as cord and, having no barrier, take up more.
    Tissue.LIVER_TUMOUR: (48, 47, 6, 10),
    Tissue.LIVER_METASTASIS: (41, 27, 6, 8),
    Tissue.BONE_METASTASIS: (65, 35, 25, 30),
    Tissue.INTRADURAL_TUMOUR: (42, 45, 7, 7),
    # ASSUME: of the spine in detail, marrow loses density as it turns to fat, slow veins take up what veins do, and of
    # the tumours within the dura the meningioma takes up most.
    Tissue.LIGAMENT: (70, 5, 10, 6),
    Tissue.DISC_NUCLEUS: (80, 4, 10, 6),
    Tissue.DISC_DRY: (95, 6, 15, 12),
    Tissue.MARROW_RED: (190, 22, 30, 35),
    Tissue.MARROW_MIXED: (150, 15, 30, 35),
    Tissue.MARROW_FATTY: (100, 8, 30, 35),
    Tissue.VENOUS_PLEXUS: (42, 105, 8, 5),
    Tissue.HAEMANGIOMA: (110, 45, 30, 90),
    Tissue.SCHWANNOMA: (35, 60, 7, 9),
    Tissue.MENINGIOMA: (48, 75, 7, 5),
    Tissue.EPENDYMOMA: (38, 50, 7, 8),
}
UPTAKE = {"clear_cell": (85.0, 22.0), "papillary": (32.0, 9.0), "chromophobe": (55.0, 12.0)}


def render_ct(fine: np.ndarray, grid: Grid, recipe: Recipe, histology: str, rng: np.random.Generator) -> np.ndarray:
    """HU (int16) on the grid, R-A-S order, from tissues on the fine grid.

    Args:
        fine: uint8 tissues, sub-slices included.
        grid: sampling points.
        recipe: scanner, contrast, arms.
        histology: subtype of the tumour, which sets its uptake.
        rng: source of all that differs between scans of one body.
    """
    settings = recipe.ct
    level, texture = _attenuation(settings, histology, rng)
    level += np.float32(RANDOM_HU * recipe.randomisation) * chance(rng)
    image = level[fine]
    image += texture[fine] * _texture(grid, rng)
    image = grid.mean_slices(image)
    body = image > -300
    if settings.table:
        _table(image, grid, body, rng)
    _kernel(image, grid, settings)
    streak(image, grid, settings.streaks_hu, recipe.arms == "down", rng)
    image += _noise(grid, settings, body, rng)
    return np.clip(np.round(image), -1024, 3071).astype(np.int16)


def _attenuation(settings: CTSettings, histology: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Mean HU and texture HU of every tissue in this patient, float32 (len(Tissue),)."""
    plain, uptake, spread, texture = np.array([HU[t] for t in Tissue], dtype=float).T
    uptake[Tissue.TUMOUR], texture[Tissue.TUMOUR] = UPTAKE[histology]
    uptake[Tissue.TUMOUR] *= np.exp(rng.normal(0, 0.18))
    gain = settings.enhancement * np.exp(rng.normal(0, settings.enhancement_sd))
    phase = np.clip(rng.normal(settings.phase, settings.phase_sd), 0, 1)
    uptake *= lag(phase)
    if settings.uptake_sd:
        step = np.clip(steps(rng), -2, 2)
        step[Tissue.MEDULLA] = 0.8 * step[Tissue.CORTEX] + 0.6 * step[Tissue.MEDULLA]
        uptake *= np.exp(settings.uptake_sd * step)
    level = plain + gain * uptake + spread * np.clip(steps(rng), -2.5, 2.5)
    if rng.random() < settings.excretion:
        level[Tissue.URINE] = rng.uniform(120, 700)
    if rng.random() < settings.oral_contrast:
        level[Tissue.BOWEL_FLUID] = rng.uniform(120, 380)
    if rng.random() < 0.25:  # ASSUME: one patient in four has a fatty liver
        level[Tissue.LIVER] -= rng.uniform(10, 45)
    return level.astype(np.float32), texture.astype(np.float32)


def lag(phase: float) -> np.ndarray:
    """Uptake of every tissue relative to the nephrographic phase, (len(Tissue),); `phase` 0 corticomedullary to 1.

    ASSUME: before the nephrographic phase the medulla, veins and liver lag, arteries and cortex lead.
    """
    lead, share = 1 - phase, np.ones(len(Tissue))
    share[Tissue.MEDULLA] -= 0.75 * lead
    share[Tissue.ARTERY] += 0.9 * lead
    share[Tissue.CORTEX] += 0.25 * lead
    share[[Tissue.VEIN, Tissue.LIVER_VESSEL, Tissue.LIVER]] -= 0.45 * lead
    # Carcinoma of the liver is fed by arteries and washes out (Furlan et al., Br J Radiol 2011;84:403); metastases fill
    # slowly.
    share[Tissue.LIVER_TUMOUR] += 0.3 * lead
    share[[Tissue.LIVER_METASTASIS, Tissue.BONE_METASTASIS, Tissue.INTRADURAL_TUMOUR]] -= 0.35 * lead
    return share


def chance(rng: np.random.Generator) -> np.ndarray:
    """A random step of every tissue, standard normal, float32 (len(Tissue),); cortex and medulla mostly agree.

    So do marrows.
    """
    step = np.clip(steps(rng), -2, 2)
    step[Tissue.MEDULLA] = 0.8 * step[Tissue.CORTEX] + 0.6 * step[Tissue.MEDULLA]
    for marrow in (Tissue.MARROW_RED, Tissue.MARROW_FATTY):
        step[marrow] = 0.95 * step[Tissue.MARROW_MIXED] + 0.3 * step[marrow]
    step[[Tissue.AIR, Tissue.LUNG, Tissue.BOWEL_GAS]] = 0
    return step.astype(np.float32)


def _texture(grid: Grid, rng: np.random.Generator) -> np.ndarray:
    """Unit field that makes tissues uneven, about 10 mm in grain."""
    return random_field(rng, 7.0, 1.0, (260.0, 260.0, 260.0)).on(grid.fine_axes)


def _table(image: np.ndarray, grid: Grid, body: np.ndarray, rng: np.random.Generator) -> None:
    """A curved carbon-fibre table under the back: two thin shells with foam between."""
    x, y, _ = grid.axes
    middle = body[len(x) // 2].any(axis=1)
    back = y[np.argmax(middle)] if middle.any() else y[0]
    sag = float(rng.uniform(250, 600))
    top = back - rng.uniform(2, 12) + (x - x[len(x) // 2]) ** 2 / (2 * sag)
    depth = top[:, None] - y[None, :]
    shell = ((depth > 0) & (depth < 3)) | ((depth > 25) & (depth < 28))
    foam = (depth >= 3) & (depth <= 25)
    wide = np.abs(x - x[len(x) // 2])[:, None] < 215
    free = ~body
    image[(shell & wide)[:, :, None] & free] = rng.uniform(-350, -150)
    image[(foam & wide)[:, :, None] & free] = -960


def _kernel(image: np.ndarray, grid: Grid, settings: CTSettings) -> None:
    """Blur and sharpen within the slices, in place."""
    inplane = [axis for axis in range(3) if axis != grid.slice_axis]
    _blur(image, grid, settings.kernel_fwhm_mm, inplane)
    if settings.sharpening:
        soft = image.copy()
        _blur(soft, grid, settings.kernel_fwhm_mm + 2.0, inplane)
        image += np.float32(settings.sharpening) * (image - soft)


def _noise(grid: Grid, settings: CTSettings, body: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Correlated noise, strongest in the middle of wide bodies.

    ASSUME: the noise of filtered back-projection is Gaussian, locally stationary, and falls towards the skin.
    """
    noise = rng.standard_normal(grid.shape, dtype=np.float32)
    inplane = [axis for axis in range(3) if axis != grid.slice_axis]
    _blur(noise, grid, settings.noise_fwhm_mm, inplane)
    share = float(body.mean())
    amount = settings.noise_hu * np.exp(rng.normal(0, 0.15)) * np.clip(0.55 + 1.1 * share, 0.6, 1.4)
    x, y, _ = grid.axes
    away = (x[:, None] / 190.0) ** 2 + ((y[None, :] - 20.0) / 140.0) ** 2
    profile = 0.55 + 0.6 * np.exp(-away)
    spread = float(noise.std()) + 1e-6
    noise *= (amount * profile / spread).astype(np.float32)[:, :, None]
    return noise


def _blur(image: np.ndarray, grid: Grid, fwhm_mm: float, axes: list[int]) -> None:
    """Gaussian blur along some axes, in place."""
    for axis in axes:
        sigma = fwhm_mm / FWHM / grid.spacing_mm[axis]
        if sigma > 0.15:
            ndimage.gaussian_filter1d(image, sigma, axis=axis, output=image, mode="nearest", truncate=3.0)
