import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial import cKDTree

from crossmod.evaluate import metrics
from crossmod.evaluate.ellipsoid import ellipsoid_ml
from crossmod.scans.voxels import edges_mm

ISOTROPIC = (1.0, 1.0, 1.0)
SHAPE = (7, 6, 5)
masks = arrays(bool, SHAPE)
spacings = st.tuples(*[st.floats(0.2, 8)] * 3)


def blob(seed: int, shape=(24, 20, 16)) -> np.ndarray:
    """A lumpy connected mask away from no border in particular."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2.5)
    return noise > np.quantile(noise, 0.8)


def values(pair: metrics.Comparison) -> tuple[float, float, float]:
    return metrics.dsc(pair), metrics.hd95_mm(pair), metrics.surface_dsc(pair, 2.0)


def one_hot(mask: np.ndarray):
    import torch

    return torch.from_numpy(mask)[None, None].float()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("spacing_mm", [ISOTROPIC, (2.0, 2.0, 2.0), (0.78, 0.78, 5.0), (1.25, 1.25, 7.7)])
def test_equal_to_monai(seed, spacing_mm):
    from monai.metrics import compute_dice, compute_hausdorff_distance, compute_surface_dice

    reference, prediction = blob(seed), blob(seed + 100)
    pair = metrics.compare(reference, prediction, spacing_mm)
    y_pred, y = one_hot(prediction), one_hot(reference)
    assert metrics.dsc(pair) == pytest.approx(compute_dice(y_pred, y, include_background=True).item(), abs=1e-6)
    expected = compute_hausdorff_distance(y_pred, y, include_background=True, percentile=95, spacing=spacing_mm).item()
    assert metrics.hd95_mm(pair) == pytest.approx(expected, rel=1e-6)
    for tolerance_mm in (0.0, 1.0, 3.3):
        expected = compute_surface_dice(
            y_pred, y, class_thresholds=[tolerance_mm], include_background=True, spacing=spacing_mm
        ).item()
        assert metrics.surface_dsc(pair, tolerance_mm) == pytest.approx(expected, abs=1e-6)


def test_two_cubes_by_hand():
    reference = np.zeros((12, 8, 8), bool)
    prediction = reference.copy()
    reference[2:6, 2:6, 2:6] = True
    prediction[4:8, 2:6, 2:6] = True
    pair = metrics.compare(reference, prediction, (2.0, 1.0, 1.0))
    assert metrics.dsc(pair) == 0.5
    assert metrics.volume_reference_ml(pair) == pytest.approx(0.128)
    # The outermost layer of 16 of 56 surface voxels lies two voxels, 4 mm, away (95th percentile among them).
    assert metrics.hd95_mm(pair) == 4.0


def test_distances_equal_a_distance_map():
    from scipy.ndimage import binary_erosion, distance_transform_edt

    spacing_mm = (0.8, 1.5, 3.0)
    reference, prediction = blob(3), blob(4)
    pair = metrics.compare(reference, prediction, spacing_mm)
    outer = prediction & ~binary_erosion(prediction)
    inner = reference & ~binary_erosion(reference)
    expected = distance_transform_edt(~outer, sampling=spacing_mm)[inner]
    np.testing.assert_allclose(np.sort(pair.to_prediction_mm), np.sort(expected), rtol=1e-12)


@given(masks, masks, spacings, st.tuples(*[st.integers(-30, 30)] * 3))
@settings(max_examples=200)
def test_distances_are_the_nearest_however_far(a, b, spacing_mm, away):
    """Few voxels apart they are found one way, far apart another."""
    room = np.zeros((2, *[n + 30 for n in SHAPE]), bool)
    for mask, place, shift in ((a, room[0], np.maximum(away, 0)), (b, room[1], np.maximum(np.negative(away), 0))):
        place[tuple(slice(low, low + n) for low, n in zip(shift, SHAPE, strict=True))] = mask
    pair = metrics.compare(*room, spacing_mm)
    inner, outer = (np.argwhere(metrics.surface(mask)) * spacing_mm for mask in room)
    if not (len(inner) and len(outer)):
        assert len(pair.to_prediction_mm) == len(pair.to_reference_mm) == 0
        return
    all_mm = np.linalg.norm(inner[:, None] - outer[None], axis=-1)
    np.testing.assert_allclose(pair.to_prediction_mm, all_mm.min(axis=1), rtol=1e-9)
    np.testing.assert_allclose(pair.to_reference_mm, all_mm.min(axis=0), rtol=1e-9)


@given(masks)
def test_surface_is_mask_minus_erosion(mask):
    from scipy.ndimage import binary_erosion

    np.testing.assert_array_equal(metrics.surface(mask), mask & ~binary_erosion(mask))


@given(masks, masks, spacings)
def test_symmetric(a, b, spacing_mm):
    there, back = metrics.compare(a, b, spacing_mm), metrics.compare(b, a, spacing_mm)
    np.testing.assert_equal(values(there), values(back))
    assert metrics.volume_difference_ml(there) == -metrics.volume_difference_ml(back)


@given(masks, spacings)
def test_a_mask_agrees_with_itself(mask, spacing_mm):
    pair = metrics.compare(mask, mask, spacing_mm)
    expected = (1.0, 0.0, 1.0) if mask.any() else (np.nan,) * 3
    np.testing.assert_equal(values(pair), expected)


@settings(deadline=None)
@given(masks, masks, spacings, st.floats(0.1, 10))
def test_scaling_the_spacing_scales_distances_and_volumes(a, b, spacing_mm, factor):
    pair = metrics.compare(a, b, spacing_mm)
    scaled = metrics.compare(a, b, tuple(factor * s for s in spacing_mm))
    np.testing.assert_allclose(metrics.hd95_mm(scaled), factor * metrics.hd95_mm(pair), rtol=1e-9)
    np.testing.assert_allclose(
        metrics.volume_predicted_ml(scaled), factor**3 * metrics.volume_predicted_ml(pair), rtol=1e-9
    )
    np.testing.assert_equal(metrics.dsc(scaled), metrics.dsc(pair))
    np.testing.assert_allclose(metrics.surface_dsc(scaled, factor * 2.0), metrics.surface_dsc(pair, 2.0))


@given(masks, masks, spacings, st.sampled_from([0, 1, 2]))
def test_flips_and_rotations_change_nothing(a, b, spacing_mm, axis):
    expected = values(metrics.compare(a, b, spacing_mm))
    flipped = metrics.compare(np.flip(a, axis), np.flip(b, axis), spacing_mm)
    np.testing.assert_allclose(values(flipped), expected, rtol=1e-12)
    order = np.roll([0, 1, 2], axis)
    turned = metrics.compare(a.transpose(order), b.transpose(order), tuple(spacing_mm[i] for i in order))
    np.testing.assert_allclose(values(turned), expected, rtol=1e-12)


@given(masks, masks, st.integers(0, 4))
def test_background_around_changes_nothing(a, b, margin):
    expected = values(metrics.compare(a, b, ISOTROPIC))
    np.testing.assert_equal(values(metrics.compare(np.pad(a, margin), np.pad(b, margin), ISOTROPIC)), expected)


EMPTY, FULL = np.zeros(SHAPE, bool), np.ones(SHAPE, bool)


@pytest.mark.parametrize(
    ("reference", "prediction", "expected"),
    [
        (EMPTY, EMPTY, (np.nan, np.nan, np.nan)),
        (EMPTY, FULL, (0.0, np.inf, 0.0)),
        (FULL, EMPTY, (0.0, np.inf, 0.0)),
    ],
)
def test_empty_masks(reference, prediction, expected):
    np.testing.assert_equal(values(metrics.compare(reference, prediction, ISOTROPIC)), expected)


@pytest.mark.parametrize(
    ("reference", "predicted", "above_dsc", "expected"),
    [
        (8, [0, 8], 0.0, "correct"),
        (8, [7, 15], 0.0, "correct"),
        (8, [7, 15], 0.2, "incorrect"),
        (8, [8, 16], 0.0, "incorrect"),
        (8, [0, 0], 0.0, "not_detected"),
        (0, [0, 8], 0.0, ""),
        (0, [0, 0], 0.0, ""),
    ],
)
def test_a_lesion_is_found_in_its_place_elsewhere_or_not_at_all(reference, predicted, above_dsc, expected):
    a, b = np.zeros((1, 1, 20), bool), np.zeros((1, 1, 20), bool)
    a[..., :reference], b[..., predicted[0] : predicted[1]] = True, True
    assert metrics.located(metrics.compare(a, b, (1.0, 1.0, 1.0)), above_dsc) == expected


def test_volumes_of_empty_masks():
    ml = FULL.sum() / 1000
    missed = metrics.compare(FULL, EMPTY, ISOTROPIC)
    assert metrics.volume_difference_ml(missed) == pytest.approx(-ml)
    assert metrics.relative_difference_pct(missed) == -100
    invented = metrics.compare(EMPTY, FULL, ISOTROPIC)
    assert metrics.volume_difference_ml(invented) == pytest.approx(ml)
    assert np.isnan(metrics.relative_difference_pct(invented))
    assert metrics.volume_reference_ml(metrics.compare(EMPTY, EMPTY, ISOTROPIC)) == 0


@pytest.mark.parametrize(
    ("reference", "prediction", "spacing_mm", "complaint"),
    [
        (EMPTY, np.zeros((2, 2, 2), bool), ISOTROPIC, "one shape"),
        (EMPTY[0], EMPTY[0], ISOTROPIC, "one shape"),
        (EMPTY.astype(int), EMPTY, ISOTROPIC, "boolean"),
        (EMPTY, EMPTY, (1.0, 0.0, 1.0), "positive"),
        (EMPTY, EMPTY, (1.0, np.nan, 1.0), "positive"),
        (EMPTY, EMPTY, (1.0, 1.0), "positive"),
    ],
)
def test_refuses(reference, prediction, spacing_mm, complaint):
    with pytest.raises(ValueError, match=complaint):
        metrics.compare(reference, prediction, spacing_mm)


@pytest.mark.parametrize("tolerance_mm", [-1.0, np.nan, np.inf])
def test_refuses_a_senseless_tolerance(tolerance_mm):
    with pytest.raises(ValueError, match="tolerance_mm"):
        metrics.surface_dsc(metrics.compare(FULL, FULL, ISOTROPIC), tolerance_mm)


def tilted(degrees, spacing_mm):
    """The affine of slices that a tilted gantry shifts, and voxel centres (N, 3) in mm.

    The voxels are those of a grid that holds a ball of 40 mm.
    """
    affine = np.diag([*spacing_mm, 1.0])
    affine[1, 2] = spacing_mm[2] * np.tan(np.deg2rad(degrees))
    slices = int(np.ceil(42 / spacing_mm[2]))
    reach = int(np.ceil(42 / spacing_mm[0])), int(np.ceil((42 + slices * abs(affine[1, 2])) / spacing_mm[1])), slices
    index = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in reach], indexing="ij"), -1)
    return affine, index @ affine[:3, :3].T


@settings(max_examples=15, deadline=None)
@given(
    degrees=st.sampled_from([-1, 1]).flatmap(lambda sign: st.floats(0.1, 30).map(lambda tilt: sign * tilt)),
    spacing=st.tuples(st.floats(1.2, 2), st.floats(1.2, 2), st.floats(2, 4)),
)
def test_balls_on_sheared_grids(degrees, spacing):
    affine, mm = tilted(degrees, spacing)
    large, small = (np.linalg.norm(mm, axis=-1) <= radius for radius in (35, 27))
    pair = metrics.compare(large, small, edges_mm(affine))
    assert metrics.volume_reference_ml(pair) == pytest.approx(4 / 3 * np.pi * 3.5**3, rel=0.03)
    assert metrics.volume_predicted_ml(pair) == pytest.approx(4 / 3 * np.pi * 2.7**3, rel=0.03)
    assert metrics.hd95_mm(pair) == pytest.approx(8, abs=max(spacing) * 0.8)
    # The nearest of all surface voxels, in the patient's millimetres.
    far, near = (mm[metrics.surface(mask)] for mask in (large, small))
    np.testing.assert_allclose(np.sort(pair.to_prediction_mm), np.sort(cKDTree(near).query(far)[0]), atol=1e-6)
    assert ellipsoid_ml(large, edges_mm(affine)) == pytest.approx(4 / 3 * np.pi * 3.5**3, rel=0.08)
