import numpy as np
import pandas as pd
import pytest

from crossmod.anatomy.kidneys import reference_kidneys
from crossmod.evaluate import run
from crossmod.evaluate.scores import COLUMNS, TARGETS, Reference, score_case
from crossmod.job import Job, UserError
from crossmod.scans.voxels import edges_mm

VOXEL_ML = 2 * 2 * 3 / 1000
ARM = {"name": "ct116", "strategy": "ct", "amount": 0, "subset": "none"}


def sides(labels: np.ndarray) -> np.ndarray:
    """Kidney mask of a label map: 1 right, 2 left."""
    return np.where(np.isin(labels, [1, 5]), 1, np.where(np.isin(labels, [2, 6]), 2, 0))


def parenchyma(labels: np.ndarray) -> np.ndarray:
    return np.where(labels == 1, 1, np.where(labels == 2, 2, 0))


def perfect(case: str, labels: np.ndarray, cohort: str = "mr") -> dict:
    return {
        "case": case,
        "cohort": cohort,
        "kidney": sides(labels),
        "parenchyma": parenchyma(labels),
        "parenchyma_reference_box": parenchyma(labels),
    }


@pytest.fixture
def evaluate(tmp_path):
    """Run the step; returns its table."""

    def call(predictions, cohorts, targets=TARGETS) -> pd.DataFrame:
        out = tmp_path / "evaluate" / "mr.csv"
        settings = {
            "arm": ARM,
            "seed": 3,
            "site": "mr",
            "targets": list(targets),
            "surface_tolerance_mm": 2.0,
        }
        inputs = {"predictions": str(predictions), "cohorts": [str(c) for c in cohorts]}
        run(Job("evaluate", inputs, {"scores": str(out)}, settings))
        return pd.read_csv(out)

    return call


def test_perfect_predictions(write_cohort, write_predictions, maps, evaluate):
    table = evaluate(
        write_predictions([perfect(case, labels) for case, labels in maps.items()]),
        [write_cohort("mr", maps)],
    )
    assert tuple(table.columns) == COLUMNS
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
    chaos = {"1": "right_kidney", "2": "left_kidney", "5": "liver"}
    folder = write_cohort("chaos", maps, labels=chaos, simulated=False)
    table = evaluate(write_predictions([perfect("c2", maps["c2"], "chaos")]), [folder])
    assert table["target"].tolist() == ["kidney"]
    assert table.loc[0, "dsc"] == 1 and not table.loc[0, "simulated"]


def test_cases_of_two_cohorts(write_cohort, write_predictions, maps, evaluate):
    folders = [write_cohort("mr", maps), write_cohort("ct", {"c1": maps["c2"]})]
    rows = [perfect("c1", maps["c1"], "mr"), perfect("c1", maps["c2"], "ct")]
    with_tumour = evaluate(write_predictions(rows[:1]), folders, ["kidney"])
    without = evaluate(write_predictions(rows[1:]), folders, ["kidney"])
    assert with_tumour["tumour"].all() and not without["tumour"].any()


def test_targets_select_rows(write_cohort, write_predictions, maps, evaluate):
    table = evaluate(
        write_predictions([perfect("c1", maps["c1"])]), [write_cohort("mr", maps)], ["parenchyma_with_tumour"]
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
    with pytest.raises(UserError, match=r"spleen.*parenchyma_with_tumour"):
        evaluate(write_predictions([perfect("c1", maps["c1"])]), [cohort], ["spleen"])
    wrong = perfect("c1", maps["c1"])
    wrong["parenchyma"] = wrong["parenchyma"][:-1]
    with pytest.raises(UserError, match=r"case c1.*predicted_box.*predict it anew"):
        evaluate(write_predictions([wrong]), [cohort])
    twice = [perfect("c1", maps["c1"])] * 2
    with pytest.raises(UserError, match="listed twice"):
        evaluate(write_predictions(twice), [cohort])
    (predictions / "index.csv").unlink()
    with pytest.raises(UserError, match=r"index\.csv"):
        evaluate(predictions, [cohort])


@pytest.mark.parametrize("degrees", [0, 20, 30])
def test_volumes_of_a_tilted_gantry_are_those_of_slanted_voxels(maps, degrees):
    labels, affine = maps["c1"], np.diag([2.0, 2.0, 3.0, 1.0])
    affine[1, 2] = 3.0 * np.tan(np.deg2rad(degrees))
    names = {1: "right_parenchyma", 2: "left_parenchyma", 5: "right_tumour", 6: "left_tumour"}
    case = {"case": "c1", "patient": "p", "modality": "CT"}
    kidneys = reference_kidneys(labels, names, affine)
    masks = {"kidney": sides(labels), "predicted_box": parenchyma(labels)}
    reference = Reference(case, True, kidneys, labels.shape, edges_mm(affine))
    whole, right, _ = score_case(reference, masks, list(TARGETS), 2.0)
    assert whole["tumour_ml"] == pytest.approx((labels == 5).sum() * VOXEL_ML)
    assert right["volume_reference_ml"] == pytest.approx((labels == 1).sum() * VOXEL_ML)
    assert right["volume_predicted_ml"] == pytest.approx((labels == 1).sum() * VOXEL_ML)
