"""Ratios of kidneys on three weightings, and what is said where there are no scans."""

import numpy as np
import pytest

from crossmod.calibration import kidneys
from crossmod.job import UserError
from crossmod.scans.scan import Scan


def test_ratios_are_those_of_medians():
    parts = np.zeros((60, 60, 12), np.uint8)
    parts[20:30, 20:40], parts[30:40, 20:40] = 1, 2
    image = np.full(parts.shape, 400.0, np.float32)
    image[parts == 1], image[parts == 2] = 100, 200
    scan = Scan(image, np.diag([1.5, 1.5, 5.5, 1.0]))
    table = kidneys.ratios([kidneys.Weighted("one", "real", "T1W", scan, parts)])
    found = table.set_index("measure")["value"]
    assert found["cortex / medulla"] == 0.5
    assert found["kidney / brightest around it"] == pytest.approx(150 / 400)
    shown = kidneys.side_by_side(table)
    assert shown.loc[("T1W", "cortex / medulla"), ("real", "n")] == 1
    assert np.isnan(shown.loc[("MPRAGE", "kidney / body"), ("simulated", "median")])


def test_simulated_patients_have_all_weightings_and_dark_kidneys_after_an_inversion():
    scans = kidneys.simulated_kidneys(1, {"spacing_mm": [4.0, 4.0, 8.0]})
    assert [one.weighting for one in scans] == list(kidneys.PROTOCOLS)
    found = kidneys.ratios(scans).set_index(["weighting", "measure"])["value"]
    assert found["MPRAGE", "kidney / brightest around it"] < found["T2W", "kidney / brightest around it"]
    assert kidneys.weightings(scans, "kidneys", "Kidneys").figure.axes


def test_no_scans_give_an_empty_table_and_no_patients_are_refused(tmp_path):
    assert kidneys.real_kidneys(tmp_path) == []
    assert kidneys.ratios([]).empty
    with pytest.raises(UserError, match="patients = 0"):
        kidneys.simulated_kidneys(0)
