"""Labelled organs: each is there, in one piece, on its side, and beside what it lies beside in a body."""

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from crossmod.phantom import LABELS, ORGANS, Patient, Population, Recipe, Tissue, draw_anatomy, labelled, simulate
from crossmod.phantom.patient import _STREAMS
from crossmod.phantom.solids import liver_ml, spleen_ml
from crossmod.phantom.tissue import VALUES
from crossmod.phantom.torso import draw_person
from crossmod.phantom.viscera import before_kidneys, joined

SEEDS = range(300, 308)
RECIPE = Recipe(spacing_mm=(4, 4, 4), field_of_view_mm=(440, 360, 320), position_sd_mm=0.0, orientation="RAS")
WHOLE = [name for name in ORGANS.values() if name != "spine" and "iliopsoas" not in name]  # what is one piece


@pytest.fixture(scope="module")
def patients() -> list[Patient]:
    """Eight patients with a carcinoma, whose organs are labelled."""
    return [simulate(seed, RECIPE, Population(organs=True)) for seed in SEEDS]


def mask(patient: Patient, name: str) -> np.ndarray:
    return patient.labels == VALUES[name]


def centre(patient: Patient, name: str) -> np.ndarray:
    """Middle of a structure, R-A-S mm."""
    return nib.affines.apply_affine(patient.affine, np.argwhere(mask(patient, name))).mean(0)


def touch(patient: Patient, one: str, two: str, voxels: int = 1) -> bool:
    return bool((ndimage.binary_dilation(mask(patient, one), iterations=voxels) & mask(patient, two)).any())


def test_values_follow_the_renal_ones_and_stay():
    assert list(ORGANS) == list(range(9, 31))
    assert (ORGANS[9], ORGANS[11], ORGANS[26], ORGANS[30]) == ("spleen", "liver", "spine", "left_iliopsoas_muscle")
    assert labelled(Population()) == LABELS
    assert labelled(Population(organs=True)) == LABELS | ORGANS
    assert _STREAMS[-4:] == ("shapes", "viscera", "column", "column_tumours"), "a new stream comes last"


def test_everything_is_there(patients):
    for patient in patients:
        lacking = set(ORGANS.values()) - {ORGANS.get(value) for value in np.unique(patient.labels)}
        assert lacking <= {"gallbladder"}, "one in eight has had it taken out"
        for name in ORGANS.values():
            volume = np.count_nonzero(mask(patient, name)) * 0.064
            assert patient.facts[f"{name}_ml"] == pytest.approx(volume, abs=0.001)
    assert sum(mask(patient, "gallbladder").any() for patient in patients) >= 5


def test_organs_lie_on_their_side(patients):
    for patient in patients:
        middle = centre(patient, "spine")[0]
        for name in ("adrenal_gland", "lung", "autochthonous_muscle", "iliopsoas_muscle"):
            assert centre(patient, f"right_{name}")[0] > middle > centre(patient, f"left_{name}")[0], name
        assert centre(patient, "liver")[0] > middle + 20
        assert centre(patient, "spleen")[0] < middle - 30
        assert centre(patient, "stomach")[0] < middle
        assert centre(patient, "heart")[0] < middle
        assert centre(patient, "inferior_vena_cava")[0] > centre(patient, "aorta")[0] + 10


def test_organs_lie_before_behind_and_above_one_another(patients):
    for patient in patients:
        spine = centre(patient, "spine")
        for name in ("aorta", "inferior_vena_cava", "oesophagus", "duodenum", "pancreas", "small_bowel"):
            assert centre(patient, name)[1] > spine[1] + 8, name
        for side in ("right", "left"):
            assert centre(patient, f"{side}_autochthonous_muscle")[1] < spine[1] - 25
        assert centre(patient, "oesophagus")[2] > centre(patient, "stomach")[2]
        assert centre(patient, "heart")[2] > centre(patient, "liver")[2]
        assert centre(patient, "stomach")[2] > centre(patient, "small_bowel")[2]


