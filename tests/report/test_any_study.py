"""The report holds for a study that shares nothing with kidneys.

That study has neither dose nor replicate, two classes, and tests of any name or none.
"""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from crossmod import report
from crossmod.job import Job
from crossmod.report import curves, forest, sizes, tested, volumes
from crossmod.report.claim import claim
from crossmod.report.findings import findings
from crossmod.report.results import Results
from crossmod.report.style import NothingToShowError

from . import invented

RENAL = re.compile(r"kidney|parenchyma|tumour volume|CT \+ MR|MR patients|subset A|mixed training|pure", re.IGNORECASE)


def make(folder: Path, base: dict, hypotheses: list[dict]) -> Results:
    study = invented.config(base, hypotheses)
    root = folder / "results" / "inverted" / "smoke"
    invented.write(root, study)
    return Results(root, study)


def page_of(results: Results) -> str:
    page = results.root / "report" / "index.html"
    settings = json.loads(json.dumps({"study": results.study}))
    report.run(Job("report", {"figures": [], "results": str(results.root)}, {"page": str(page)}, settings))
    return page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def treated(tmp_path_factory, study) -> Results:
    return make(tmp_path_factory.mktemp("treated"), study, invented.HYPOTHESES)


@pytest.fixture(scope="module")
def untested(tmp_path_factory, study) -> Results:
    return make(tmp_path_factory.mktemp("untested"), study, [])


def test_the_page_of_treatments_speaks_of_treatments_alone(treated):
    text = page_of(treated)
    body = re.sub(r"<style>.*?</style>|<code>.*?</code>", "", text[text.index("<body>") :], flags=re.DOTALL)
    assert "Inverted grey levels against Unprocessed" in body
    assert not RENAL.search(body), RENAL.search(body)
    assert "Every scan is normalised as CT" in body and "inverted (clip 0 to 3000, then invert)" in body


def test_every_declared_test_has_its_column_whatever_its_name(treated):
    (table,) = tested.comparisons(treated)
    assert {"p (t)", "p (ranks)", "p (margin)", "Margin"} <= set(table.columns)
    assert "p (model)" not in table.columns and "MR patients" not in table.columns
    assert len(table.rows) == len(invented.CLASSES)
    csv = pd.read_csv(treated.root / "analyse" / "beta.csv")
    place = table.columns.index("p (ranks)")
    assert [row[place].value for row in table.rows] == csv["p_corrected"].tolist()
    assert {row[place].source for row in table.rows} == {"analyse/beta.csv"}


def test_the_margin_printed_is_the_margin_tested(treated):
    (table,) = tested.comparisons(treated)
    assert "margin of 0.03 DSC" in table.caption
    assert "by 0.03 DSC" in " ".join(finding.text for finding in findings(treated))


def test_no_column_of_a_table_is_empty(treated):
    for table in [*tested.comparisons(treated), *tested.anovas(treated)]:
        for place, head in enumerate(table.columns):
            assert any(row[place].text not in ("", "–") for row in table.rows), (table.name, head)


def test_targets_are_the_classes_in_their_order(treated):
    assert treated.targets == list(invented.CLASSES)
    assert [treated.words.target(name) for name in treated.targets] == ["Liver", "Spleen"]


def test_the_deployed_arm_is_that_of_the_level_of_interest(treated, untested):
    assert treated.factors == ["treatment"]
    assert treated.deployed["arm"].tolist() == ["organs-inverted"]
    bare = Results(untested.root)
    assert bare.deployed["arm"].tolist() == ["organs"], "without a contrast: the first arm"


def test_figures_that_do_not_apply_say_so_in_a_sentence(treated, untested):
    for draw, results in (
        (curves.learning_curves, treated),
        (volumes.bland_altman, treated),
        (volumes.volume_scatter, treated),
        (forest.subgroup_forest, untested),
    ):
        with pytest.raises(NothingToShowError, match=r"^[A-Z][^.]+\.$"):
            draw(results)
    assert forest.subgroup_forest(treated).title == "Inverted grey levels against Unprocessed in subgroups"


def test_a_study_without_hypotheses_has_a_page_that_says_so(untested):
    text = page_of(untested)
    assert "The config declares no hypothesis: nothing was tested" in text
    assert tested.comparisons(untested) == [] and sizes.size(untested) is None
    section = text[text.index('<section id="comparison">') : text.index('<section id="volumes">')]
    assert "<table" not in section and "SHA-256" not in section


@pytest.mark.parametrize("number", range(len(invented.HYPOTHESES)))
def test_a_study_with_any_one_test_has_a_page(tmp_path, study, number):
    results = make(tmp_path, study, [invented.HYPOTHESES[number]])
    text = page_of(results)
    section = text[text.index('<section id="comparison">') : text.index('<section id="volumes">')]
    assert section.count("<table") == 1
    heads = set(re.findall(r'<th scope="col">(p \([a-z]+\))</th>', section))
    wanted = [{"p (t)", "p (normal)"}, {"p (ranks)", "p (normal)"}, {"p (margin)"}, {"p (ranks)", "p (normal)"}]
    assert heads == wanted[number]


def test_only_the_sections_that_are_listed_are_shown(treated):
    fewer = Results(treated.root, treated.study | {"report": {"sections": ["patients", "scores"], "notebooks": []}})
    text = page_of(fewer)
    assert text.index('<section id="patients">') < text.index('<section id="scores">')
    assert '<section id="volumes">' not in text and "#volumes" not in text
    assert {item.where for item in claim(fewer)}.isdisjoint({"#volumes", "#comparison", "#examples"})


def test_every_item_of_the_checklist_is_a_sentence(treated, untested):
    for item in [*claim(treated), *claim(untested)]:
        assert item.text.endswith(".") and not re.search(r"\bNone\b|\bnan\b|\.\.|  ", item.text), item


@pytest.mark.parametrize("name", ["01_cohort", "02_scores", "03_comparison", "04_volumes"])
def test_notebooks_run_whatever_the_study(root, treated, tmp_path, name):
    inputs = {"notebook": str(root / "notebooks" / f"{name}.ipynb"), "results": str(treated.root)}
    outputs = {"notebook": str(tmp_path / f"{name}.ipynb"), "figures": str(tmp_path / name)}
    settings = {"study": treated.study}
    report.run_notebook(Job("report.notebook", inputs, outputs, settings))
    cells = json.loads((tmp_path / f"{name}.ipynb").read_text())["cells"]
    assert not [out for cell in cells for out in cell.get("outputs", []) if out["output_type"] in ("error", "stream")]
    drawn = {path.stem for path in (tmp_path / name).iterdir()}
    assert (
        drawn
        == {
            "01_cohort": {"cohort_volumes", "split_matrix"},
            "02_scores": {"dsc_by_arm", "hd95_mm_by_arm"},
            "03_comparison": {"subgroup_forest"},
            "04_volumes": set(),
        }[name]
    )
