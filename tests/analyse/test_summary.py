"""The table of scores per arm."""

import numpy as np
import pytest

from crossmod.analyse.design import Design
from crossmod.analyse.scores import read_scores
from crossmod.analyse.stats import bootstrap_ci
from crossmod.analyse.summary import NUMBERS, summarise


def summary(study, rows, **changes):
    job = study.job(rows, **changes)
    design = Design.of(job.settings)
    return summarise(read_scores(job.inputs["scores"], design), design)


def kidney_row(table, metric: str, arm: str = "mrA040"):
    chosen = table[(table.arm == arm) & (table.site == "ct") & (table.target == "kidney") & (table.metric == metric)]
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_seeds_are_averaged_per_unit_first(study):
    rows = study.rows({"ct": 10}, seeds=(0, 1, 2))
    found = summary(study, rows, confidence=0.9, seed=3)
    cell = ["arm", "strategy", "amount", "subset", "site", "target", "region"]
    assert list(found.columns) == [*cell, *NUMBERS]
    row = kidney_row(found, "dsc")
    units = rows[(rows.arm == "mrA040") & (rows.target == "kidney")].groupby("case")["dsc"].mean()
    assert (row.n, row.n_patients, row.n_seeds) == (10, 10, 3)
    assert [row["mean"], row["sd"], row["median"]] == pytest.approx([units.mean(), units.std(), units.median()])
    limits = bootstrap_ci(units, level=0.9, seed=3)
    assert [row.ci_low, row.ci_high] == pytest.approx([limits.ci_low, limits.ci_high])
    assert row[["strategy", "amount", "subset"]].to_list() == ["pure", 40, "A"]


def test_infinite_distances_leave_median_and_count(study):
    rows = study.rows({"ct": 9})
    failed = rows.index[(rows.arm == "mrA040") & (rows.target == "kidney")][:2]
    rows.loc[failed, "hd95_mm"] = np.inf
    row = kidney_row(summary(study, rows), "hd95_mm")
    assert row.n_infinite == 2 and row.n == 9
    assert np.isfinite(row["median"]) and np.isnan([row["mean"], row["sd"], row["ci_low"]]).all()
    assert "infinite in 2 of 9" in row["note"]


def test_undefined_and_unscored_units_are_counted_out(study):
    rows = study.rows({"ct": 9}, seeds=(0, 1))
    mine = rows.index[(rows.arm == "mrA040") & (rows.target == "kidney")]
    rows.loc[mine[0], "dsc"] = np.nan
    row = kidney_row(summary(study, rows.drop(index=mine[-1])), "dsc")
    assert (row.n, row.n_undefined) == (7, 2)


@pytest.mark.parametrize(("value", "note"), [(1.0, "all 9 values are 1"), (np.nan, "undefined in every unit")])
def test_no_interval_says_why(study, value, note):
    rows = study.rows({"ct": 9}).assign(dsc=value)
    row = kidney_row(summary(study, rows), "dsc")
    assert note in row["note"] and np.isnan(row["ci_low"])
