import numpy as np
import pandas as pd
import pytest

from crossmod.cohort.table import read_cohort
from crossmod.evaluate.scores import Asked, masks_of, score_case
from crossmod.evaluate.targets import Truth
from crossmod.job import UserError
from crossmod.scans.grid import Grid
from tests.patients import AFFINE, LABELS, RENAL, SHAPE, VOXEL_ML, parenchyma, sides

COLUMNS = [
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
    "tumour",
    "tumour_ml",
    "dsc",
    "hd95_mm",
    "surface_dsc",
    "volume_reference_ml",
    "volume_predicted_ml",
    "volume_difference_ml",
    "relative_difference_pct",
    "ellipsoid_ml",
]


def perfect(case: str, labels: np.ndarray, cohort: str = "mr") -> dict:
    return {
        "case": case,
        "cohort": cohort,
        "kidney": sides(labels),
        "parenchyma": parenchyma(labels),
        "parenchyma_reference_box": parenchyma(labels),
    }


def only(*names: str) -> dict:
    return {"targets": {name: RENAL["targets"][name] for name in names}}


def test_perfect_predictions(write_cohort, write_predictions, maps, evaluate):
    table = evaluate(
        write_predictions([perfect(case, labels) for case, labels in maps.items()]),
        [write_cohort("mr", maps)],
    )
    assert list(table.columns) == COLUMNS
    # Two images; two kidneys each, found in predicted and in reference boxes.
    assert len(table) == 2 + 2 * 2 * 2
    assert (table[["dsc", "surface_dsc"]] == 1).all(axis=None)
    assert (table["hd95_mm"] == 0).all() and (table["volume_difference_ml"] == 0).all()
    assert table["simulated"].all() and (table["seed"] == 3).all() and (table["arm"] == "ct116").all()

    image = table[(table["case"] == "c1") & (table["target"] == "kidney")].iloc[0]
    assert (image["region"], image["unit"], image["side"]) == ("image", "image", "both")
    assert image["tumour"] and pd.isna(image["ellipsoid_ml"])
    assert image["tumour_ml"] == pytest.approx((maps["c1"] == 5).sum() * VOXEL_ML)
    assert image["volume_reference_ml"] == pytest.approx((maps["c1"] > 0).sum() * VOXEL_ML)

    kidneys = table[table["unit"] == "kidney"].set_index(["case", "region", "side"])
    assert kidneys.loc[("c1", "predicted_box", "right"), "target"] == "parenchyma_with_tumour"
    assert kidneys.loc[("c1", "reference_box", "left"), "target"] == "parenchyma_without_tumour"
    assert not kidneys.loc[("c2", "predicted_box", "right"), "tumour"]
    assert kidneys.loc[("c1", "reference_box", "right"), "tumour_ml"] == image["tumour_ml"]
    assert kidneys.loc[("c1", "reference_box", "left"), "tumour_ml"] == 0
    assert kidneys.loc[("c1", "predicted_box", "right"), "volume_reference_ml"] == pytest.approx(
        (maps["c1"] == 1).sum() * VOXEL_ML
    )
    assert (kidneys["ellipsoid_ml"] > 0).all()


def test_regions_are_scored_from_their_own_masks(write_cohort, write_predictions, maps, evaluate):
    row = perfect("c1", maps["c1"])
    row["parenchyma"] = np.where(row["parenchyma"] == 1, 0, row["parenchyma"])
    table = evaluate(write_predictions([row]), [write_cohort("mr", maps)]).set_index(["region", "side"])
    missed = table.loc[("predicted_box", "right")]
    assert missed["dsc"] == 0 and missed["hd95_mm"] == np.inf and missed["surface_dsc"] == 0
    assert missed["relative_difference_pct"] == -100
    assert table.loc[("reference_box", "right"), "dsc"] == 1
    assert table.loc[("predicted_box", "left"), "dsc"] == 1


def test_a_side_mistaken_is_wrong_for_the_parenchyma_only(write_cohort, write_predictions, maps, evaluate):
    row = {"case": "c2", "cohort": "mr", "kidney": sides(maps["c2"])}
    row["parenchyma"] = np.choose(parenchyma(maps["c2"]), [0, 2, 1])
    row["kidney"] = np.choose(row["kidney"], [0, 2, 1])
    table = evaluate(write_predictions([row]), [write_cohort("mr", maps)]).set_index("target")
    assert table.loc["kidney", "dsc"] == 1
    assert (table.loc["parenchyma_without_tumour", "dsc"] == 0).all()
    assert set(table["region"]) == {"image", "predicted_box"}


def test_without_parenchyma_labels_only_the_kidney_is_scored(write_cohort, write_predictions, maps, evaluate):
    chaos = {1: "right_kidney", 2: "left_kidney", 5: "liver"}
    folder = write_cohort("chaos", maps, labels=chaos, simulated=False)
    table = evaluate(write_predictions([perfect("c2", maps["c2"], "chaos")]), [folder])
    assert table["target"].tolist() == ["kidney"]
    assert table.loc[0, "dsc"] == 1 and not table.loc[0, "simulated"]


def test_cases_of_two_cohorts(write_cohort, write_predictions, maps, evaluate):
    folders = [write_cohort("mr", maps), write_cohort("ct", {"c1": maps["c2"]})]
    rows = [perfect("c1", maps["c1"], "mr"), perfect("c1", maps["c2"], "ct")]
    with_tumour = evaluate(write_predictions(rows[:1]), folders, **only("kidney"))
    without = evaluate(write_predictions(rows[1:]), folders, **only("kidney"))
    assert with_tumour["tumour"].all() and not without["tumour"].any()