def test_what_belongs_together_touches(patients):
    pairs = [
        ("duodenum", "pancreas"),
        ("duodenum", "stomach"),
        ("portal_and_splenic_vein", "liver"),
        ("portal_and_splenic_vein", "pancreas"),
        ("inferior_vena_cava", "liver"),
    ]
    for one, two in pairs:
        assert all(touch(patient, one, two) for patient in patients), f"{one}, {two}"
    assert all(touch(patient, "oesophagus", "stomach", 2) for patient in patients)
    near = [touch(patient, "portal_and_splenic_vein", "spleen", 2) for patient in patients]
    assert np.mean(near) >= 0.85


def test_organs_are_in_one_piece(patients):
    for name in WHOLE:
        shares = []
        for patient in patients:
            parts, count = ndimage.label(mask(patient, name), np.ones((3, 3, 3)))
            if count:
                shares.append(np.bincount(parts.ravel())[1:].max() / np.count_nonzero(parts))
        assert np.median(shares) > 0.97 and min(shares) > 0.8, f"{name}: {np.round(shares, 2)}"


def test_volumes_of_liver_and_spleen_are_drawn_as_published():
    rng = np.random.default_rng(0)
    people = [draw_person(np.random.default_rng(seed), Population()) for seed in range(400)]
    livers, spleens = (np.array(v) for v in zip(*((liver_ml(rng, p), spleen_ml(rng)) for p in people), strict=True))
    assert 1450 < livers.mean() < 1750 and 250 < livers.std() < 420
    assert livers.min() >= 850 and livers.max() <= 2700
    assert 180 < np.median(spleens) * 1.09 < 220 and 60 < spleens[spleens < 450].std() < 110


def test_liver_and_spleen_hold_what_was_drawn(patients):
    assert all(800 < patient.facts["liver_ml"] < 2700 for patient in patients)
    assert all(45 < patient.facts["spleen_ml"] < 900 for patient in patients)
    assert 1200 < np.median([patient.facts["liver_ml"] for patient in patients]) < 1900


def test_the_liver_lies_under_the_diaphragm_and_not_between_the_lungs(patients):
    for patient in patients:
        middle, floor = centre(patient, "spine")[0], centre(patient, "heart")[2] - 10
        points = nib.affines.apply_affine(patient.affine, np.argwhere(mask(patient, "liver")))
        inner = points[np.abs(points[:, 0] - middle) < 14]
        assert inner[:, 2].max() < floor, "a tongue between the lungs"
        assert points[:, 2].max() > inner[:, 2].max() - 5, "the right dome is the liver's top"


def test_the_left_lobe_crosses_the_midline_and_the_spleen_lies_on_the_wall(patients):
    across = []
    for patient in patients:
        middle = centre(patient, "spine")
        points = nib.affines.apply_affine(patient.affine, np.argwhere(mask(patient, "liver")))
        across.append(points[:, 0].min() < middle[0] - 10)
        spleen = nib.affines.apply_affine(patient.affine, np.argwhere(mask(patient, "spleen")))
        assert spleen[:, 0].max() < middle[0] + 5
        assert spleen[:, 1].mean() < middle[1] + 25, "it lies behind the middle of the belly"
    assert np.mean(across) > 0.8


def test_no_organ_is_outside_of_the_body(patients):
    shell = (Tissue.AIR, Tissue.SKIN, Tissue.SUBCUTANEOUS_FAT)
    for patient in patients:
        assert not np.isin(patient.tissues[patient.labels > 8], shell).any()


def test_organs_give_way_to_a_large_mass_and_keep_their_volume():
    mass = Population(organs=True, tumour_ml=190.0, tumour_range_ml=(150.0, 1971.0))
    for seed in (1, 4):
        ill, well = (simulate(seed, RECIPE, who) for who in (mass, Population(organs=True, tumour=0.0)))
        assert ill.facts["tumour_volume_ml"] > 200
        for name in ("liver", "spleen", "pancreas", "stomach", "colon"):
            assert ill.facts[f"{name}_ml"] > 0.75 * well.facts[f"{name}_ml"], name


def test_planted_kidneys_have_all_organs_around_them(real_data):
    patient = simulate(22, RECIPE, Population(organs=True, shapes=str(real_data / "kits23_3mm")))
    lacking = set(ORGANS.values()) - {ORGANS.get(value) for value in np.unique(patient.labels)}
    assert lacking <= {"gallbladder"}
    for name in ("liver", "spleen"):
        parts, _ = ndimage.label(mask(patient, name))
        assert np.bincount(parts.ravel())[1:].max() > 0.95 * mask(patient, name).sum()


