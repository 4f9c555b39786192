"""Signal equations of MR, one function each, with contrast agent, water and fat apart.

Spin echo, spoiled gradient echo, inversion recovery, balanced steady state, and one long train of spin echoes.
"""

from collections.abc import Callable

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
# J-coupling is suppressed (Henkelman et al., J Magn Reson Imaging 1992;2:533). ASSUME: by this factor, from this echo
# time; a T1-weighted spin echo has a short train or none.
FAT_TRAIN, TRAIN_FROM_MS = 2.0, 30.0
FLOWING = (Tissue.ARTERY, Tissue.VEIN, Tissue.LIVER_VESSEL)
# ASSUME: protons of blood that a gradient echo sees.
MOVING_BLOOD = 0.85
Readout = Callable[[np.ndarray, np.ndarray, np.ndarray, MRSettings, float, float], np.ndarray]


def signal(
    t1_ms: np.ndarray, t2_ms: np.ndarray, density: np.ndarray, settings: MRSettings, tr_ms: float, te_ms: float
) -> np.ndarray:
    """Signal of every tissue, (len(Tissue),), water and fat alike and in phase, by the equation of the readout.

    It is negative where an inversion left the magnetisation upside down; the picture is the magnitude of what a voxel
    holds together.
    """
    r1, r2 = 1000.0 / t1_ms, 1000.0 / t2_ms
    if settings.gadolinium:
        uptake = np.array([HU[t][1] for t in Tissue], dtype=float) * lag(settings.phase)
        dose = MM_PER_HU * settings.gadolinium * np.maximum(uptake, 0)
        r1, r2 = r1 + R1_PER_MM[settings.field_t] * dose, r2 + R2_PER_MM[settings.field_t] * dose
    return _READOUTS[settings.readout](density, r1, r2, settings, tr_ms, te_ms)


def _spin_echo(
    density: np.ndarray, r1: np.ndarray, r2: np.ndarray, settings: MRSettings, tr_ms: float, te_ms: float
) -> np.ndarray:
    """PD (1 - exp(-TR/T1)) exp(-TE/T2), T2- or T1-weighted by its times.

    One long train of echoes (single-shot; Patel et al., J Comput Assist Tomogr 1997;21:873, of HASTE) has the same
    contrast: its TE is that of the middle of k-space.
    """
    if settings.echo_time_ms >= TRAIN_FROM_MS:
        r2[list(FATS)] /= FAT_TRAIN
    return density * (1 - np.exp(-tr_ms * r1 / 1000)) * np.exp(-te_ms * r2 / 1000)


def _gradient_echo(
    density: np.ndarray, r1: np.ndarray, r2: np.ndarray, settings: MRSettings, tr_ms: float, te_ms: float
) -> np.ndarray:
    """Spoiled gradient echo: PD sin a (1 - E1) / (1 - cos a E1) exp(-TE/T2*), E1 = exp(-TR/T1).

    Ernst & Anderson, Rev Sci Instrum 1966;37:93.
    """
    density, r1 = _inflow(density, r1)
    flip = np.radians(settings.flip_deg)
    e1 = np.exp(-tr_ms * r1 / 1000)
    steady = density * np.sin(flip) * (1 - e1) / (1 - np.cos(flip) * e1)
    return steady * np.exp(-te_ms * (r2 + _uneven(settings)) / 1000)


def _inversion_recovery(
    density: np.ndarray, r1: np.ndarray, r2: np.ndarray, settings: MRSettings, tr_ms: float, te_ms: float
) -> np.ndarray:
    """Inversion, a pause, and a train of n spoiled gradient echoes: MPRAGE (Mugler & Brookeman, MRM 1990;15:152).

    PD sin a M exp(-TE/T2*), where M is the magnetisation at the middle of the train, TI after the inversion. Before and
    after the train M becomes 1 - (1 - M) exp(-t/T1). In the train, of a spacing s, it nears (1 - E) / (1 - cos a E) by
    the factor cos a E a pulse, E = exp(-s/T1). What is left at the end of TR is inverted next (Deichmann et al.,
    NeuroImage 2000;12:112). Without a train and at a long TR it is PD sin a (1 - 2 exp(-TI/T1)): none at TI = T1 ln 2.

    ASSUME: the inversion is complete, and no blood that flows in has missed it. A single echo disturbs nothing that is
    inverted next.
    """
    density = density.copy()
    density[list(FLOWING)] = MOVING_BLOOD
    flip = np.radians(settings.flip_deg)
    pulses = settings.echo_train if settings.echo_train > 1 else 0
    early, spacing = pulses // 2, settings.echo_spacing_ms
    before = settings.inversion_ms - early * spacing
    after = max(tr_ms - before - pulses * spacing, 0.0)  # TR varies a little from patient to patient
    e1 = np.exp(-spacing * r1 / 1000)
    # Each step is linear in the magnetisation it begins with, and so is all of TR: M = a + b M, where it is steady.
    steps = [
        _recovery(np.exp(-before * r1 / 1000)),
        _train(e1, flip, early),
        _train(e1, flip, pulses - early),
        _recovery(np.exp(-after * r1 / 1000)),
    ]
    a, b = np.zeros_like(r1), -np.ones_like(r1)  # the inversion
    for offset, kept in steps:
        a, b = offset + kept * a, kept * b
    middle = -a / (1 - b)  # just inverted
    for offset, kept in steps[:2]:
        middle = offset + kept * middle
    return density * np.sin(flip) * middle * np.exp(-te_ms * (r2 + _uneven(settings)) / 1000)


