"""MR signals are those of the textbook equations; gadolinium, water and fat act as physics says."""

import numpy as np
import pytest
from scipy import ndimage

from crossmod.phantom import MRSettings, Recipe, Tissue, artefacts, draw_recipe, simulate
from crossmod.phantom.ct import HU, lag
from crossmod.phantom.mr import RELAXATION
from crossmod.phantom.sequences import (
    FAT_TRAIN,
    FLOWING,
    MM_PER_HU,
    R1_PER_MM,
    R2_PER_MM,
    UNEVEN,
    UNEVEN_ELSEWHERE,
    fat_phase,
    signal,
)
from crossmod.phantom.tissue import FATS

FIELDS = (1.5, 3.0)


def relaxation(field_t: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """T1 (ms), T2 (ms) and proton density of every tissue."""
    rows = np.array([RELAXATION[tissue] for tissue in Tissue], dtype=float)
    first = 0 if field_t == 1.5 else 2
    return rows[:, first], rows[:, first + 1], rows[:, 4]


def level(settings: MRSettings, tr_ms: float, te_ms: float) -> np.ndarray:
    return signal(*relaxation(settings.field_t), settings, tr_ms, te_ms)


def echo(**change) -> MRSettings:
    """A gradient echo."""
    return MRSettings(readout="gradient-echo", **change)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("tissue", [Tissue.CORTEX, Tissue.LIVER, Tissue.MUSCLE, Tissue.URINE, Tissue.ARTERY])
def test_a_spin_echo_is_saturation_recovery_and_t2_decay(tissue, field):
    t1, t2, density = (value[tissue] for value in relaxation(field))
    expected = density * (1 - np.exp(-2000 / t1)) * np.exp(-72 / t2)
    assert level(MRSettings(field_t=field), 2000, 72)[tissue] == pytest.approx(expected)


@pytest.mark.parametrize("tissue", FATS)
def test_fat_decays_more_slowly_in_a_train_of_echoes(tissue):
    t1, t2, density = (value[tissue] for value in relaxation(1.5))
    expected = density * (1 - np.exp(-2000 / t1)) * np.exp(-72 / (FAT_TRAIN * t2))
    assert level(MRSettings(), 2000, 72)[tissue] == pytest.approx(expected)


@pytest.mark.parametrize("field", FIELDS)
def test_without_weighting_a_spin_echo_is_the_proton_density(field):
    np.testing.assert_allclose(level(MRSettings(field_t=field), 1e7, 1e-6), relaxation(field)[2], rtol=1e-5)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("tissue", [Tissue.CORTEX, Tissue.LIVER, Tissue.LUNG, Tissue.VISCERAL_FAT])
def test_a_gradient_echo_is_ernsts_and_decays_with_t2_star(tissue, field):
    t1, t2, density = (value[tissue] for value in relaxation(field))
    tr, te, flip, e1 = 120.0, 4.5, np.radians(70), np.exp(-120 / t1)
    t2_star = 1 / (1 / t2 + UNEVEN.get(tissue, UNEVEN_ELSEWHERE) / 1000 * field / 1.5)
    expected = density * np.sin(flip) * (1 - e1) / (1 - np.cos(flip) * e1) * np.exp(-te / t2_star)
    assert level(echo(field_t=field, flip_deg=70), tr, te)[tissue] == pytest.approx(expected)


@pytest.mark.parametrize("tissue", [Tissue.LIVER, Tissue.CORTEX, Tissue.SUBCUTANEOUS_FAT, Tissue.CYST])
@pytest.mark.parametrize("tr", [5.0, 150.0])
def test_a_gradient_echo_is_brightest_at_the_ernst_angle(tissue, tr):
    flips = np.arange(1.0, 90.1, 0.5)
    levels = [level(echo(flip_deg=flip), tr, 2)[tissue] for flip in flips]
    ernst = np.degrees(np.arccos(np.exp(-tr / relaxation(1.5)[0][tissue])))
    assert flips[np.argmax(levels)] == pytest.approx(ernst, abs=0.5)


def test_the_liver_of_a_gradient_echo_decays_with_the_t2_star_of_its_iron():
    """Wood et al.: T2* of a normal liver at 1.5 T is about 30 ms."""
    early, late = (level(echo(), 150, te)[Tissue.LIVER] for te in (2.0, 12.0))
    assert 25 < 10 / np.log(early / late) < 36


def kept(tissue: Tissue, field_t: float) -> float:
    """Share of a gradient echo at 1 ms that is left at 5 ms."""
    early, late = (level(echo(field_t=field_t), 150, te)[tissue] for te in (1.0, 5.0))
    return late / early


def test_lung_bone_and_gas_lose_a_gradient_echo_soonest_and_more_at_the_higher_field():
    for tissue in (Tissue.LUNG, Tissue.BONE_CORTEX, Tissue.BOWEL_GAS):
        left = {f: kept(tissue, f) for f in FIELDS}
        assert left[1.5] < kept(Tissue.MUSCLE, 1.5)
        assert left[3.0] < left[1.5]


def test_blood_is_dark_in_a_spin_echo_and_bright_in_a_gradient_echo():
    spin, gradient = level(MRSettings(), 2000, 72), level(echo(flip_deg=60), 10, 3)
    for vessel in FLOWING:
        assert gradient[vessel] > gradient[Tissue.MUSCLE]
    assert spin[Tissue.ARTERY] < 0.2 * spin[Tissue.CORTEX]


@pytest.mark.parametrize(
    ("field", "te", "phase"),
    [(1.5, 2.24, -1), (1.5, 4.47, 1), (1.5, 1.12, 0), (1.5, 6.71, -1), (3.0, 1.12, -1), (3.0, 2.24, 1), (3.0, 4.47, 1)],
)
def test_fat_turns_against_water_with_the_echo_time(field, te, phase):
    assert fat_phase(echo(field_t=field), te) == pytest.approx(phase, abs=0.02)


@pytest.mark.parametrize("te", [1.12, 2.24, 4.47, 72.0])
@pytest.mark.parametrize("field", FIELDS)
def test_a_spin_echo_refocuses_fat(field, te):
    assert fat_phase(MRSettings(field_t=field), te) == 1


T1 = {"repetition_time_ms": 4.5, "echo_time_ms": 1.8, "flip_deg": 12.0}


@pytest.mark.parametrize("field", FIELDS)
def test_gadolinium_brightens_what_takes_it_up(field):
    plain, dosed = (level(echo(field_t=field, gadolinium=dose, **T1), 4.5, 1.8) for dose in (0.0, 1.0))
    gain = dosed / np.maximum(plain, 1e-9)
    assert gain[Tissue.CORTEX] > 2
    assert gain[Tissue.CORTEX] > gain[Tissue.LIVER] > gain[Tissue.MUSCLE] > 1.05
    np.testing.assert_allclose(gain[[Tissue.VISCERAL_FAT, Tissue.CYST, Tissue.CSF]], 1, atol=0.05)


@pytest.mark.parametrize("field", FIELDS)
def test_gadolinium_shortens_t1_and_t2_by_its_relaxivity(field):
    settings = MRSettings(field_t=field, gadolinium=0.8, phase=0.6)
    t1, t2, density = (value[Tissue.CORTEX] for value in relaxation(field))
    dose = 0.8 * MM_PER_HU * HU[Tissue.CORTEX][1] * lag(0.6)[Tissue.CORTEX]
    r1, r2 = 1000 / t1 + R1_PER_MM[field] * dose, 1000 / t2 + R2_PER_MM[field] * dose
    expected = density * (1 - np.exp(-0.5 * r1)) * np.exp(-0.09 * r2)
    assert level(settings, 500, 90)[Tissue.CORTEX] == pytest.approx(expected)


def test_the_medulla_fills_after_the_cortex():
    early, late = (level(echo(gadolinium=1.0, phase=phase, **T1), 4.5, 1.8) for phase in (0.0, 1.0))
    assert early[Tissue.MEDULLA] < 0.75 * early[Tissue.CORTEX]
    assert late[Tissue.MEDULLA] > 0.85 * late[Tissue.CORTEX]


@pytest.mark.parametrize("settings", [MRSettings(gadolinium=2.0), echo(gadolinium=2.0), MRSettings(), echo()])
def test_every_tissue_has_a_signal_and_the_tables_stay_as_they_were(settings):
    before = relaxation(settings.field_t)
    given = tuple(value.copy() for value in before)
    found = signal(*given, settings, 100.0, 4.0)
    assert found.shape == (len(Tissue),) and np.isfinite(found).all() and (found >= 0).all()
    assert found[Tissue.AIR] == 0
    for one, two in zip(before, given, strict=True):
        np.testing.assert_array_equal(one, two)


def gradient_recipe(te_ms: float) -> Recipe:
    """A gradient echo of 4 mm without noise or uneven coils, along R-A-S."""
    return Recipe(
        modality="MR",
        spacing_mm=(4, 4, 4),
        field_of_view_mm=(400, 320, 200),
        orientation="RAS",
        position_sd_mm=0.0,
        mr={
            "readout": "gradient-echo",
            "repetition_time_ms": 150.0,
            "echo_time_ms": te_ms,
            "flip_deg": 70.0,
            "timing_sd": 0.0,
            "relaxation_sd": 0.0,
            "fat_suppression": 0.0,
            "bias": 0.0,
            "noise": 0.0,
            "psf_fwhm_mm": 6.0,
        },
    )


@pytest.fixture(scope="module")
def borders():
    """Mean levels along lines that leave a kidney: inside it, its outermost voxel, the first of fat, the next.

    Levels are those in phase and in opposed phase.
    """
    found = {}
    for name, te in (("in", 4.47), ("opposed", 2.24)):
        patient = simulate(4, gradient_recipe(te))
        # Three slices alike: no fat from above or below.
        kidney, fat = (
            ndimage.minimum_filter(mask, (1, 1, 3))
            for mask in (np.isin(patient.labels, (1, 2)), patient.tissues == Tissue.VISCERAL_FAT)
        )
        at = np.nonzero(kidney[:-3] & kidney[1:-2] & fat[2:-1] & fat[3:])
        assert len(at[0]) > 50
        found[name] = [float(patient.image[at[0] + step, at[1], at[2]].mean()) for step in range(4)]
    return found


def test_opposed_phase_draws_dark_rims_where_fat_borders_on_water(borders):
    inside, rim, outside, fat = borders["opposed"]
    assert rim < 0.7 * min(inside, outside, fat)


def test_in_phase_has_no_rims(borders):
    inside, rim, outside, fat = borders["in"]
    assert inside < rim < outside < fat


def inversion(**change) -> MRSettings:
    """Gradient echoes after an inversion, without a train."""
    usual = {"repetition_time_ms": 20000, "inversion_ms": 700.0, "echo_time_ms": 2.5}
    return MRSettings(readout="inversion-recovery", **usual | change)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("tissue", [Tissue.CORTEX, Tissue.LIVER, Tissue.SPLEEN, Tissue.VISCERAL_FAT])
def test_an_inversion_nulls_a_tissue_at_its_t1_times_ln_2(tissue, field):
    t1 = relaxation(field)[0][tissue]
    null, short, late = (
        level(inversion(field_t=field, inversion_ms=share * t1 * np.log(2)), 20000, 2)[tissue]
        for share in (1, 0.8, 1.2)
    )
    assert null == pytest.approx(0, abs=1e-5)
    assert short < -0.05 and late > 0.05


def test_an_inversion_without_a_train_is_the_textbook_s_at_any_repetition_time():
    t1, t2, density = (value[Tissue.LIVER] for value in relaxation(3.0))
    decay = np.exp(-2 * (1 / t2 + UNEVEN[Tissue.LIVER] / 1000 * 2))
    # Nothing but the inversion disturbs the magnetisation: it is inverted from its own steady state.
    steady = (1 - np.exp(-1800 / t1)) / (1 + np.exp(-1800 / t1))
    expected = density * (1 - (1 + steady) * np.exp(-500 / t1)) * decay
    settings = inversion(field_t=3.0, repetition_time_ms=1800, inversion_ms=500)
    assert level(settings, 1800, 2)[Tissue.LIVER] == pytest.approx(expected)


@pytest.mark.parametrize("field", FIELDS)
def test_the_train_is_that_of_pulses_one_by_one(field):
    settings = inversion(
        field_t=field, repetition_time_ms=2200, inversion_ms=650, echo_train=80, echo_spacing_ms=6, flip_deg=9
    )
    t1, t2, density = relaxation(field)
    still = np.array([tissue not in FLOWING for tissue in Tissue])
    flip, magnetisation, seen = np.radians(9), np.ones(len(Tissue)), None

    def recovered(time_ms):
        return 1 - (1 - magnetisation) * np.exp(-time_ms / t1)

    for _ in range(30):
        magnetisation = -magnetisation
        magnetisation = recovered(650 - 40 * 6)
        for pulse in range(80):
            seen = magnetisation if pulse == 40 else seen
            magnetisation = magnetisation * np.cos(flip)
            magnetisation = recovered(6)
        magnetisation = recovered(2200 - 650 - 40 * 6)
    uneven = np.array([UNEVEN.get(tissue, UNEVEN_ELSEWHERE) for tissue in Tissue]) * field / 1.5
    expected = density * np.sin(flip) * seen * np.exp(-2.5 * (1 / t2 + uneven / 1000))
    np.testing.assert_allclose(level(settings, 2200, 2.5)[still], expected[still], rtol=1e-6, atol=1e-9)


def balanced(**change) -> MRSettings:
    return MRSettings(readout="balanced", **{"repetition_time_ms": 4.2, "flip_deg": 60.0} | change)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("tissue", [Tissue.CORTEX, Tissue.LIVER, Tissue.SPLEEN, Tissue.CSF])
def test_a_short_balanced_echo_is_weighted_by_t2_over_t1(tissue, field):
    t1, t2, density = (value[tissue] for value in relaxation(field))
    flip, te = np.radians(60), 0.01
    closed = density * np.sin(flip) / (1 + np.cos(flip) + (1 - np.cos(flip)) * t1 / t2) * np.exp(-te / t2)
    assert level(balanced(field_t=field), 2 * te, te)[tissue] == pytest.approx(closed, rel=1e-3)


@pytest.mark.parametrize("field", FIELDS)
def test_a_balanced_echo_on_resonance_is_freeman_and_hills(field):
    t1, t2, density = (value[Tissue.CORTEX] for value in relaxation(field))
    flip, e1, e2 = np.radians(60), np.exp(-4.2 / t1), np.exp(-4.2 / t2)
    expected = density * np.sin(flip) * (1 - e1) / (1 - (e1 - e2) * np.cos(flip) - e1 * e2) * np.exp(-2.1 / t2)
    assert level(balanced(field_t=field), 4.2, 2.1)[Tissue.CORTEX] == pytest.approx(expected)


@pytest.mark.parametrize(("field", "tr", "sign"), [(1.5, 4.2, -1), (3.0, 4.2, 1), (1.5, 8.9, 1)])
def test_fat_of_a_balanced_echo_is_in_or_opposed_phase_and_nothing_between(field, tr, sign):
    assert fat_phase(balanced(field_t=field, repetition_time_ms=tr), tr / 2) == sign


@pytest.mark.parametrize("field", FIELDS)
def test_fat_and_fluid_are_bright_on_balanced_and_single_shot_scans(field):
    train = MRSettings(readout="single-shot", field_t=field, echo_time_ms=90, echo_train=96, echo_spacing_ms=4)
    for found in (level(balanced(field_t=field), 4.2, 2.1), level(train, 4000, 90)):
        for organ in (Tissue.CORTEX, Tissue.LIVER, Tissue.SPLEEN, Tissue.MUSCLE):
            assert found[Tissue.VISCERAL_FAT] > found[organ]
            assert found[Tissue.CSF] > found[organ]


def test_a_balanced_echo_lies_at_half_of_the_repetition_time_unless_said_otherwise():
    assert balanced().echo_time_ms == 2.1
    assert MRSettings.model_validate(balanced().model_dump()) == balanced()


@pytest.mark.parametrize("field", FIELDS)
def test_t1_weighted_scans_have_dark_kidneys_in_bright_fat(field):
    """As in the real scans: fat over liver, cortex over medulla and spleen in spin echoes; all dark once inverted."""
    spin = level(MRSettings(field_t=field), 550, 10)
    assert spin[Tissue.VISCERAL_FAT] > 1.5 * spin[Tissue.CORTEX]
    assert spin[Tissue.CORTEX] > spin[Tissue.MEDULLA] and spin[Tissue.LIVER] > spin[Tissue.SPLEEN]
    settings = inversion(
        field_t=field, repetition_time_ms=3000, inversion_ms=600, echo_train=64, echo_spacing_ms=5, flip_deg=8
    )
    dark = np.abs(level(settings, 3000, 2.5))
    for organ in (Tissue.CORTEX, Tissue.MEDULLA, Tissue.SPLEEN, Tissue.LIVER):
        assert dark[organ] < 0.5 * dark[Tissue.VISCERAL_FAT]
    if field == 3.0:
        assert dark[Tissue.MEDULLA] > 1.3 * dark[Tissue.CORTEX]


@pytest.fixture(scope="module")
def coronal():
    """One patient without noise in each of the new protocols at 3 T, on a coarse grid."""
    grid = {"spacing_mm": [4, 4, 4], "field_of_view_mm": [400, 320, 200], "orientation": "RAS", "position_sd_mm": 0.0}
    still = {"field_t": 3.0, "bias": 0.0, "noise": 0.0, "ghosts": 0.0, "relaxation_sd": 0.0, "slice_gain_sd": 0.0}
    return {
        name: simulate(4, draw_recipe(name, np.random.default_rng(3), {**grid, "mr": still}))
        for name in ("mr-t1-spin-echo", "mr-mprage", "mr-vibe", "mr-dixon-water", "mr-balanced", "mr-haste")
    }


def median(patient, *tissues: Tissue) -> float:
    """Median level inside some tissues."""
    return float(np.median(patient.image[ndimage.binary_erosion(np.isin(patient.tissues, tissues))]))


def test_pictures_are_magnitudes_and_fat_is_as_the_protocol_says(coronal):
    for name, patient in coronal.items():
        assert patient.image.min() >= 0 and patient.image.max() > 0
        fat, liver = median(patient, Tissue.SUBCUTANEOUS_FAT), median(patient, Tissue.LIVER)
        if name in ("mr-vibe", "mr-dixon-water"):
            assert fat < 0.5 * liver, name
        else:
            assert fat > liver, name


def test_a_long_train_blurs_along_the_phase_encoding_axis_alone():
    image = np.zeros((64, 64, 4), np.float32)
    image[20:40, 20:40] = 1
    blurred = image.copy()
    artefacts.decay(blurred, 1, 4.0)
    steps = [np.abs(np.diff(blurred, axis=axis)).max() for axis in (0, 1)]
    assert steps[0] > 0.9 and steps[1] < 0.6
    assert blurred.sum() == pytest.approx(image.sum(), rel=1e-4)
    same = image.copy()
    artefacts.decay(same, 1, 0.0)
    np.testing.assert_allclose(same, image, atol=1e-6)
