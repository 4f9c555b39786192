"""The cascade in space: with a network that thresholds brightness, masks lie where the bright bodies are."""

import numpy as np
import pytest

from crossmod.anatomy.kidneys import MASK_VALUES
from crossmod.predict.cascade import region_boxes, segment, segment_boxes, segment_image
from crossmod.predict.network import TrainedStage
from crossmod.predict.on_grid import on_grids
from crossmod.scans.grid import Grid
from tests.bright import KIDNEY, NORMALISATION, PARENCHYMA, STAGES, Bright, dsc, patient


@pytest.fixture(scope="module")
def stages():
    return {name: TrainedStage.of(Bright(), stage, "32-true") for name, stage in STAGES.items()}


@pytest.mark.parametrize("codes", [("L", "P", "S"), ("R", "A", "S"), ("P", "I", "R"), ("S", "R", "A")])
def test_masks_lie_where_the_kidneys_are_whatever_the_orientation(stages, codes):
    scan, truth = patient(codes)
    native = Grid(scan.array.shape, scan.affine)
    ready = on_grids(scan, "CT", STAGES, NORMALISATION)
    kidney = segment_image(ready, "kidney", stages["kidney"], native)
    assert kidney.shape == scan.array.shape
    for value in (1, 2):
        assert dsc(kidney == value, truth == value) > 0.93
    boxes = region_boxes(kidney, True, native, ready.grids["parenchyma"])
    parenchyma = segment_boxes(ready, "parenchyma", stages["parenchyma"], native, boxes)
    for value in (1, 2):
        assert dsc(parenchyma == value, truth == value) > 0.93


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_single_kidney_keeps_its_side(stages, side):
    scan, truth = patient(kidneys=(side,))
    native = Grid(scan.array.shape, scan.affine)
    ready = on_grids(scan, "CT", STAGES, NORMALISATION)
    kidney = segment_image(ready, "kidney", stages["kidney"], native)
    assert set(np.unique(kidney)) == {0, truth.max()}


def test_specks_are_not_kidneys(stages):
    scan, _ = patient(kidneys=())
    ready = on_grids(scan, "CT", STAGES, NORMALISATION)
    native = Grid(scan.array.shape, scan.affine)
    kidney = segment_image(ready, "kidney", stages["kidney"], native)
    assert not kidney.any()
    assert region_boxes(kidney, True, native, ready.grids["parenchyma"]) == {}
    assert not segment_boxes(ready, "parenchyma", stages["parenchyma"], native, {}).any()


def test_a_box_that_reaches_beyond_the_scan_is_no_harm(stages):
    scan, _ = patient()
    native = Grid(scan.array.shape, scan.affine)
    ready = on_grids(scan, "CT", STAGES, NORMALISATION)
    boxes = {"right": (np.array([-30, -30, -30]), np.array([10, 10, 10]))}
    found = segment_boxes(ready, "parenchyma", stages["parenchyma"], native, boxes)
    assert found.shape == scan.array.shape


def test_a_kidney_s_box_ends_at_the_edges_of_its_voxels():
    native = Grid((8, 9, 10), np.diag([2.0, 2.0, 3.0, 1.0]))
    mask = np.zeros(native.shape, np.uint8)
    mask[2:4, 3:7, 5:6] = 2
    boxes = region_boxes(mask, True, native, Grid((16, 18, 30), np.diag([1.0, 1.0, 1.0, 1.0])))
    assert list(boxes) == ["left"]
    low, high = boxes["left"]  # 3 to 7, 5 to 13 and 13.5 to 16.5 mm
    assert (low.tolist(), high.tolist()) == ([3, 5, 14], [8, 14, 17])


