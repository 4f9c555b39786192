"""Vertebral bodies are measured alike in real and simulated scans."""

import numpy as np
import pytest

from crossmod.calibration import spines
from crossmod.job import UserError
from crossmod.scans.scan import Scan


def block_spine() -> spines.Spined:
    """Three upright bodies of 30 x 25 mm, 10 mm apart, 44 mm wide: marrow 100, disc 60, canal 200, muscle 50."""
    bodies = np.zeros((60, 120, 140), np.uint8)
    image = np.full(bodies.shape, 50.0, np.float32)
    image[8:52, 70:100] = 60
    image[:, 55:70] = 200
    for value, low in ((1, 15), (2, 50), (3, 85)):
        bodies[8:52, 70:100, low : low + 25] = value
    image[bodies > 0] = 100
    return spines.Spined("one", "real", "T1", Scan(image, np.eye(4)), bodies, {})


def test_size_and_brightness_are_those_of_the_bodies():
    found = spines.spine_measures([block_spine()]).set_index("measure")["value"]
    assert found["body height"] == pytest.approx(25.0, abs=0.1)
    assert found["body depth"] == pytest.approx(30.0, abs=0.1)
    assert found["body volume"] == pytest.approx(33.0)
    assert found["distance of bodies"] == pytest.approx(35.0)
    assert found["disc / marrow"] == pytest.approx(0.6)
    assert found["canal / marrow"] == pytest.approx(2.0)
    assert found["muscle / marrow"] == pytest.approx(0.5)


def test_bodies_that_the_picture_cuts_are_left_out():
    one = block_spine()
    one.bodies[:, :, :40] = 0
    one.bodies[8:52, 70:100, :12] = 1
    found = spines.spine_measures([one]).set_index("measure")["value"]
    assert found["body volume"] == pytest.approx(33.0)


def test_simulated_spines_are_measured_in_both_weightings():
    scans = spines.simulated_spines(1, {"spacing_mm": [6.0, 1.6, 1.6]})
    assert [one.weighting for one in scans] == ["T1", "T2"]
    table = spines.spine_measures(scans)
    found = table.set_index(["weighting", "measure"])["value"]
    assert 18 < found["T1", "body height"] < 32 and 25 < found["T1", "body depth"] < 45
    assert found["T2", "canal / marrow"] > 1.5 > 0.8 > found["T1", "canal / marrow"]
    shown = spines.spines_side_by_side(table)
    assert shown.loc[("T1", "body depth"), ("simulated", "n")] == 1
    assert np.isnan(shown.loc[("T1", "body depth"), ("real", "median")])
    assert spines.spine_slices(scans, "spines", "Spines").figure.axes


def test_no_scans_give_an_empty_table_and_no_patients_are_refused(tmp_path):
    assert spines.real_spines(tmp_path) == [] and spines.real_cords(tmp_path).empty
    assert spines.spine_measures([]).empty
    with pytest.raises(UserError, match="patients = 0"):
        spines.simulated_spines(0)
