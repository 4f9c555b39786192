"""What a run with another config would replace is told, and kept."""

import json

import pytest

from crossmod.design.compose import compose
from crossmod.running.finished import config_of, differences, keep, listed, replaced, shared, undermined


@pytest.fixture
def results(tmp_path):
    """A folder with a finished report of scale smoke."""
    for part in ("report", "analyse"):
        (tmp_path / part).mkdir()
    (tmp_path / "report/index.html").write_text("page")
    (tmp_path / "analyse/dsc.csv").write_text("rows")
    record = {"settings": {"study": compose(["scale=smoke"])}}
    (tmp_path / "report/index.job.json").write_text(json.dumps(record, sort_keys=True))
    return tmp_path


def test_the_same_config_differs_in_nothing(results):
    assert differences(config_of(results), compose(["scale=smoke"])) == []


def test_differences_name_key_and_values(results):
    changes = differences(
        config_of(results), compose(["scale=smoke", "analyse.alpha=0.01", "~sites.ct_external", "title=Größe"])
    )
    assert "analyse.alpha: 0.05 → 0.01" in changes
    assert 'sites.ct_external.part: "all" → null' in changes
    assert any(line.endswith('→ "Größe"') for line in changes)
    assert len(listed([f"key{n}: 0 → 1" for n in range(40)]).splitlines()) == 13


def test_a_study_without_a_page_is_not_finished(results, tmp_path_factory):
    assert config_of(tmp_path_factory.mktemp("none")) is None
    (results / "report/index.html").unlink()
    assert config_of(results) is None


def test_a_report_made_before_a_key_existed_is_the_same(results):
    old = config_of(results)
    del old["adds_to"]
    assert differences(old, compose(["scale=smoke"])) == []


def test_titles_and_the_analysis_are_not_shared():
    base = shared(compose([]))
    assert (
        shared(compose(["analyse.alpha=0.01", "sites.ct.title=other", "cohorts.ct.title=other", "seeds=[0,1]"])) == base
    )
    assert shared(compose(["training.batch=3"])) != base


def test_what_a_report_rests_on_is_undermined_by_training_not_by_analysis(results):
    assert undermined(results, compose(["scale=smoke", "analyse.alpha=0.01", "seeds=[0,1]"])) == []
    assert undermined(results, compose(["scale=smoke", "training.batch=3"])) == ["training.batch: 2 → 3"]
    assert replaced(results, compose(["scale=smoke"])) == []
    assert replaced(results, compose(["scale=smoke", "seeds=[0,1]"])) == ["seeds: [0] → [0, 1]"]


@pytest.mark.parametrize("record", ["", "{", "[]", "{}", '{"settings": 3}'])
def test_a_report_whose_record_cannot_be_read_is_another_ones(results, record):
    (results / "report/index.job.json").write_text(record)
    assert replaced(results, compose(["scale=smoke"]))
    assert undermined(results, compose(["scale=smoke"]))


def test_a_replaced_report_is_kept_once(results):
    config = config_of(results)
    kept = keep(results, config)
    assert (kept / "report/index.html").read_text() == "page"
    assert (kept / "analyse/dsc.csv").read_text() == "rows"
    assert keep(results, config) == kept
    assert keep(results, config | {"title": "other"}) != kept
