"""What is held against what: sides, components, planes and tiles, of masks with sides and with classes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crossmod.evaluate import metrics
from crossmod.evaluate.declared import Declared
from crossmod.evaluate.scores import Asked, score_case
from crossmod.evaluate.targets import Truth, pairs_of
from crossmod.job import UserError
from crossmod.scans.grid import Grid
from tests.patients import AFFINE, LABELS, RENAL, parenchyma, patient, sides, turned

SHAPE = (12, 10, 6)
NAMES = {1: "liver", 2: "tumour"}
ORGANS = {
    "stages": {"organs": {"classes": {"liver": ["liver"], "lesion": ["tumour"]}, "region": "image", "keep": None}},
    "units": {
        "lesion": {"structures": ["tumour"], "apart": "component", "facts": ["tumour"], "match": {"overlap": 0.1}},
        "slice": {"structures": ["tumour"], "apart": "plane"},
        "patch": {"structures": ["tumour"], "apart": "tile", "size_mm": 4.0},
    },
    "targets": {
        "organs": {"stage": "organs", "unit": "image"},
        "liver": {"stage": "organs", "classes": ["liver"], "unit": "image"},
        "lesions": {"stage": "organs", "classes": ["lesion"], "unit": "lesion"},
        "in_slices": {"stage": "organs", "classes": ["lesion"], "unit": "slice"},
        "in_patches": {"stage": "organs", "classes": ["lesion"], "unit": "patch"},
    },
    "metrics": ["dsc", "hd95_mm", "precision", "recall", "accuracy", "f1", "iou", "shared_ml", "extent_ml"],
    "surface_tolerance_mm": 2.0,
}
AXIAL = np.diag([1.0, 1.0, 5.0, 1.0])


def truth(labels: np.ndarray, names=NAMES, affine=AXIAL) -> Truth:
    return Truth(labels, names, Grid(labels.shape, affine))


def pairs(labels, predicted, target, names=NAMES, settings=ORGANS, affine=AXIAL):
    return list(pairs_of(Declared.of(settings), truth(labels, names, affine), {"organs": predicted}, target))


@pytest.fixture
def lesions() -> tuple[np.ndarray, np.ndarray]:
    """Reference and prediction: a large lesion found in part, a small one missed, and one invented."""
    labels, predicted = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    labels[1:5, 1:5, 1:4], predicted[2:6, 1:5, 1:4] = 2, 2
    labels[8:10, 7:9, 1] = 2
    predicted[8:10, 1:3, 4:6] = 2
    labels[11], predicted[11] = 1, 1
    return labels, predicted


def test_lesions_are_found_missed_or_invented(lesions):
    found = pairs(*lesions, "lesions")
    assert [(p.unit.part, p.matched) for p in found] == [(1, True), (2, False), (3, False)]
    assert [(p.reference.sum(), p.predicted.sum()) for p in found] == [(48, 48), (4, 0), (0, 8)]
    rows = [row for row in score_case(truth(lesions[0]), {"organs": lesions[1]}, Asked.of(ORGANS))]
    rows = [row for row in rows if row["target"] == "lesions"]
    assert [row["dsc"] for row in rows] == [0.75, 0, 0]
    assert [row["hd95_mm"] for row in rows][1:] == [np.inf, np.inf]
    assert rows[2]["volume_reference_ml"] == 0 and np.isnan(rows[2]["relative_difference_pct"])
    assert all(np.isnan(row[name]) for row in rows for name in ("accuracy", "extent_ml")), "nothing bounds a lesion"
    assert [row["shared_ml"] for row in rows] == pytest.approx([36 * 0.005, 0, 0])
    assert [row["tumour_ml"] for row in rows] == [48 * 0.005, 4 * 0.005, 0]


@given(
    arrays(np.uint8, SHAPE, elements=st.integers(0, 2), fill=st.just(0)),
    arrays(np.uint8, SHAPE, elements=st.integers(0, 2)),
)
@settings(max_examples=50, deadline=None)
def test_every_voxel_of_both_masks_is_in_one_lesion(labels, predicted):
    found = pairs(labels, predicted, "lesions")
    assert sum(p.reference.sum() for p in found) == (labels == 2).sum()
    assert sum(p.predicted.sum() for p in found) <= (predicted == 2).sum()
    both = np.array([p.whole(SHAPE) for p in found]).reshape(len(found), 2, *SHAPE).sum(axis=0)
    assert both.max(initial=0) <= 1
    np.testing.assert_array_equal(both[0] > 0, labels == 2)
    np.testing.assert_array_equal(both[1] > 0, predicted == 2)


@pytest.mark.parametrize(("target", "size"), [("in_slices", 120), ("in_patches", 16)])
@given(
    arrays(np.uint8, SHAPE, elements=st.integers(0, 2), fill=st.just(0)),
    arrays(np.uint8, SHAPE, elements=st.integers(0, 2)),
)
@settings(max_examples=30, deadline=None)
def test_planes_and_tiles_count_as_confusion_tables_do(target, size, labels, predicted):
    found = pairs(labels, predicted, target)
    assert sum(p.reference.sum() for p in found) == (labels == 2).sum()
    for pair in found:
        true, said = labels[pair.unit.box] == 2, predicted[pair.unit.box] == 2
        assert pair.voxels == true.size <= size and true.any()
        counted = metrics.compare(pair.reference, pair.predicted, (1, 1, 5), pair.voxels, pair.flat)
        assert metrics.accuracy(counted) == pytest.approx((true == said).mean())
        assert metrics.recall(counted) == pytest.approx((true & said).sum() / true.sum())
        assert metrics.shared_ml(counted) == pytest.approx((true & said).sum() * 0.005)
        assert metrics.extent_ml(counted) == pytest.approx(true.size * 0.005)
        assert metrics.precision(counted) == pytest.approx((true & said).sum() / max(said.sum(), 1))
        assert metrics.iou(counted) == pytest.approx((true & said).sum() / (true | said).sum())
        assert metrics.f1(counted) == metrics.dsc(counted)


def test_the_outline_of_a_plane_lies_in_the_plane():
    labels, predicted = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    labels[1:10, 1:9, 2], predicted[3:8, 3:7, 2] = 2, 2
    (row,) = [
        r for r in score_case(truth(labels), {"organs": predicted}, Asked.of(ORGANS)) if r["target"] == "in_slices"
    ]
    assert row["part"] == 3
    assert row["hd95_mm"] == pytest.approx(np.hypot(2, 2)), "corner to corner; as a body, every voxel were surface"


@pytest.mark.parametrize("codes", ["LPS", "SAR", "PIL"])
def test_a_file_stored_otherwise_gives_the_same_rows(lesions, codes):
    asked = Asked.of(ORGANS)
    (labels, affine), (predicted, _) = (turned(array, AXIAL, codes) for array in lesions)
    rows = list(score_case(truth(labels, affine=affine), {"organs": predicted}, asked))
    expected = list(score_case(truth(lesions[0]), {"organs": lesions[1]}, asked))
    assert len(rows) == len(expected) > 8
    for row, other in zip(rows, expected, strict=True):
        assert row.keys() == other.keys()
        for key, value in row.items():
            assert value == other[key] or value == pytest.approx(other[key], nan_ok=True), key


def test_classes_are_the_values_of_a_mask_and_several_are_one_mask(lesions):
    (both,), (liver,) = pairs(*lesions, "organs"), pairs(*lesions, "liver")
    np.testing.assert_array_equal(both.predicted, lesions[1] > 0)
    np.testing.assert_array_equal(both.reference, lesions[0] > 0)
    np.testing.assert_array_equal(liver.predicted, lesions[1] == 1)
    assert both.voxels == lesions[0].size


def test_a_target_that_the_labels_do_not_name_has_no_row(lesions):
    labels, predicted = lesions
    names = {1: "liver", 2: "spleen"}
    assert [p.target.name for p in pairs(labels, predicted, None, names)] == ["liver"]


def test_a_side_of_a_mask_without_sides_is_where_it_lies():
    labels = patient(tumour=True)
    stages = {"organs": {"classes": {"spleen": ["spleen"], "kidney": ["parenchyma"]}, "region": "image", "keep": None}}
    target = {"stage": "organs", "classes": ["kidney"], "unit": "kidney", "where": {"tumour": True}}
    settings = {**RENAL, "stages": stages, "targets": {"right_ones": target}}
    predicted = np.where(parenchyma(labels) > 0, 2, 0).astype(np.uint8)
    predicted[30, 10, 10] = 1  # a spleen is no kidney
    (pair,) = pairs(labels, predicted, None, LABELS, settings, AFFINE)
    assert pair.unit.side == "right"
    np.testing.assert_array_equal(pair.reference, pair.predicted)


def test_rows_go_by_region_then_unit_then_target():
    labels = patient(tumour=True)
    settings = {**RENAL, "targets": {**RENAL["targets"], "every": {"stage": "parenchyma", "unit": "kidney"}}}
    masks = {"kidney": sides(labels), "parenchyma": parenchyma(labels), "parenchyma_reference_box": parenchyma(labels)}
    found = pairs_of(Declared.of(settings), truth(labels, LABELS, AFFINE), masks)
    order = [(p.region, p.unit.side, p.target.name) for p in found]
    assert order[0] == ("image", "both", "kidney")
    assert [o[:2] for o in order[1:]] == [
        (region, side) for region in ("predicted_box", "reference_box") for side in ("right",) * 2 + ("left",) * 2
    ]
    assert [o[2] for o in order[1:5]] == ["parenchyma_with_tumour", "every", "parenchyma_without_tumour", "every"]


def test_an_arm_answers_a_target_by_the_stage_it_has(lesions):
    stage = ORGANS["stages"]["organs"]
    target = {"stage": ["cancer", "organs"], "classes": ["lesion"], "unit": "image"}
    (pair,) = pairs(
        *lesions, "t", settings={**ORGANS, "targets": {"t": target, "gone": {"stage": "x", "unit": "image"}}}
    )
    np.testing.assert_array_equal(pair.predicted, lesions[1] == 2)
    with pytest.raises(UserError, match="none of gone is of one of the stages organs"):
        Declared.of({**ORGANS, "stages": {"organs": stage}, "targets": {"gone": {"stage": "x", "unit": "image"}}})


def test_columns_are_those_that_a_study_asks_for():
    assert Asked.of(ORGANS).columns == [
        *[
            "arm",
            "seed",
            "site",
            "case",
            "patient",
            "modality",
            "simulated",
            "target",
            "region",
            "unit",
            "side",
            "part",
            "matched",
            "tumour",
            "tumour_ml",
        ],
        *[
            "dsc",
            "hd95_mm",
            "volume_reference_ml",
            "volume_predicted_ml",
            "volume_difference_ml",
            "relative_difference_pct",
        ],
        *["precision", "recall", "accuracy", "f1", "iou", "shared_ml", "extent_ml"],
    ]


SIDED = {
    "stages": {
        "renal": {
            "classes": {
                "left_kidney": ["left_parenchyma"],
                "right_kidney": ["right_parenchyma"],
                "tumour": ["tumour"],
            },
            "region": "image",
            "keep": None,
        }
    },
    "units": {"kidney": {"structures": ["parenchyma", "tumour"], "apart": "side", "facts": ["tumour"]}},
    "targets": {
        "k_tumour": {
            "stage": "renal",
            "classes": ["left_kidney", "right_kidney"],
            "unit": "kidney",
            "where": {"tumour": True},
        },
        "k_clean": {
            "stage": "renal",
            "classes": ["left_kidney", "right_kidney"],
            "unit": "kidney",
            "where": {"tumour": False},
        },
        "tumour": {"stage": "renal", "classes": ["tumour"], "unit": "image", "where": {"tumour": True}},
    },
}


def test_classes_that_name_a_side_are_held_against_that_side():
    labels, predicted = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    names = {1: "right_parenchyma", 2: "left_parenchyma", 3: "left_tumour"}
    labels[8:11, 2:6], labels[1:4, 2:6], labels[1:3, 2:4] = 1, 2, 3
    predicted[8:11, 2:6], predicted[1:4, 2:6], predicted[1:3, 2:4] = 1, 1, 3  # both called the left kidney
    found = {
        pair.target.name: pair for pair in pairs_of(Declared.of(SIDED), truth(labels, names), {"renal": predicted})
    }
    assert {name: pair.unit.side for name, pair in found.items()} == {
        "k_tumour": "left",
        "k_clean": "right",
        "tumour": "both",
    }
    assert found["k_tumour"].reference.sum() == (labels == 2).sum(), "the kidney of the tumour without the tumour"
    assert found["k_tumour"].predicted.sum() == (predicted == 1).sum(), "what is called left is left, wherever it lies"
    assert found["k_clean"].predicted.sum() == 0, "nothing was called the right kidney"
    assert (found["tumour"].predicted == (predicted == 3)).all()


def test_classes_without_a_side_are_parted_by_where_they_lie():
    assert all(not target.sides for target in Declared.of(ORGANS).targets)
    assert {target.name: target.sides for target in Declared.of(SIDED).targets}["k_clean"] == {1: "left", 2: "right"}
