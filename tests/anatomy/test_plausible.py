"""Structures of a label map that have no size, side or field of view of a patient's."""

import numpy as np
import pytest

from crossmod.anatomy.body import Body
from crossmod.anatomy.plausible import found_structures, label_findings

NAMES = {1: "right_kidney", 2: "left_kidney", 3: "liver", 4: "spleen"}
WHOLE = Body(-150.0, 150.0, True, True)


def problems(torso, labels=None, names=NAMES, body=WHOLE, affine=None):
    labels = torso.labels if labels is None else labels
    return [
        (one.severity, one.problem)
        for one in label_findings(labels, names, torso.affine if affine is None else affine, body)
    ]


def swapped(labels, a, b):
    return np.where(labels == a, b, np.where(labels == b, a, labels)).astype(np.uint8)


def test_a_patient_has_no_fault(torso):
    small = [("warning", "liver is unusually small")]
    assert [one for one in problems(torso) if one not in small] == []


def test_swapped_kidneys_are_an_error_and_come_with_the_cure(torso):
    (one,) = [
        f for f in label_findings(swapped(torso.labels, 1, 2), NAMES, torso.affine, None) if f.severity == "error"
    ]
    assert one.problem == "right_kidney lies left of left_kidney"
    assert one.value == "right_kidney at x = -62 mm, left_kidney at 62 mm; x grows to the patient's right"
    assert "Swap the values" in one.cure


@pytest.mark.parametrize(
    ("names", "a", "b"),
    [
        ({1: "right_parenchyma", 2: "left_parenchyma"}, 1, 2),
        ({1: "right_adrenal_gland", 2: "left_adrenal_gland"}, 1, 2),
        ({1: "right_tumour", 2: "left_tumour"}, 1, 2),
        ({3: "liver", 4: "spleen"}, 3, 4),
    ],
)
def test_every_sided_pair(torso, names, a, b):
    labels = np.where(np.isin(torso.labels, list(names)), torso.labels, 0).astype(np.uint8)
    assert "error" not in {severity for severity, _ in problems(torso, labels, names)}
    assert "error" in {severity for severity, _ in problems(torso, swapped(labels, a, b), names)}


def test_a_mirrored_map_is_an_error(torso):
    assert {"right_kidney lies left of left_kidney", "liver lies left of spleen"} <= {
        p for _, p in problems(torso, torso.labels[::-1])
    }


@pytest.mark.parametrize("value", [1, 2, 3, 4])
def test_a_lone_structure_on_the_wrong_side_of_a_whole_body(torso, value):
    lone = np.where(torso.labels == value, value, 0).astype(np.uint8)
    wrong = ("error", f"{NAMES[value]} lies on the other side of the body")
    assert wrong in problems(torso, lone[::-1]) and wrong not in problems(torso, lone)
    assert wrong not in problems(torso, lone[::-1], body=Body(-150.0, 150.0, True, False)), (
        "where the middle is not known"
    )
    assert wrong not in problems(torso, lone[::-1], body=None)


def test_a_tumour_called_kidney_is_unusually_small(torso):
    labels = np.zeros_like(torso.labels)
    labels[38:42, 18:22, 12:15] = 1  # 10 ml
    assert ("warning", "right_kidney is unusually small") in problems(torso, labels)


def test_voxels_of_another_size_are_an_error(torso):
    assert ("error", "liver is larger than it can be") in problems(
        torso, affine=torso.affine * [[10], [10], [10], [1]], body=None
    )


@pytest.mark.parametrize(
    ("axis", "end", "edge"), [(0, 1, "right"), (1, 0, "back"), (1, 1, "front"), (2, 0, "lower"), (2, 1, "upper")]
)
def test_a_reference_at_the_edge_comes_with_a_warning(torso, axis, end, edge):
    kidney = np.argwhere(torso.labels == 1)[:, axis]
    middle = int(np.median(kidney))
    part = tuple(slice(None, middle) if end else slice(middle, None) for a in range(3) if a == axis)
    labels = torso.labels[tuple(part[0] if a == axis else slice(None) for a in range(3))]
    found = [one for one in label_findings(labels, NAMES, torso.affine, None) if "right_kidney" in one.problem]
    assert [(one.severity, one.problem, one.value) for one in found] == [
        ("warning", "right_kidney reaches the edge of the image and may be cut", f"{edge} edge")
    ]


def test_a_kidney_is_the_union_of_its_parts(torso):
    names = {1: "right_parenchyma", 2: "right_tumour", 3: "tumour"}
    found = found_structures(torso.labels, names, torso.affine)
    assert found["right_kidney"].ml == pytest.approx(found["right_parenchyma"].ml + found["right_tumour"].ml)
    assert "kidney" not in found, "a tumour without a side is no kidney"
    unsided = found_structures(torso.labels, {1: "parenchyma", 2: "tumour"}, torso.affine)
    assert unsided["kidney"].ml == pytest.approx(unsided["parenchyma"].ml + unsided["tumour"].ml)


def test_large_values_are_found_too(torso):
    labels = np.where(torso.labels == 1, 70000, 0)
    assert found_structures(labels, {70000: "right_kidney"}, torso.affine)["right_kidney"].x_mm == pytest.approx(
        62, abs=3
    )


def test_a_name_that_no_study_knows_is_a_warning(torso):
    strange = {1: "right_niere", 2: "left_kidney", 3: "other", 4: "spleen"}
    assert ("warning", "structures that no study knows") in problems(torso, names=strange)
    assert not [p for _, p in problems(torso, names=strange | {1: "right_kidney"}) if "no study" in p]
