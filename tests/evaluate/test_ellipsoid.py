import numpy as np
import pytest

from crossmod.evaluate.ellipsoid import ellipsoid_ml


def ellipsoid(semi_mm, spacing_mm, degrees: float) -> np.ndarray:
    shape = np.ceil(140 / np.asarray(spacing_mm)).astype(int)
    points = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1) * spacing_mm - 70.3
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    return (((points @ turn) / semi_mm) ** 2).sum(-1) <= 1


@pytest.mark.parametrize("degrees", [0, 10, 20, 35])
@pytest.mark.parametrize(("spacing_mm", "within"), [((1, 1, 1), 0.03), ((2, 2, 2), 0.05), ((0.8, 0.8, 5), 0.06)])
def test_ellipsoid_formula_hits_an_ellipsoid(degrees, spacing_mm, within):
    semi_mm = (24, 28, 55)
    true_ml = 4 / 3 * np.pi * np.prod(semi_mm) / 1000
    assert ellipsoid_ml(ellipsoid(semi_mm, spacing_mm, degrees), spacing_mm) == pytest.approx(true_ml, rel=within)


def test_ellipsoid_formula_scales_and_ignores_flips():
    mask = ellipsoid((24, 28, 55), (4, 4, 4), 20)
    ml = ellipsoid_ml(mask, (4, 4, 4))
    assert ellipsoid_ml(mask, (2, 2, 2)) == pytest.approx(ml / 8)
    assert ellipsoid_ml(mask[::-1, :, ::-1], (4, 4, 4)) == pytest.approx(ml)
    assert ellipsoid_ml(mask.transpose(2, 0, 1), (4, 4, 4)) == pytest.approx(ml)


def test_ellipsoid_formula_overestimates_a_box_by_its_corners():
    box = np.zeros((30, 24, 40), bool)
    box[4:16, 4:20, 4:34] = True
    expected = np.pi / 6 * 11.5 * 15.5 * 29.5 / 1000
    assert ellipsoid_ml(box, (1, 1, 1)) == pytest.approx(expected)
    assert np.isnan(ellipsoid_ml(np.zeros((3, 3, 3), bool), (1, 1, 1)))
