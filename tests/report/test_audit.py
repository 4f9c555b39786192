"""The audit finds a page that does not follow from its rows, whether the page or the rows were changed."""

import re
import shutil

import pandas as pd
import pytest

from crossmod import report
from crossmod.job import Job, UserError
from crossmod.report import audit
from crossmod.report.audit import Printed
from crossmod.report.page import write_page

from .conftest import analysis


@pytest.fixture(scope="module")
def page(folder, study, tmp_path_factory):
    """The page of a copy of the study, so that others may change theirs."""
    root = tmp_path_factory.mktemp("audit") / "results" / "renal_real" / "smoke"
    shutil.copytree(folder, root)
    shutil.rmtree(root / "report", ignore_errors=True)
    write_page(root, [], study, root / "report" / "index.html")
    return root / "report" / "index.html"


@pytest.fixture
def job(page, study, tmp_path):
    scores = sorted(map(str, page.parents[1].glob("evaluate/*/*/*.csv")))
    settings = {"analyse": analysis(study), "study": study}
    return Job("report.audit", {"page": str(page), "scores": scores}, {"audit": str(tmp_path / "audit.csv")}, settings)


def test_every_number_of_the_page_follows_from_the_scores(job, page, tmp_path):
    report.run_audit(job)
    rows = pd.read_csv(tmp_path / "audit.csv", keep_default_na=False)
    assert rows["agrees"].all()
    values = page.read_text().count("data-value=")
    assert (rows["value"] != "").sum() == values > 500
    assert rows["place"].str.startswith("findings").sum() >= 6


@pytest.fixture
def same(monkeypatch, page):
    """The analysis is not repeated: its page is the true one."""
    text = page.read_text()
    monkeypatch.setattr(audit, "page_again", lambda *_: text)
    yield text
    page.write_text(text)


@pytest.mark.parametrize("kind", ["number", "value", "finding", "row"])
def test_a_changed_page_is_found(job, page, same, tmp_path, kind):
    number = re.search(r'data-value="[^"]+">(0\.\d{3})<', same).group(1)
    changed = {
        "number": same.replace(f">{number}<", ">0.123<", 1),
        "value": same.replace('data-value="0.', 'data-value="0.1', 1),
        "finding": same.replace("significantly greater in", "significantly greater in 9", 1),
        "row": same.replace("<tr>", "<tr><th>new</th></tr><tr>", 4),
    }[kind]
    assert changed != same
    page.write_text(changed)
    with pytest.raises(UserError, match="do not follow from the scores; the first: "):
        report.run_audit(job)
    assert not (tmp_path / "audit.csv").exists()
    failed = pd.read_csv(tmp_path / "audit.csv.failed")
    assert not failed["agrees"].all()


def test_the_last_bits_of_another_machine_are_no_fault(job, page, same, tmp_path):
    value = next(v for _, _, v in Printed(same).cells if v.startswith("0.") and len(v) > 16)
    page.write_text(same.replace(f'"{value}"', f'"{float(value) * (1 + 1e-13)!r}"', 1))
    report.run_audit(job)
    assert (tmp_path / "audit.csv").is_file()
