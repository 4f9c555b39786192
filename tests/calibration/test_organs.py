"""Volumes of organs beside published and real ones."""

import numpy as np
import pandas as pd
import pytest

from crossmod.calibration.organs import COLUMNS, PUBLISHED, organ_places, organ_volumes, real_organs, simulated_organs
from crossmod.job import UserError
from crossmod.phantom import ORGANS, Recipe
from crossmod.scans.files import write_mask, write_scan
from crossmod.scans.scan import Scan

COARSE = Recipe(spacing_mm=(5, 5, 5), field_of_view_mm=(420, 330, 390), position_sd_mm=0.0)


@pytest.fixture(scope="module")
def simulated() -> pd.DataFrame:
    return simulated_organs(14, COARSE)


def test_medians_of_simulated_organs_are_near_published_means(simulated):
    found = organ_volumes(simulated)
    assert (found["simulated_n"].drop("gallbladder") == 14).all()
    assert found["real_ml"].isna().all()
    for organ in PUBLISHED:
        assert 0.65 < found.loc[organ, "ratio"] < 1.35, organ


def test_a_row_per_organ_and_nothing_made_up(simulated):
    found = organ_volumes(simulated)
    assert list(found.index) == list(ORGANS.values())
    unknown = found.drop(list(PUBLISHED))
    assert unknown[["published_ml", "published_sd_ml", "ratio"]].isna().all().all()
    assert (unknown["source"] == "").all()
    assert all(known.source for known in PUBLISHED.values())


def test_real_volumes_are_those_of_the_label_maps(tmp_path):
    folder = tmp_path / "btcv_3mm"
    folder.mkdir()
    for number, width in enumerate((10, 20)):
        labels = np.zeros((40, 40, 30), np.uint8)
        labels[5 : 5 + width, 5:15, 5:15] = 6
        labels[0:2, 0:5, 0:5] = 2  # a kidney: not compared here
        write_mask(folder / f"label_0{number}.nii.gz", labels, np.diag([-3.0, 3.0, 3.0, 1.0]))
    table = real_organs(tmp_path)
    assert table["organ"].tolist() == ["liver", "liver"]
    assert table["volume_ml"].tolist() == pytest.approx([27.0, 54.0])
    row = organ_volumes(table).loc["liver"]
    assert (row["real_n"], row["real_ml"], row["simulated_n"]) == (2, pytest.approx(40.5), 0)


def test_places_and_attenuation_are_those_of_the_scans(tmp_path):
    folder = tmp_path / "btcv_3mm"
    folder.mkdir()
    labels = np.zeros((40, 40, 30), np.uint8)
    labels[4:8, 10:12, 10:14] = 2  # the right kidney: x falls with the first axis' index
    labels[32:36, 10:12, 10:14] = 3
    labels[4:8, 20:22, 20:24] = 6
    image = np.where(labels == 6, 107.0, 40.0).astype(np.float32)
    affine = np.diag([-3.0, 3.0, 3.0, 1.0])
    write_mask(folder / "label_00.nii.gz", labels, affine)
    write_scan(folder / "ct_00.nii.gz", Scan(image, affine))
    row = organ_places(real_organs(tmp_path)).loc["liver", "real"]
    assert row[["right_mm", "front_mm", "up_mm"]].tolist() == pytest.approx([42.0, 30.0, 30.0])
    assert row[["hu", "hu_low", "hu_high"]].tolist() == [107.0] * 3


def test_simulated_organs_lie_and_look_as_in_real_patients(simulated):
    """Bounds hold the medians of the ten real CT (BTCV), 20 to 25 mm on either side."""
    found = organ_places(simulated)["simulated"]
    for organ, place in {"liver": (62, 45, 60), "spleen": (-90, -2, 62), "pancreas": (-8, 52, 33)}.items():
        assert found.loc[organ, ["right_mm", "front_mm", "up_mm"]].to_numpy() == pytest.approx(place, abs=25), organ
    for organ, low, high in (("liver", 60, 135), ("spleen", 60, 170), ("aorta", 100, 250), ("pancreas", 50, 110)):
        assert low < found.loc[organ, "hu"] < high, organ


def test_without_real_scans_there_are_no_rows(tmp_path):
    assert real_organs(tmp_path).empty
    assert list(real_organs(tmp_path).columns) == COLUMNS


def test_no_patients_are_refused():
    with pytest.raises(UserError, match="patients = 0"):
        simulated_organs(0)
