import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest

from crossmod import report
from crossmod.job import Job, UserError
from crossmod.report import curves, volumes
from crossmod.report.page import read_figures


class Elements(HTMLParser):
    """All start tags of a page with their attributes."""

    def __init__(self, text: str):
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def all(self, name: str) -> list[dict]:
        return [attributes for tag, attributes in self.found if tag == name]


def settings(study: dict, stages: list[str] | None = None) -> dict:
    return {"study": study | {"stages": {name: study["stages"][name] for name in stages or study["stages"]}}}


@pytest.fixture(scope="module")
def page(results, folder, study) -> Path:
    pictures = folder / "report" / "figures" / "some"
    for picture in (curves.learning_curves(results), volumes.bland_altman(results)):
        picture.save(pictures)
    path = folder / "report" / "index.html"
    inputs = {"analyse": str(folder / "analyse"), "figures": [str(pictures)], "split": str(folder / "split")}
    report.run(Job("report", inputs | {"results": str(folder)}, {"page": str(path)}, settings(study)))
    return path


@pytest.fixture(scope="module")
def text(page) -> str:
    return page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def elements(text) -> Elements:
    return Elements(text)


def test_nothing_is_fetched(elements, text):
    sources = [a[key] for _, a in elements.found for key in ("src", "href", "srcset", "data") if a.get(key)]
    assert sources
    assert not [source for source in sources if re.match(r"(https?:)?//", source)]
    assert all(a["src"].startswith("data:image/") for a in elements.all("img"))
    assert "@import" not in text and "url(" not in text
    assert not elements.all("script") and not elements.all("link")


def test_links_lead_to_files(elements, page):
    links = [a["href"] for a in elements.all("a")]
    files = [link for link in links if not link.startswith("#")]
    assert len(files) > 13 * 4
    for link in files:
        assert (page.parent / unquote(link)).exists(), link
    ids = {a["id"] for _, a in elements.found if "id" in a}
    assert {link[1:] for link in links if link.startswith("#")} <= ids


def test_it_can_be_read_without_eyes(elements):
    assert elements.all("html")[0]["lang"] == "en-GB"
    assert len(elements.all("img")) == 2
    assert all(len(a["alt"]) > 40 for a in elements.all("img"))
    assert all(a.get("scope") in ("col", "row", "colgroup") for a in elements.all("th"))
    assert all(a.get("aria-labelledby") for a in elements.all("table"))
    ids = [a["id"] for _, a in elements.found if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["aria-labelledby"] for a in elements.all("table")} <= set(ids)


def test_numbers_are_those_of_the_tables(elements, folder):
    cells = [a for a in elements.all("td") if "data-value" in a]
    assert len(cells) > 500
    known = {}
    for cell in cells:
        source = cell["data-source"]
        if source not in known:
            frame = pd.read_csv(folder / source)
            known[source] = set(frame.select_dtypes("number").to_numpy().ravel().tolist())
        assert float(cell["data-value"]) in known[source]


def test_simulated_is_said_first(text):
    body = text[text.index("<body>") :]
    assert body.index("Simulated.") < body.index("Findings")
    assert "Scale “smoke”" in body


def test_methods_and_versions(text, study):
    assert study["source"] in text
    assert "Written from the config that ran" in text
    for name in ("python", "torch", "monai", "pandas"):
        assert f"<dt>{name}</dt>" in text


def test_the_checklist_lies_beside_the_page(page, text, elements):
    lines = (page.parent / "claim.md").read_text(encoding="utf-8").splitlines()
    assert sum(re.match(r"\| \d+ \|", line) is not None for line in lines) == 44
    section = text[text.index('<section id="checklist">') : text.index('<section id="walk">')]
    assert section.count('<th scope="row">') == 44 and "<details>" in section
    assert {"#checklist", "claim.md"} <= {a["href"] for a in elements.all("a")}
    assert not list(page.parent.glob(".partial-*"))


def test_the_same_results_give_the_same_page(page, folder, study):
    before = page.read_bytes()
    inputs = {"figures": [str(folder / "report" / "figures" / "some")], "results": str(folder)}
    report.run(Job("report", inputs, {"page": str(page)}, settings(study)))
    assert page.read_bytes() == before


def test_stages_come_in_the_order_of_the_cascade(folder, study, edit):
    changed = edit("notes.json", lambda notes: notes)
    shutil.copytree(folder / "cohort", changed.root / "cohort")
    page = changed.root / "report" / "index.html"
    for cascade in (["kidney", "parenchyma"], ["parenchyma", "kidney"]):
        inputs = {"figures": [], "results": str(changed.root)}
        report.run(Job("report", inputs, {"page": str(page)}, settings(study, cascade)))
        text = page.read_text(encoding="utf-8")
        first, second = (text.index(f"stage {name} (") for name in cascade)
        assert first < second


def test_text_from_tables_is_escaped(edit, folder, study):
    changed = edit("notes.json", lambda notes: notes | {"independence": ["<b>bold</b> & more"]})
    shutil.copytree(folder / "cohort", changed.root / "cohort")
    page = changed.root / "report" / "index.html"
    report.run(Job("report", {"figures": [], "results": str(changed.root)}, {"page": str(page)}, settings(study)))
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; more" in page.read_text(encoding="utf-8")


def test_a_page_elsewhere_is_refused(folder, study, tmp_path):
    job = Job("report", {"figures": [], "results": str(folder)}, {"page": str(tmp_path / "page.html")}, settings(study))
    with pytest.raises(UserError, match="report"):
        report.run(job)
    assert not (tmp_path / "page.html").exists()


def test_figures_need_their_words(tmp_path):
    from PIL import Image

    with pytest.raises(UserError, match="no such folder"):
        read_figures(tmp_path / "none")
    Image.new("RGB", (4, 4)).save(tmp_path / "bare.png")
    with pytest.raises(UserError, match=r"bare\.png.*Title"):
        read_figures(tmp_path)


@pytest.mark.browser
def test_a_browser_shows_it(page, tmp_path):
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("no Chromium")
    shot = tmp_path / "page.png"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"]
    flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    flags += [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1200,4000", f"--screenshot={shot}"]
    subprocess.run([browser, *flags, page.resolve().as_uri()], check=True, capture_output=True, timeout=120)
    from PIL import Image

    with Image.open(shot) as image:
        colours = {colour for _, colour in image.convert("RGB").getcolors(maxcolors=2**24)}
        assert (255, 244, 224) in colours, "the banner of simulated results"
        assert (0, 114, 178) in colours, "the curve of mixed training"