def test_without_sides_one_box_holds_all_of_a_mask():
    native = Grid((8, 9, 10), np.diag([2.0, 2.0, 3.0, 1.0]))
    mask = np.zeros(native.shape, np.uint8)
    assert region_boxes(mask, False, native, native) == region_boxes(mask, True, native, native) == {}
    mask[2:4, 3:7, 5:6], mask[6, 1, 8] = 2, 5
    boxes = region_boxes(mask, False, native, native)
    assert list(boxes) == ["all"]
    low, high = boxes["all"]
    assert (low.tolist(), high.tolist()) == ([2, 1, 5], [7, 7, 9])


BODY = KIDNEY | {"classes": {"body": ["body"]}, "keep": {"largest": 1}, "spacing_mm": [8.0, 8.0, 8.0]}
CHAIN = {
    "body": BODY,
    "kidney": KIDNEY | {"region": "body"},
    "parenchyma": PARENCHYMA,
}
NETWORKS = {"body": Bright(-2.0), "kidney": Bright(), "parenchyma": Bright()}


def chain(settings: dict, networks: dict, codes=("L", "P", "S")):
    """Masks of a cascade on the patient, in the boxes of whose true kidneys or body stages look too; and the truth."""
    scan, truth = patient(codes)
    native = Grid(scan.array.shape, scan.affine)
    ready = on_grids(scan, "CT", settings, NORMALISATION)
    trained = {name: TrainedStage.of(networks[name], stage, "32-true") for name, stage in settings.items()}
    reference = {
        name: region_boxes(truth, stage["region"] == "kidney", native, ready.grids[name])
        for name, stage in settings.items()
    }
    return segment(ready, trained, native, reference), truth


@pytest.mark.parametrize("codes", [("L", "P", "S"), ("S", "R", "A")])
def test_three_stages_each_look_where_the_one_before_found_something(codes):
    masks, truth = chain(CHAIN, NETWORKS, codes)
    assert list(masks) == ["body", "kidney", "kidney_reference_box", "parenchyma", "parenchyma_reference_box"]
    assert set(np.unique(masks["body"])) == {0, 1}
    assert (masks["body"] > 0).sum() > 5 * (truth > 0).sum()
    for name in list(masks)[1:]:
        for value in MASK_VALUES.values():
            assert dsc(masks[name] == value, truth == value) > 0.9, name


def test_what_an_earlier_stage_did_not_find_no_later_one_finds_but_in_the_reference_s_box():
    blind = NETWORKS | {"body": Bright(100.0)}
    masks, truth = chain(CHAIN, blind)
    for name in ("body", "kidney", "parenchyma"):
        assert not masks[name].any()
    for name in ("kidney_reference_box", "parenchyma_reference_box"):
        assert dsc(masks[name] > 0, truth > 0) > 0.9


@pytest.mark.parametrize("sided", [False, True])
def test_several_classes_in_boxes_keep_their_values_on_both_sides(sided):
    region = KIDNEY if sided else KIDNEY | {"keep": {"largest": 2}}
    classes = {"rest": ["sinus"], "core": ["parenchyma"]}
    settings = {"kidney": region, "inner": PARENCHYMA | {"classes": classes, "keep": None}}
    # 40 HU are about 0.2 SD, 250 HU 2.5: both classes occur around each kidney.
    masks, truth = chain(settings, {"kidney": Bright(), "inner": Bright(-0.5, 1.0)})
    assert set(np.unique(masks["inner"])) == {0, 1, 2}
    assert dsc(masks["inner"] == 2, truth > 0) > 0.9
    sides = [masks["inner"][truth == value] for value in MASK_VALUES.values()]
    assert all((side == 2).mean() > 0.8 for side in sides)
    assert set(np.unique(masks["kidney"])) == ({0, 1, 2} if sided else {0, 1})


def test_a_box_beside_the_scan_gives_nothing(stages):
    scan, _ = patient()
    ready = on_grids(scan, "CT", STAGES, NORMALISATION)
    native = Grid(scan.array.shape, scan.affine)
    boxes = {"left": (np.array([900, 900, 900]), np.array([910, 910, 910]))}
    assert not segment_boxes(ready, "parenchyma", stages["parenchyma"], native, boxes).any()