def test_targets_select_rows(write_cohort, write_predictions, maps, evaluate):
    table = evaluate(
        write_predictions([perfect("c1", maps["c1"])]), [write_cohort("mr", maps)], **only("parenchyma_with_tumour")
    )
    assert table["side"].tolist() == ["right", "right"]


def test_an_empty_reference_with_an_empty_prediction_is_no_question(write_cohort, write_predictions, maps, evaluate):
    nothing = {"c0": np.zeros_like(maps["c1"])}
    table = evaluate(write_predictions([perfect("c0", nothing["c0"])]), [write_cohort("mr", nothing)])
    assert len(table) == 1 and table[["dsc", "hd95_mm", "surface_dsc"]].isna().all(axis=None)


def test_same_input_same_bytes(write_cohort, write_predictions, maps, evaluate, tmp_path):
    predictions, cohort = write_predictions([perfect("c1", maps["c1"])]), write_cohort("mr", maps)
    evaluate(predictions, [cohort])
    first = (tmp_path / "evaluate" / "mr.csv").read_bytes()
    evaluate(predictions, [cohort])
    assert (tmp_path / "evaluate" / "mr.csv").read_bytes() == first


def test_refusals_name_the_case(write_cohort, write_predictions, maps, evaluate):
    cohort = write_cohort("mr", maps)
    predictions = write_predictions([perfect("c9", maps["c1"])])
    with pytest.raises(UserError, match="'c9'"):
        evaluate(predictions, [cohort])
    with pytest.raises(UserError, match="'ct'"):
        evaluate(write_predictions([perfect("c1", maps["c1"], "ct")]), [cohort])
    wrong = perfect("c1", maps["c1"])
    wrong["parenchyma"] = wrong["parenchyma"][:-1]
    with pytest.raises(UserError, match=r"case c1.*'parenchyma'.*predict it anew"):
        evaluate(write_predictions([wrong]), [cohort])
    twice = [perfect("c1", maps["c1"])] * 2
    with pytest.raises(UserError, match="listed twice"):
        evaluate(write_predictions(twice), [cohort])
    (predictions / "index.csv").unlink()
    with pytest.raises(UserError, match=r"index\.csv"):
        evaluate(predictions, [cohort])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"metrics": ["dice"]}, r"metrics: 'dice'.*dsc"),
        ({"targets": {"t": {"stage": "spleen", "unit": "image"}}}, r"none of t.*kidney, parenchyma"),
        ({"targets": {"t": {"stage": "kidney", "unit": "liver"}}}, r"targets\.t\.unit: 'liver'.*image, kidney"),
        ({"targets": {"t": {"stage": "kidney", "classes": ["x"], "unit": "image"}}}, r"classes: 'x'.*kidney"),
        ({"targets": {"t": {"stage": "kidney", "unit": "kidney", "where": {"cyst": True}}}}, r"where: 'cyst'.*tumour"),
        ({"targets": {"t": {"stage": "kidney", "unit": "kidney", "structures": ["spleen"]}}}, r"structures: 'spleen'"),
        ({"units": {"kidney": {"structures": ["kidney"], "apart": "side", "facts": ["tumour"]}}}, r"facts: 'tumour'"),
    ],
)
def test_settings_that_mean_nothing_are_refused(change, complaint):
    with pytest.raises(UserError, match=complaint):
        Asked.of({**RENAL, **change})


@pytest.mark.parametrize("degrees", [0, 20, 30])
def test_volumes_of_a_tilted_gantry_are_those_of_slanted_voxels(maps, degrees):
    labels, affine = maps["c1"], AFFINE.copy()
    affine[1, 2] = 3.0 * np.tan(np.deg2rad(degrees))
    masks = {"kidney": sides(labels), "parenchyma": parenchyma(labels)}
    whole, right, _ = score_case(Truth(labels, LABELS, Grid(SHAPE, affine)), masks, Asked.of(RENAL))
    assert whole["tumour_ml"] == pytest.approx((labels == 5).sum() * VOXEL_ML)
    assert right["volume_reference_ml"] == pytest.approx((labels == 1).sum() * VOXEL_ML)
    assert right["volume_predicted_ml"] == pytest.approx((labels == 1).sum() * VOXEL_ML)


def test_the_masks_of_a_row_are_those_it_was_scored_by(write_cohort, write_predictions, maps, evaluate):
    folder, cohort = write_predictions([perfect("c1", maps["c1"])]), write_cohort("mr", maps)
    for row in evaluate(folder, [cohort]).to_dict("records"):
        reference, predicted = masks_of(folder, row, {"mr": read_cohort(cohort)}, RENAL)
        assert reference.shape == predicted.shape == SHAPE
        assert reference.sum() * VOXEL_ML == pytest.approx(row["volume_reference_ml"])
        assert predicted.sum() * VOXEL_ML == pytest.approx(row["volume_predicted_ml"])
    with pytest.raises(UserError, match="no unit 'left'"):
        masks_of(
            folder, {**row, "target": "parenchyma_with_tumour", "side": "left"}, {"mr": read_cohort(cohort)}, RENAL
        )
    with pytest.raises(UserError, match="'c7'"):
        masks_of(folder, {**row, "case": "c7"}, {"mr": read_cohort(cohort)}, RENAL)
