"""Lesions found by size, and invented ones, against counts made by hand."""

import numpy as np
import pandas as pd
import pytest

from crossmod.analyse.design import Design
from crossmod.analyse.detected import NUMBERS, detected_of
from crossmod.analyse.stats import ratio_ci
from crossmod.analyse.study import analyse
from tests.pieces import LESIONS, design, lesions, rows, table

# Patient, then of each lesion its volume in ml and whether it is found; 0 ml: found by the model alone.
FOUR = {"p1": [(0.4, False), (6.0, True)], "p2": [(0.9, True)], "p3": [(1.0, True), (0.0, True)], "p4": []}


def of_lesions(**changes) -> Design:
    return design(units=LESIONS, targets=["image", "lesion"], **changes)


def detected(found: list[dict], **changes) -> pd.DataFrame:
    scores = table(found)
    result = detected_of(scores, of_lesions(**{"lesion_sizes_ml": [1.0, 5.0]} | changes))
    assert list(result.columns) == ["arm", "network", "site", "target", "region", *NUMBERS]
    return result


def test_lesions_are_counted_by_size_and_a_bound_belongs_to_the_larger_class():
    found = detected(lesions(FOUR))
    assert [*zip(found["from_ml"].fillna(-1), found["below_ml"].fillna(-1), strict=True)] == [
        *[(-1, -1), (-1, 1), (1, 5), (5, -1)]
    ]
    assert found["n"].tolist() == [4, 2, 1, 1]
    assert found["n_patients"].tolist() == [3, 2, 1, 1]
    assert found["found"].tolist() == [3, 1, 1, 1]
    assert found["rate"].tolist() == [0.75, 0.5, 1.0, 1.0]


def test_invented_ones_count_for_every_patient_who_was_examined():
    every = detected(lesions(FOUR)).iloc[0]
    assert (every["n_examined"], every["alone"], every["alone_per_patient"]) == (4, 1, 0.25)
    expected = ratio_ci([0, 0, 1, 0], np.ones(4), ["p1", "p2", "p3", "p4"])
    assert (every["alone_low"], every["alone_high"]) == (expected.ci_low, expected.ci_high)


def test_of_several_trainings_the_share_that_found_a_lesion_counts():
    other = {**FOUR, "p1": [(0.4, True), (6.0, True)], "p3": [(1.0, False)]}
    found = detected([*lesions(FOUR), *lesions(other, seed=1)])
    assert found["rate"].tolist() == [0.75, 0.75, 0.5, 1.0]
    assert found["alone_per_patient"].tolist()[0] == 0.125


def test_a_lesion_that_some_training_did_not_score_is_left_out_and_told():
    found = detected([*lesions(FOUR), *lesions({"p1": FOUR["p1"], "p4": []}, seed=1)]).iloc[0]
    assert (found["n"], found["n_left_out"], found["rate"]) == (2, 2, 0.5)


def test_the_interval_resamples_patients():
    random = np.random.default_rng(3)
    many = {f"p{i}": [(2.0, bool(hit)) for hit in random.random(3) < 0.6] for i in range(12)}
    found = detected(lesions(many), confidence=0.9, seed=5, lesion_sizes_ml=[]).iloc[0]
    hits = [float(hit) for patient in many.values() for _, hit in patient]
    expected = ratio_ci(hits, np.ones(36), np.repeat(list(many), 3), level=0.9, seed=5)
    assert (found["ci_low"], found["ci_high"]) == (expected.ci_low, expected.ci_high)


def test_what_has_no_number_says_why():
    found = detected(lesions({"p1": [(0.4, True)], "p2": [(0.5, True)]}))
    assert "no interval" in found["note"].iloc[0] and "invented: no interval" in found["note"].iloc[0]
    assert found["note"].iloc[2] == "no lesion of this size" and np.isnan(found["rate"].iloc[2])


def test_only_studies_with_components_have_the_table():
    assert "detected" in analyse(table(lesions(FOUR)), of_lesions()).tables
    assert "detected" not in analyse(table(rows([("s1", "p1", 10, 10, 9, 100)])), design()).tables


@pytest.mark.parametrize("reverse", [False, True])
def test_the_order_of_rows_does_not_matter(reverse):
    found = lesions(FOUR)
    pd.testing.assert_frame_equal(detected(found[::-1] if reverse else found), detected(found))
