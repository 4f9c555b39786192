import numpy as np
import pytest

from crossmod.report import cohorts
from crossmod.scans.files import read_scan


@pytest.fixture(scope="module")
def people(results):
    return cohorts.cohorts_of(results)


def test_cohorts_come_in_the_order_of_the_config(people, study):
    assert [cohort.name for cohort in people] == list(study["cohorts"])


def test_cohort_table_counts(people):
    table = cohorts.cohort_table(people).set_index("cohort")
    assert table.loc["mr", "patients"] == 12
    assert table.loc["mr", "female"] == 6
    assert table.loc["mr", "modality"] == "MR"
    assert table.loc["mr", "patients are"] == "simulated"
    assert table.loc["mr_real", "patients are"] == "real"


def test_arm_table_counts(results):
    table = cohorts.arm_table(results).set_index("arm")
    assert len(table) == 13
    assert table.loc["ct3+mrA004", "training: ct"] == 3
    assert table.loc["ct3+mrA004", "training: mr"] == 4
    assert table.loc["mrB006", "training: ct"] == 0
    assert table.loc["ct3", "site: mr"] == 12
    assert table.loc["mrA002", "site: mr"] == 6


def test_volumes_are_counted_voxels(results, people):
    volumes = cohorts.structure_volumes(results, people)
    mr = people[1]
    case = mr.cases.iloc[0]
    labels = read_scan(mr.root / case["label"]).array
    here = volumes[(volumes["cohort"] == "mr") & (volumes["case"] == case["case"])]
    expected = (labels == 1).sum() * 6**3 / 1000
    found = here[(here["side"] == "right") & (here["structure"] == "parenchyma")]["volume_ml"].item()
    assert found == pytest.approx(expected)
    present = {int(value) for value in np.unique(labels)} - {0}
    assert len(here) == len(present)
    assert set(volumes[volumes["cohort"] == "mr_real"]["structure"]) == {"kidney"}, "liver and spleen are not renal"


def test_many_structures_stand_closer_so_that_all_fit_a_page(results, monkeypatch):
    people = cohorts.cohorts_of(results)
    measured = cohorts.structure_volumes(results, people)
    heights = []
    for few in (cohorts.FEW_STRUCTURES, 1):
        monkeypatch.setattr(cohorts, "FEW_STRUCTURES", few)
        figure = cohorts.volume_distributions(results, people, measured).figure
        heights.append(figure.get_size_inches()[1])
        grid = figure.axes[0].get_gridspec()
        assert grid.ncols == min(len(figure.axes), 4 if few == 1 else 2)
    assert heights[1] < heights[0]
