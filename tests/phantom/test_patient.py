"""A patient: pure, sided, the same body in every scanner."""

import nibabel as nib
import numpy as np
import pytest

from crossmod.job import UserError
from crossmod.phantom import LABELS, Recipe, Tissue, simulate

RIGHT, LEFT = (1, 3, 5, 7), (2, 4, 6, 8)


def world_x(patient, values):
    """Mean R-A-S x (mm) of the voxels with some label values."""
    index = np.argwhere(np.isin(patient.labels, values))
    return nib.affines.apply_affine(patient.affine, index)[:, 0].mean()


def test_same_seed_and_recipe_give_the_same_bytes(coarse_mr):
    one, two = simulate(5, coarse_mr), simulate(5, coarse_mr)
    assert one.image.tobytes() == two.image.tobytes()
    assert one.labels.tobytes() == two.labels.tobytes()
    assert one.facts == two.facts
    assert simulate(6, coarse_mr).image.tobytes() != one.image.tobytes()


def test_types_and_values(ct_patients, mr_patients):
    for patient in (*ct_patients, *mr_patients):
        assert patient.image.dtype == np.int16
        assert patient.labels.dtype == np.uint8
        assert patient.image.shape == patient.labels.shape == patient.tissues.shape
        assert set(np.unique(patient.labels)) <= {0, *LABELS}
    assert min(p.image.min() for p in ct_patients) < -900
    assert min(p.image.min() for p in mr_patients) >= 0


def test_anatomy_does_not_depend_on_the_scanner(ct_patients, mr_patients):
    for ct, mr in zip(ct_patients, mr_patients, strict=False):
        np.testing.assert_array_equal(ct.labels, mr.labels)
        np.testing.assert_array_equal(ct.tissues, mr.tissues)
        assert ct.facts == mr.facts


@pytest.mark.parametrize("seed", [2, 7])
def test_volumes_hold_across_spacings(seed):
    extent = {"field_of_view_mm": (440, 360, 320), "position_sd_mm": 0.0}
    fine = simulate(seed, Recipe(spacing_mm=(2, 2, 2.5), **extent)).facts
    coarse = simulate(seed, Recipe(modality="MR", spacing_mm=(3, 3, 6), orientation="RAS", **extent)).facts
    for key in ("right_parenchyma_ml", "left_parenchyma_ml", "tumour_volume_ml"):
        assert coarse[key] == pytest.approx(fine[key], rel=0.06)


@pytest.mark.parametrize("code", ["RAS", "LPS", "ASL", "LSP"])
def test_right_is_the_patients_right_in_every_orientation(code):
    spacing = dict(zip("RLAPSI", (5.0, 5.0, 5.0, 5.0, 6.0, 6.0), strict=True))
    extent = dict(zip("RLAPSI", (420.0, 420.0, 330.0, 330.0, 260.0, 260.0), strict=True))
    recipe = Recipe(spacing_mm=[spacing[c] for c in code], field_of_view_mm=[extent[c] for c in code], orientation=code)
    patient = simulate(4, recipe)
    assert nib.aff2axcodes(patient.affine) == tuple(code)
    # R-A-S x grows towards the patient's right.
    assert world_x(patient, RIGHT) - world_x(patient, LEFT) > 60
    liver, spleen = patient.tissues == Tissue.LIVER, patient.tissues == Tissue.SPLEEN
    sides = [nib.affines.apply_affine(patient.affine, np.argwhere(m))[:, 0].mean() for m in (liver, spleen)]
    assert sides[0] > sides[1]


def test_exactly_one_tumour_side_and_labels_agree(ct_patients):
    for patient in ct_patients:
        side = patient.facts["tumour_side"]
        other = "left" if side == "right" else "right"
        assert patient.facts[f"{side}_tumour_ml"] > 0.3
        assert patient.facts[f"{other}_tumour_ml"] == 0
        assert patient.facts["tumour_volume_ml"] == patient.facts[f"{side}_tumour_ml"]
        for kidney in ("right", "left"):
            assert patient.facts[f"{kidney}_parenchyma_ml"] > 20
    assert {p.facts["tumour_side"] for p in ct_patients} == {"right", "left"}


def test_labels_and_tissues_agree(ct_patients):
    renal = {
        (1, 2): (Tissue.CORTEX, Tissue.MEDULLA),
        (5, 6): (Tissue.TUMOUR, Tissue.NECROSIS, Tissue.HAEMORRHAGE),
        (7, 8): (Tissue.CYST,),
        (3, 4): (Tissue.SINUS_FAT, Tissue.URINE, Tissue.VEIN, Tissue.ARTERY),
    }
    for patient in ct_patients[:10]:
        for values, tissues in renal.items():
            assert set(np.unique(patient.tissues[np.isin(patient.labels, values)])) <= set(tissues)
        assert np.all(np.isin(patient.labels[patient.tissues == Tissue.CORTEX], (1, 2)))


@pytest.mark.parametrize("seed", [-1, 1.5, "a", True, None])
def test_bad_seeds_are_refused(seed, coarse_ct):
    with pytest.raises(UserError, match="seed = "):
        simulate(seed, coarse_ct)
