"""The section of throughput shows what was measured, on what, and what is not to be believed; or how to measure."""

import pandas as pd
import pytest

from crossmod.report import speed
from crossmod.report.results import Results
from crossmod.report.sections import sections

NOTE = "other programs had the processor in 7% of the time, so that this network is faster than told"
FIGURES = {
    "model": ["model", "cut_up"],
    "parameters": [1_500_000, 250_000],
    "slice": "320x384",
    "device": "cpu",
    "processor": "Some CPU",
    "threads": 2,
    "cores": 4,
    "precision": "32-true",
    "torch": "2.9.0",
    "warm_up": 10,
    "repeats": 100,
    "median_ms": [31.25, 80.0],
    "p95_ms": [33.0, 95.5],
    "slices_per_s": [32.0, 12.5],
    "real_time": [True, False],
    "limit_ms": 40.0,
    "waited": [0.01, 0.07],
    "note": ["", NOTE],
}
STUDY = {"study": "invented", "scale": "smoke", "report": {"sections": ["throughput"], "notebooks": []}}


@pytest.fixture
def results(tmp_path) -> Results:
    pd.DataFrame(FIGURES).to_csv(tmp_path / "throughput.csv", index=False)
    return Results(tmp_path, STUDY)


def test_what_was_measured_is_shown_with_its_machine(results):
    (section,) = sections(results)
    (table,) = section.tables
    own, cut = table.rows
    assert [cell.text for cell in own] == [
        *["the study's own", "1.50", "31.25", "33.00", "32.0", "yes", "1%", "Some CPU", "2 of 4", "32-true"]
    ]
    assert [cell.text for cell in cut][:1] == ["cut up"] and cut[5].text == "no" and cut[2].value == 80.0
    assert "320 × 384 pixels" in table.caption and "a median of 40 ms or less" in table.caption
    assert table.source == "throughput.csv" and len(table.columns) == len(own)


def test_a_figure_of_a_busy_machine_carries_its_warning(results):
    (section,) = sections(results)
    assert section.said == [f"Warning, cut up: {NOTE}."]


def test_a_gpu_is_named_and_a_system_that_does_not_tell_has_a_dash(tmp_path):
    pd.DataFrame(FIGURES | {"device": "Some GPU", "waited": None}).to_csv(tmp_path / "throughput.csv", index=False)
    table = speed.throughput(Results(tmp_path, STUDY))
    assert [row[7].text for row in table.rows] == ["Some GPU"] * 2 and table.rows[0][6].text == "–"


def test_without_a_figure_the_page_says_how_to_get_one(tmp_path):
    (section,) = sections(Results(tmp_path, STUDY))
    assert section.tables == [] and section.said == []
    assert "Not measured on this machine." in section.intro
    assert "snakemake --cores all --config study=invented scale=smoke" in section.intro


def test_the_figures_of_another_study_are_not_shown(tmp_path):
    other = tmp_path / "renal" / "smoke"
    other.mkdir(parents=True)
    pd.DataFrame(FIGURES).to_csv(other / "throughput.csv", index=False)
    assert speed.throughput(Results(tmp_path / "more" / "smoke", STUDY | {"adds_to": "renal"})) is None
