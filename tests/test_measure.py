"""A volume that cannot be right comes with a warning; the tool itself is tried in tests/workflow/test_measure.py."""

import numpy as np
import pytest

from crossmod.cohort.kidneys import MASK_VALUES
from crossmod.measure import Segmented, _doubts, agreement

RIGHT = MASK_VALUES["right"]


def masks(shift: int = 0) -> tuple[np.ndarray, np.ndarray]:
    kidney, parenchyma = np.zeros((40, 10, 10), np.uint8), np.zeros((40, 10, 10), np.uint8)
    kidney[5:15] = RIGHT
    parenchyma[5 + shift : 15 + shift] = RIGHT
    return kidney, parenchyma


@pytest.mark.parametrize(
    ("volume_ml", "shift", "expected"),
    [
        (150.0, 0, []),
        (150.0, 3, []),
        (49.0, 0, ["right parenchyma of 49 ml is outside the usual 60 to 350 ml"]),
        (150.0, 8, ["only 20% of the right parenchyma lies within the right kidney found"]),
        (400.0, 20, ["400 ml is outside the usual", "only 0% of the right parenchyma"]),
    ],
)
def test_doubts(volume_ml, shift, expected):
    found = _doubts("right", volume_ml, Segmented(*masks(shift), {}))
    assert len(found) == len(expected)
    for text, part in zip(found, expected, strict=True):
        assert part in text


def test_no_kidney_is_said_once():
    empty = np.zeros((4, 4, 4), np.uint8)
    assert _doubts("left", 0.0, Segmented(empty, empty, {})) == ["no left kidney was found"]


def test_a_kidney_without_parenchyma_is_too_small():
    kidney, _ = masks()
    assert _doubts("right", 0.0, Segmented(kidney, np.zeros_like(kidney), {})) == [
        "right parenchyma of 0 ml is outside the usual 60 to 350 ml"
    ]


def test_networks_that_disagree_are_a_warning():
    kidney, parenchyma = masks()
    found = Segmented(kidney, parenchyma, {"right": 0.55, "left": 0.95})
    assert _doubts("right", 150.0, found) == ["the networks agree by a DSC of only 0.55 on the right kidney"]
    assert _doubts("right", 150.0, Segmented(kidney, parenchyma, {"right": 0.8})) == []


def test_agreement_is_the_mean_of_all_pairs():
    same, _ = masks()
    moved, empty = np.roll(same, 5, axis=0), np.zeros_like(same)
    assert agreement([same]) == {}
    assert agreement([same, same]) == {"right": 1.0, "left": 1.0}
    assert agreement([same, same, moved]) == {"right": pytest.approx(2 / 3), "left": 1.0}
    assert agreement([same, empty]) == {"right": 0.0, "left": 1.0}
