"""Pooled scores beside means per unit, against sums of voxels that were worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from crossmod.analyse.pooled import F1_OF_MEANS, NUMBERS, pooled_of
from crossmod.analyse.stats import bootstrap_ci, ratio_ci
from crossmod.analyse.study import analyse
from crossmod.analyse.summary import summarise
from tests.pieces import METRICS, THREE, design, rows, table


def pooled(found: list[dict], **changes) -> pd.DataFrame:
    """The table by metric, of one arm."""
    scores, asked = table(found), design(**changes)
    result = pooled_of(scores, summarise(scores, asked), asked)
    assert list(result.columns) == ["arm", "network", "site", "target", "region", *NUMBERS]
    return result.set_index("metric")


@pytest.mark.parametrize(
    ("metric", "per_image", "of_all"),
    [
        ("precision", (9 / 10 + 5 / 5 + 70 / 90) / 3, 84 / 105),
        ("recall", (9 / 10 + 5 / 10 + 70 / 80) / 3, 84 / 100),
        ("accuracy", (98 / 100 + 95 / 100 + 170 / 200) / 3, 363 / 400),
        ("f1", (18 / 20 + 10 / 15 + 140 / 170) / 3, 168 / 205),
        ("dsc", (18 / 20 + 10 / 15 + 140 / 170) / 3, 168 / 205),
        ("iou", (9 / 11 + 5 / 10 + 70 / 100) / 3, 84 / 121),
    ],
)
def test_three_units_of_which_the_largest_counts_most_when_pooled(metric, per_image, of_all):
    row = pooled(rows(THREE)).loc[metric]
    assert (row["per_image"], row["pooled"]) == (pytest.approx(per_image), pytest.approx(of_all))
    assert abs(row["per_image"] - row["pooled"]) > 0.01
    assert (row["n"], row["n_patients"], row["n_left_out"], row["n_per_image"]) == (3, 2, 0, 3)


def test_the_f1_of_the_two_means_is_not_the_mean_f1_and_pooled_they_are_one():
    found = pooled(rows(THREE))
    precision, recall = (found.loc[name, "per_image"] for name in ("precision", "recall"))
    of_means = found.loc[F1_OF_MEANS]
    assert of_means["per_image"] == pytest.approx(2 * precision * recall / (precision + recall))
    assert of_means["per_image"] == pytest.approx(0.8200, abs=1e-4)
    assert found.loc["f1", "per_image"] == pytest.approx(0.7967, abs=1e-4)
    assert of_means["pooled"] == pytest.approx(found.loc["f1", "pooled"], rel=1e-12)
    assert np.isnan(of_means["pooled_low"]) and "it follows from precision and recall" in of_means["note"]


def test_both_intervals_resample_patients():
    many = [(f"s{i}", f"p{i // 3}", 10 + i, 8 + i, 5 + i % 7, 60) for i in range(30)]
    row = pooled(rows(many), confidence=0.9, seed=4).loc["iou"]
    true, found, shared = (np.array([unit[place] for unit in many]) for place in (2, 3, 4))
    patients = [unit[1] for unit in many]
    of_all = ratio_ci(shared, true + found - shared, patients, level=0.9, seed=4)
    mean = bootstrap_ci(shared / (true + found - shared), patients, level=0.9, seed=4)
    assert row["n_patients"] == 10
    assert (row["pooled_low"], row["pooled_high"]) == (of_all.ci_low, of_all.ci_high)
    assert (row["per_image_low"], row["per_image_high"]) == pytest.approx((mean.ci_low, mean.ci_high))
    assert of_all.ci_low < row["pooled"] < of_all.ci_high


def test_a_unit_of_two_empty_masks_asks_nothing_of_any_score_but_accuracy():
    found = pooled(rows([*THREE, ("s4", "p3", 0, 0, 0, 100)]))
    assert found.loc["f1", ["n", "n_patients", "n_left_out"]].tolist() == [3, 2, 1]
    assert found.loc["f1", "pooled"] == pytest.approx(168 / 205)
    assert found.loc["accuracy", ["n", "n_patients", "n_left_out"]].tolist() == [4, 3, 0]
    assert found.loc["accuracy", "pooled"] == pytest.approx(463 / 500)


def test_what_is_invented_or_missed_counts_in_both_kinds():
    found = pooled(rows([*THREE, ("s4", "p3", 0, 20, 0, 100), ("s5", "p4", 20, 0, 0, 100)]))
    assert found.loc["precision", "pooled"] == pytest.approx(84 / 125)
    assert found.loc["recall", "pooled"] == pytest.approx(84 / 120)
    assert found.loc["precision", "per_image"] == pytest.approx((0.9 + 1 + 70 / 90 + 0 + 0) / 5)
    assert set(found["n"]) == {5}


def test_an_arm_that_finds_nothing_has_a_precision_of_0_and_no_interval():
    found = pooled(rows([("s1", "p1", 10, 0, 0, 100), ("s2", "p2", 5, 0, 0, 100)]))
    assert found.loc[["precision", "recall", "f1", F1_OF_MEANS], "pooled"].tolist() == [0.0] * 4
    assert "counts as 0" in found.loc["precision", "note"] and "No variance" in found.loc["recall", "note"]
    assert found["pooled_low"].drop("accuracy").isna().all()


def test_nothing_to_find_and_nothing_found_is_undefined():
    row = pooled(rows([("s1", "p1", 0, 0, 0, 100)])).loc["recall"]
    assert np.isnan(row["pooled"]) and np.isnan(row["per_image"]) and row["n"] == 0
    assert row["note"].startswith("undefined in every unit: reference and prediction are empty; per image: undefined")


def test_the_masks_of_a_further_seed_are_further_voxels():
    second = [("s1", "p1", 10, 20, 10, 100), ("s2", "p1", 10, 15, 5, 100), ("s3", "p2", 80, 80, 80, 200)]
    found = pooled([*rows(THREE), *rows(second, seed=1)])
    assert found.loc["precision", "pooled"] == pytest.approx((84 + 95) / (105 + 115))
    assert found.loc[F1_OF_MEANS, "pooled"] == pytest.approx(found.loc["f1", "pooled"])


def test_a_unit_without_a_seed_is_left_out_and_one_empty_in_some_seed_is_told():
    lost = rows(THREE[:2], seed=1)
    assert pooled([*rows(THREE), *lost]).loc["recall", ["n", "n_left_out"]].tolist() == [2, 1]
    nothing, invented = ("s4", "p3", 0, 0, 0, 100), ("s4", "p3", 0, 20, 0, 100)
    row = pooled([*rows([*THREE, nothing]), *rows([*THREE, invented], seed=1)]).loc["precision"]
    assert (row["n"], row["n_per_image"]) == (4, 3) and row["pooled"] == pytest.approx(168 / 230)
    assert "pooled units without a score of their own in some seed: 1" in row["note"]


def test_components_are_not_pooled():
    lesions = {"lesion": {"structures": ["tumour"], "apart": "component", "facts": []}}
    assert pooled(rows(THREE, unit="lesion"), units=lesions).empty


def test_accuracy_of_a_unit_without_a_background_is_undefined():
    sides = [row | {"extent_ml": np.nan, "accuracy": np.nan} for row in rows(THREE)]
    found = pooled(sides)
    assert found.loc["accuracy", "note"].startswith("undefined in every unit: the unit has no background")
    assert found.loc["iou", "pooled"] == pytest.approx(84 / 121)


def test_the_table_is_written_where_the_shared_volume_is_known_and_nowhere_else():
    scores = table([*rows(THREE), *rows(THREE, arm="whole")])
    assert set(analyse(scores, design()).tables["pooled"]["arm"]) == {"patches", "whole"}
    bare = [name for name in METRICS if not name.endswith("_ml")]
    assert "pooled" not in analyse(scores, design(metrics=bare)).tables
    assert design(metrics=["dsc", "accuracy", "shared_ml"]).pooled == ["dsc"], "accuracy needs the background"