def test_gas_lies_before_what_the_stomach_holds(patients):
    for patient in patients:
        stomach = mask(patient, "stomach")
        gas = np.argwhere(stomach & (patient.tissues == Tissue.BOWEL_GAS))[:, 1]
        wet = np.argwhere(stomach & np.isin(patient.tissues, (Tissue.BOWEL_FLUID, Tissue.BOWEL_STOOL)))[:, 1]
        assert not len(gas) or not len(wet) or gas.min() > wet.max()


def test_a_label_fits_the_tissue(patients):
    own = {
        "liver": (Tissue.LIVER, Tissue.LIVER_VESSEL),
        "spleen": (Tissue.SPLEEN,),
        "pancreas": (Tissue.PANCREAS, Tissue.VISCERAL_FAT),
        "gallbladder": (Tissue.GALLBLADDER,),
        "aorta": (Tissue.ARTERY, Tissue.PLAQUE),
        "inferior_vena_cava": (Tissue.VEIN,),
        "spine": (Tissue.BONE_MARROW, Tissue.BONE_CORTEX),
    }
    for patient in patients:
        for name, tissues in own.items():
            assert np.isin(patient.tissues[mask(patient, name)], tissues).all(), name
        for tissue in (Tissue.LIVER, Tissue.SPLEEN, Tissue.PANCREAS, Tissue.LUNG, Tissue.ADRENAL):
            assert (patient.labels[patient.tissues == tissue] > 8).all(), tissue.name
        disc = patient.tissues == Tissue.DISC
        assert not (patient.labels[disc] == VALUES["spine"]).any(), "the spine is vertebral bodies alone"


def test_kidneys_and_carcinomas_are_those_of_the_same_patient_without_organs(patients):
    for seed, patient in zip(SEEDS, patients, strict=True):
        plain = simulate(seed, RECIPE)
        renal = np.where(patient.labels <= 8, patient.labels, 0)
        assert np.count_nonzero(renal != plain.labels) < 0.03 * np.count_nonzero(plain.labels)
        assert plain.labels.max() <= 8 and "liver_ml" not in plain.facts
        for key in ("sex", "age", "tumour_side", "histology"):
            assert patient.facts[key] == plain.facts[key]


def test_the_same_patient_has_the_same_bytes_and_any_scanner_the_same_organs(patients):
    again = simulate(SEEDS[0], RECIPE, Population(organs=True))
    assert again.labels.tobytes() == patients[0].labels.tobytes()
    assert again.image.tobytes() == patients[0].image.tobytes()
    mr = simulate(SEEDS[0], RECIPE.model_copy(update={"modality": "MR"}), Population(organs=True))
    np.testing.assert_array_equal(mr.labels, patients[0].labels)


def test_lesions_of_the_liver_belong_to_it():
    ill, well = (simulate(3, RECIPE, Population(organs=True, tumour=0.0, liver_lesions=share)) for share in (1.0, 0.0))
    assert (ill.tissues != well.tissues).any()
    np.testing.assert_array_equal(ill.labels, well.labels)


def test_joined_tubes_have_no_gap():
    organs = draw_anatomy(1, Population(organs=True)).organs
    colon = joined([tube for tube in organs.tubes if tube.organ == "colon"])
    assert len(colon.points_mm) == len(colon.radius_mm) == len(colon.content)
    assert np.linalg.norm(np.diff(colon.points_mm, axis=0), axis=1).max() < 20
    assert colon.organ == "colon"


def test_a_path_gives_way_to_a_kidney_and_stays_elsewhere():
    body = draw_anatomy(1, Population(tumour=0.0))
    kidney = body.kidneys["right"]
    through = kidney.centre_mm + np.linspace(-150, 150, 61)[:, None] * [0.0, 0.0, 1.0]
    around = before_kidneys(through, np.full(61, 10.0), body.kidneys)
    assert around[30, 1] > through[30, 1] + kidney.semi_mm[2]
    np.testing.assert_allclose(around[[0, -1]], through[[0, -1]], atol=1e-6)
    np.testing.assert_array_equal(around[:, [0, 2]], through[:, [0, 2]])