def _recovery(kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a pause adds to the magnetisation, and the share of it that is left, exp(-t/T1)."""
    return 1 - kept, kept


def _train(e1: np.ndarray, flip: float, pulses: int) -> tuple[np.ndarray, np.ndarray]:
    """What some pulses of a train of gradient echoes add to the magnetisation, and the share of it that is left."""
    kept = (np.cos(flip) * e1) ** pulses
    steady = (1 - e1) / (1 - np.cos(flip) * e1)
    return steady * (1 - kept), kept


def _balanced(
    density: np.ndarray, r1: np.ndarray, r2: np.ndarray, settings: MRSettings, tr_ms: float, te_ms: float
) -> np.ndarray:
    """Balanced steady state with alternating pulses (true FISP).

    PD (1 - E1) sin a sqrt(1 + 2 E2 cos p + E2^2) / (D - C cos p) exp(-TE/T2), C = E2 (E1 - 1) (1 + cos a),
    D = 1 - E1 cos a - (E1 - cos a) E2^2, p the precession in one TR: Freeman & Hill, J Magn Reson 1971;4:366. For
    TR << T1, T2 on resonance it is PD sin a / (1 + cos a + (1 - cos a) T1/T2) exp(-TE/T2): Scheffler & Lehnhardt, Eur
    Radiol 2003;13:2409. At TE = TR/2 it decays with T2 and not T2* (Scheffler & Hennig, MRM 2003;49:395).

    ASSUME: the main field is even, so that water is on resonance everywhere and there are no dark bands.
    """
    density, r1 = _inflow(density, r1)
    flip = np.radians(settings.flip_deg)
    e1, e2 = np.exp(-tr_ms * r1 / 1000), np.exp(-tr_ms * r2 / 1000)
    turned = np.zeros(len(Tissue))
    turned[list(FATS)] = 2 * np.pi * FAT_HZ_PER_T * settings.field_t * tr_ms / 1000
    c = e2 * (e1 - 1) * (1 + np.cos(flip))
    d = 1 - e1 * np.cos(flip) - (e1 - np.cos(flip)) * e2**2
    level = (1 - e1) * np.sin(flip) * np.sqrt(1 + 2 * e2 * np.cos(turned) + e2**2) / (d - c * np.cos(turned))
    return density * level * np.exp(-te_ms * r2 / 1000)


_READOUTS: dict[str, Readout] = {
    "spin-echo": _spin_echo,
    "gradient-echo": _gradient_echo,
    "inversion-recovery": _inversion_recovery,
    "balanced": _balanced,
    "single-shot": _spin_echo,
}


def _uneven(settings: MRSettings) -> np.ndarray:
    """Rates (1/s) by which every tissue's gradient echo decays beyond T2."""
    return np.array([UNEVEN.get(t, UNEVEN_ELSEWHERE) for t in Tissue]) * settings.field_t / 1.5


def _inflow(density: np.ndarray, r1: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Blood loses its echo in a spin echo, but not in a gradient echo, where fresh spins make it brighter.

    ASSUME: inflow acts like a T1 of 600 ms.
    """
    density, r1 = density.copy(), r1.copy()
    density[list(FLOWING)] = MOVING_BLOOD
    r1[list(FLOWING)] = np.maximum(r1[list(FLOWING)], 1000.0 / 600.0)
    return density, r1


def fat_phase(settings: MRSettings, te_ms: float) -> float:
    """Cosine of the phase between water and fat at the echo: -1 opposed, 1 in phase; a spin echo refocuses it.

    So does a balanced echo at half of TR, but for a sign that changes from one band of resonance to the next.

    ASSUME: after an inversion fat keeps its full signal at any echo time, in or opposed phase, whatever is nearer.
    """
    if settings.readout in ("spin-echo", "single-shot"):
        return 1.0
    phase = float(np.cos(2 * np.pi * FAT_HZ_PER_T * settings.field_t * te_ms / 1000))
    return float(np.sign(phase)) if settings.readout in ("balanced", "inversion-recovery") else phase
