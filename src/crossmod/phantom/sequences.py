"""Signal equations of MR: spin echo and spoiled gradient echo, with contrast agent, water and fat apart."""

import numpy as np

from crossmod.phantom.ct import HU, lag
from crossmod.phantom.recipe import MRSettings
from crossmod.phantom.tissue import FATS, Tissue

# Relaxivities of gadolinium chelates in blood at 37 C, 1/(mM s): Rohrer et al., Invest Radiol 2005;40:715 (Gd-DTPA).
R1_PER_MM, R2_PER_MM = {1.5: 4.1, 3.0: 3.7}, {1.5: 4.6, 3.0: 5.2}
# ASSUME: agents of CT and MR are both extracellular and small, so that they share a tissue's uptake: 0.1 mmol/kg of
# gadolinium gives the aorta 1.1 mM where a usual dose of iodine gives it 112 HU.
MM_PER_HU = 0.01
# Fat resonates 3.5 ppm below water (water 42.58 MHz/T).
FAT_HZ_PER_T = 149.0
# ASSUME: rates (1/s at 1.5 T, in proportion to the field) by which a gradient echo decays beyond T2, from uneven
# fields: air is near lung and bowel gas, bone holds trabeculae.
UNEVEN = {Tissue.LUNG: 500.0, Tissue.BONE_CORTEX: 200.0, Tissue.BONE_MARROW: 50.0, Tissue.BOWEL_GAS: 300.0}
UNEVEN_ELSEWHERE = 15.0
# Liver iron: T2* of a normal liver at 1.5 T is about 30 ms: Wood et al., Blood 2005;106:1460.
UNEVEN |= {Tissue.LIVER: 12.0, Tissue.SPLEEN: 8.0}
# In trains of refocusing pulses, as every T2-weighted protocol has, fat decays more slowly than its T2 says, as
# J-coupling is suppressed (Henkelman et al., J Magn Reson Imaging 1992;2:533). ASSUME: by this factor.
FAT_TRAIN = 2.0
FLOWING = (Tissue.ARTERY, Tissue.VEIN, Tissue.LIVER_VESSEL)


def signal(
    t1_ms: np.ndarray, t2_ms: np.ndarray, density: np.ndarray, settings: MRSettings, tr_ms: float, te_ms: float
) -> np.ndarray:
    """Magnitude of every tissue's signal, (len(Tissue),), water and fat alike and in phase.

    Spin echo: PD (1 - exp(-TR/T1)) exp(-TE/T2). Spoiled gradient echo (Ernst): PD sin a (1 - E1) / (1 - cos a E1)
    exp(-TE/T2*), E1 = exp(-TR/T1).
    """
    field = settings.field_t
    r1, r2 = 1000.0 / t1_ms, 1000.0 / t2_ms
    if settings.gadolinium:
        uptake = np.array([HU[t][1] for t in Tissue], dtype=float) * lag(settings.phase)
        dose = MM_PER_HU * settings.gadolinium * np.maximum(uptake, 0)
        r1, r2 = r1 + R1_PER_MM[field] * dose, r2 + R2_PER_MM[field] * dose
    if settings.readout == "spin-echo":
        r2[list(FATS)] /= FAT_TRAIN
        return density * (1 - np.exp(-tr_ms * r1 / 1000)) * np.exp(-te_ms * r2 / 1000)
    density, r1 = _inflow(density, r1)
    uneven = np.array([UNEVEN.get(t, UNEVEN_ELSEWHERE) for t in Tissue]) * field / 1.5
    flip = np.radians(settings.flip_deg)
    e1 = np.exp(-tr_ms * r1 / 1000)
    return density * np.sin(flip) * (1 - e1) / (1 - np.cos(flip) * e1) * np.exp(-te_ms * (r2 + uneven) / 1000)


def _inflow(density: np.ndarray, r1: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Blood loses its echo in a spin echo, but not in a gradient echo, where fresh spins make it brighter.

    ASSUME: inflow acts like a T1 of 600 ms.
    """
    density, r1 = density.copy(), r1.copy()
    density[list(FLOWING)] = 0.85
    r1[list(FLOWING)] = np.maximum(r1[list(FLOWING)], 1000.0 / 600.0)
    return density, r1


def fat_phase(settings: MRSettings, te_ms: float) -> float:
    """Cosine of the phase between water and fat at the echo: -1 opposed, 1 in phase; a spin echo refocuses it."""
    if settings.readout == "spin-echo":
        return 1.0
    return float(np.cos(2 * np.pi * FAT_HZ_PER_T * settings.field_t * te_ms / 1000))
