"""Volumes against a third of the reference method's error."""

import numpy as np
import pandas as pd
import pytest

from crossmod.analyse.design import Design
from crossmod.analyse.scores import read_scores
from crossmod.analyse.stats import agreement
from crossmod.analyse.volume import compare_volumes, reference_errors

CASES = {"mr": 8, "ct": 6, "ct_external": 5}
ARMS = ["ct116", "mrA040", "ct116+mrB120"]


def compared(study, rows: pd.DataFrame, **changes):
    job = study.job(rows[rows.arm.isin(ARMS)], **changes)
    design = Design.of(job.settings)
    scores = read_scores(job.inputs["scores"], design)
    errors = reference_errors(scores, design)
    volumes, files, left_out = compare_volumes(scores, errors, design)
    assert set(volumes["rows"]) == set(files)
    return errors, volumes, left_out


def test_reference_error_is_the_ellipsoid_formula_on_each_kidney_once(study):
    rows = study.rows(CASES, seeds=(0, 1))
    errors, _, _ = compared(study, rows)
    assert len(errors) == 6
    row = errors[(errors.site == "ct") & (errors.target == "parenchyma_with_tumour")].iloc[0]
    once = rows[(rows.site == "ct") & (rows.side == "right")].drop_duplicates("case")
    assert row["reference_error_ml"] == pytest.approx((once.ellipsoid_ml - once.volume_reference_ml).abs().mean())
    assert row["margin_ml"] == pytest.approx(row["reference_error_ml"] / 3)
    assert row["n_kidneys"] == 6 and "ellipsoid" in row["source"]


def test_reference_error_can_be_overridden_with_its_source(study):
    changes = {"reference_error_ml": 27.0, "reference_error_source": "a published method, doi 10/x"}
    errors, volumes, _ = compared(study, study.rows(CASES), **changes)
    assert set(errors["reference_error_ml"]) == {27.0} and set(volumes["margin_ml"]) == {9.0}
    assert set(volumes["reference_error_source"]) == {"a published method, doi 10/x"}


def test_cells_are_those_of_agreement_with_patients_as_clusters(study):
    rows = study.rows(CASES, seeds=(0, 1))
    _, volumes, _ = compared(study, rows)
    assert len(volumes) == len(ARMS) * 3 * 2 * 2
    row = volumes[(volumes.arm == "mrA040") & (volumes.site == "ct")].iloc[0]
    cell = rows[(rows.arm == row.arm) & (rows.site == "ct") & (rows.target == row.target) & (rows.region == row.region)]
    expected = agreement(cell.volume_reference_ml, cell.volume_predicted_ml, cell.patient, row.margin_ml)
    for name in ("n", "mean_difference", "ci_low", "ci_high", "p_tost", "p_below_margin", "r_ci_low", "icc_a1"):
        assert row[name] == pytest.approx(getattr(expected, name)), name
    assert (row.n, row.n_units, row.n_patients, row.n_seeds) == (12, 6, 6, 2)
    assert row.mean_relative_difference_pct == pytest.approx(cell.relative_difference_pct.mean())


def test_p_values_are_corrected_over_the_six_cells_of_an_arm(study):
    _, volumes, _ = compared(study, study.rows(CASES))
    assert set(volumes["family"]) == {6}
    np.testing.assert_allclose(
        volumes["p_below_margin_corrected"].astype(float), np.minimum(6 * volumes["p_below_margin"].astype(float), 1)
    )
    below = volumes["p_below_margin_corrected"] < 0.05
    assert below.any() and set(volumes.loc[below, "verdict"]) == {"below margin"}


def test_rows_without_a_volume_are_listed(study):
    rows = study.rows(CASES)
    kidneys = rows.index[(rows.arm == "mrA040") & (rows.site == "ct") & (rows.side == "left")]
    rows.loc[kidneys[0], "volume_predicted_ml"] = np.nan
    _, volumes, left_out = compared(study, rows)
    assert list(left_out["reason"]) == ["volume not measured"]
    assert list(left_out["subject"]) == ["ct/000/left"]
    row = volumes[(volumes.arm == "mrA040") & (volumes.site == "ct") & (volumes.n_dropped == 1)]
    assert len(row) == 1 and row["n"].item() == 5


def test_tiny_and_degenerate_cells_carry_a_reason(study):
    rows = study.rows({"ct": 5, "ct_external": 2})
    here = (rows.site == "ct") & (rows.side == "left")
    rows.loc[here, "volume_predicted_ml"] = rows.loc[here, "volume_reference_ml"]
    _, volumes, _ = compared(study, rows)
    assert volumes[volumes.site == "ct_external"]["note"].str.contains("at least 3").all()
    identical = volumes[(volumes.site == "ct") & (volumes.target == "parenchyma_without_tumour")]
    assert identical["note"].str.contains("all 5 differences are 0").all()
    assert set(volumes.loc[volumes["note"] != "", "verdict"]) == {""}
    assert set(volumes["family"]) == {1}


def test_without_ellipsoids_there_is_no_margin_and_it_says_so(study):
    rows = study.rows({"ct": 5}).assign(ellipsoid_ml=np.nan)
    _, volumes, _ = compared(study, rows)
    assert volumes["note"].str.contains("no margin").all()
    assert volumes["p_tost"].isna().all() and volumes["mean_difference"].notna().all()
