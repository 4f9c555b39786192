"""Volumes and poses against published distributions (sources: crossmod.phantom.kidney, .tumour)."""

import numpy as np
import pytest

from crossmod.phantom import Tissue, draw_anatomy


@pytest.fixture(scope="module")
def bodies():
    return [draw_anatomy(seed) for seed in range(150)]


def test_clean_side_volume_is_that_of_real_patients(ct_patients):
    """KiTS23: tissue of the side without mass 192 ml median, IQR 151-227; it includes the collecting system."""
    volumes = []
    for patient in ct_patients:
        side = "left" if patient.facts["tumour_side"] == "right" else "right"
        sinus = patient.labels == (3 if side == "right" else 4)
        urine = np.count_nonzero(sinus & (patient.tissues == Tissue.URINE)) * 0.064
        volumes.append(patient.facts[f"{side}_parenchyma_ml"] + urine)
    low, median, high = np.percentile(volumes, [25, 50, 75])
    assert 165 < median < 215
    assert 120 < low < 175 and 195 < high < 260


def test_sinus_share_is_that_of_real_patients(ct_patients):
    """NAKO: sinus 24 of 182 ml per square metre of body surface, 13 %."""
    shares = []
    for facts in (patient.facts for patient in ct_patients):
        side = "left" if facts["tumour_side"] == "right" else "right"
        shares.append(facts[f"{side}_sinus_ml"] / (facts[f"{side}_sinus_ml"] + facts[f"{side}_parenchyma_ml"]))
    assert 0.09 < np.median(shares) < 0.17


def test_tumour_volumes_spread_over_the_published_range(bodies):
    """KiTS23: median 39 ml, IQR 8.9-118; source paper's clear-cell carcinomas: median 29 ml on MR."""
    volumes = [4 / 3 * np.pi * body.tumour.radius_mm**3 / 1000 for body in bodies]
    assert 22 < np.median(volumes) < 50
    assert np.percentile(volumes, 10) < 10 and np.percentile(volumes, 90) > 120
    assert min(volumes) > 0.78 and max(volumes) < 901


def test_tumours_are_painted_about_as_large_as_drawn(bodies, ct_patients):
    ratios = [
        patient.facts["tumour_volume_ml"] / (4 / 3 * np.pi * body.tumour.radius_mm**3 / 1000)
        for body, patient in zip(bodies, ct_patients, strict=False)
    ]
    assert 0.85 < np.median(ratios) < 1.1
    assert min(ratios) > 0.4


def test_right_kidney_usually_lies_lower(bodies):
    """KiTS23: in 62 % of patients."""
    lower = np.mean([body.kidneys["right"].centre_mm[2] < body.kidneys["left"].centre_mm[2] for body in bodies])
    assert 0.5 < lower < 0.74


def test_lower_poles_lie_lateral_and_in_front(bodies):
    for side, sign in (("right", 1), ("left", -1)):
        up = np.array([body.kidneys[side].turn[0] for body in bodies])
        assert np.mean(-sign * up[:, 0] > 0) > 0.85
        assert np.mean(up[:, 1] < 0) > 0.9


def test_kidney_axes_are_orthonormal_and_hilum_faces_the_spine(bodies):
    for body in bodies[:20]:
        for kidney in body.kidneys.values():
            np.testing.assert_allclose(kidney.turn @ kidney.turn.T, np.eye(3), atol=1e-9)
            assert kidney.turn[1][0] * kidney.sign < 0


def test_organs_are_there_in_usual_sizes(ct_patients):
    voxel_ml = 0.064
    liver = [np.count_nonzero(p.tissues == Tissue.LIVER) * voxel_ml for p in ct_patients]
    spleen = [np.count_nonzero(p.tissues == Tissue.SPLEEN) * voxel_ml for p in ct_patients]
    assert 800 < np.median(liver) < 1900
    assert 70 < np.median(spleen) < 300
    for patient in ct_patients:
        present = set(np.unique(patient.tissues))
        assert len(present) >= 20
        assert {Tissue.LUNG, Tissue.BONE_MARROW, Tissue.ARTERY, Tissue.VEIN, Tissue.MEDULLA} <= present


def test_bodies_differ(bodies):
    widths = [body.torso.half_width for body in bodies]
    assert np.ptp(widths) > 50
    assert {body.tumour.growth for body in bodies} == {"exophytic", "mixed", "endophytic"}
    assert {body.tumour.histology for body in bodies} == {"clear_cell", "papillary", "chromophobe"}


def test_medulla_share_is_that_of_real_patients(ct_patients):
    """NAKO: medulla 43 of 158 ml of parenchyma per square metre of body surface, 27 %."""
    shares = [
        np.count_nonzero(p.tissues == Tissue.MEDULLA) / np.count_nonzero(np.isin(p.labels, (1, 2))) for p in ct_patients
    ]
    assert 0.2 < np.median(shares) < 0.34
