"""Order of tissue intensities in CT and fat-suppressed T2."""

import numpy as np
import pytest
from scipy import ndimage

from crossmod.phantom import Recipe, Tissue, simulate


def level(patient, *tissues):
    """Median intensity well inside some tissues; NaN where there is too little."""
    mask = np.isin(patient.tissues, tissues)
    inner = ndimage.binary_erosion(mask)
    mask = inner if inner.sum() > 15 else mask
    return float(np.median(patient.image[mask])) if mask.sum() > 15 else np.nan


def test_ct_levels(ct_patients):
    for patient in ct_patients[:15]:
        kidney = level(patient, Tissue.CORTEX, Tissue.MEDULLA)
        liver, muscle = level(patient, Tissue.LIVER), level(patient, Tissue.MUSCLE)
        fat = level(patient, Tissue.VISCERAL_FAT)
        assert kidney > liver > fat
        assert kidney > muscle + 40 > fat + 80
        assert level(patient, Tissue.AIR) < -950
        assert level(patient, Tissue.LUNG) < -600
        assert -125 < fat < -70
        assert 100 < kidney < 300


def test_ct_tumours_enhance_less_than_cortex_and_papillary_least(ct_patients):
    means = {}
    for patient in ct_patients:
        below = level(patient, Tissue.TUMOUR) - level(patient, Tissue.CORTEX)
        means.setdefault(patient.facts["histology"], []).append(below)
    assert np.nanmean(means["papillary"]) + 20 < np.nanmean(means["clear_cell"]) < -15


def test_fat_suppressed_t2_levels(mr_patients):
    for patient in mr_patients:
        kidney = level(patient, Tissue.CORTEX, Tissue.MEDULLA)
        assert kidney > level(patient, Tissue.LIVER) > level(patient, Tissue.VISCERAL_FAT)
        assert 0.1 < level(patient, Tissue.MUSCLE) / kidney < 0.7
        assert level(patient, Tissue.AIR) < 0.15 * kidney
    # Nine real fat-suppressed T2 scans: back muscle over kidney 0.18 to 0.35, liver over kidney 0.16 to 0.55, median
    # 0.44.
    muscle, liver = (
        np.median([level(p, tissue) / level(p, Tissue.CORTEX, Tissue.MEDULLA) for p in mr_patients])
        for tissue in (Tissue.MUSCLE, Tissue.LIVER)
    )
    assert 0.18 < muscle < 0.35
    assert 0.35 < liver < 0.6
    fluid = [level(p, Tissue.CSF) / level(p, Tissue.CORTEX, Tissue.MEDULLA) for p in mr_patients]
    # The brightest point of those scans is 1.1 times the kidney; thick voxels hold cord beside the fluid.
    assert 0.8 < np.nanmedian(fluid) < 1.5


def test_without_suppression_fat_is_bright(mr_patients, coarse_mr):
    plain = simulate(0, coarse_mr.model_copy(update={"mr": coarse_mr.mr.model_copy(update={"fat_suppression": 0.0})}))
    kidney = level(plain, Tissue.CORTEX)
    assert level(plain, Tissue.SUBCUTANEOUS_FAT) > 0.5 * kidney
    assert level(mr_patients[0], Tissue.SUBCUTANEOUS_FAT) < 0.4 * level(mr_patients[0], Tissue.CORTEX)


def with_ct(recipe, **change):
    return recipe.model_copy(update={"ct": recipe.ct.model_copy(update=change)})


def test_ct_noise_is_as_strong_as_asked(coarse_ct):
    spread = []
    for noise in (5.0, 30.0):
        patient = simulate(3, with_ct(coarse_ct, noise_hu=noise))
        inner = ndimage.binary_erosion(patient.tissues == Tissue.LIVER, iterations=2)
        spread.append(patient.image[inner].std())
    assert 3 < spread[0] < 14 and 17 < spread[1] < 45


def test_a_sharp_kernel_steepens_edges(coarse_ct):
    steps = []
    for sharpening in (0.0, 1.0):
        image = simulate(3, with_ct(coarse_ct, noise_hu=0.0, sharpening=sharpening)).image.astype(float)
        steps.append(np.abs(np.diff(image, axis=0)).mean())
    assert steps[1] > 1.1 * steps[0]


def test_early_phase_darkens_the_medulla(coarse_ct):
    gaps = []
    for phase in (0.2, 1.0):
        patient = simulate(8, with_ct(coarse_ct, phase=phase, phase_sd=0.0))
        gaps.append(level(patient, Tissue.CORTEX) - level(patient, Tissue.MEDULLA))
    assert gaps[0] > gaps[1] + 30


def test_mr_noise_is_rician(coarse_mr):
    """In air the magnitude of two unit normal channels has mean over standard deviation of 1.913 (Rayleigh)."""
    noisy = coarse_mr.model_copy(update={"mr": coarse_mr.mr.model_copy(update={"noise": 0.2})})
    patient = simulate(2, noisy)
    air = ndimage.binary_erosion(patient.tissues == Tissue.AIR, iterations=3)
    values = patient.image[air].astype(float)
    assert values.mean() / values.std() == pytest.approx(1.913, rel=0.05)


def test_thick_slices_blur_through_the_plane():
    """The step at the kidney's poles is softer with 10 mm slices than with 2.5 mm ones; the plane stays sharp."""
    sharp = {"spacing_mm": (4, 4, 4), "ct": {"noise_hu": 0.0}}
    thin = simulate(6, Recipe(slice_thickness_mm=2.0, **sharp)).image.astype(float)
    thick = simulate(6, Recipe(slice_thickness_mm=14.0, **sharp)).image.astype(float)
    across = [np.abs(np.diff(volume, axis=2)).mean() for volume in (thin, thick)]
    within = [np.abs(np.diff(volume, axis=0)).mean() for volume in (thin, thick)]
    assert across[1] < 0.85 * across[0]
    assert within[1] > 0.85 * within[0]
