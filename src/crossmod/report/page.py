"""One self-contained HTML page: findings, tables, figures, methods, versions, and the walk to every file."""

import base64
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pandas as pd
from PIL import Image

from crossmod.job import Plain, UserError, read_json, whole
from crossmod.report import claim, provenance, tables
from crossmod.report.findings import Finding, findings
from crossmod.report.lead import lead
from crossmod.report.methods import methods
from crossmod.report.results import Results
from crossmod.report.rows import rows_of
from crossmod.report.sections import sections
from crossmod.tables import read_own

TEMPLATE = "page.html.j2"
# 180 mm at 200 dpi: sharp on any screen; the 300 dpi files lie beside the page.
WIDTH_PIXELS = 1417


@dataclass(frozen=True)
class Figure:
    """A picture inside the page, with the words that its file carries."""

    name: str
    title: str
    caption: str
    alt: str
    data: str
    width: int
    height: int


def write_page(results: Path, figures: list[Path], study: Plain, page: Path) -> None:
    """Write the page of a study and its checklist beside it, each whole or not at all.

    Args:
        results: folder of the study at its scale.
        figures: folders of PNG files as :meth:`crossmod.report.style.Picture.save` writes them.
        study: the whole config.
        page: ``<results>/report/index.html``; its links to files are relative to that place.

    Raises:
        UserError: if the page is to lie elsewhere, or a table or figure folder is missing.
    """
    found = Results(results, study)
    if page.resolve().parent.parent != found.root.resolve():
        raise UserError(f"{page}: the page links to files of its study, so it must lie in {results}/report/.")
    checklist = claim.claim(found)
    # First: the page links to it.
    with whole(found.root / claim.FILE) as partial:
        partial.write_text(claim.as_markdown(checklist), encoding="utf-8")
    with whole(page) as partial:
        partial.write_text(render(found, figures, checklist), encoding="utf-8")


def render(results: Results, figures: list[Path], checklist: list[claim.Item]) -> str:
    """The page as text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("crossmod.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pictures = {picture.name: picture for folder in figures for picture in read_figures(folder)}
    shown, first = sections(results), lead(results)
    placed = {part.name: [pictures.pop(name) for name in part.figures if name in pictures] for part in shown}
    return environment.get_template(TEMPLATE).render(
        title=results.study["title"],
        study=results.study,
        results=results,
        arm=results.words.arm,
        lead=first,
        findings=_linked(results, findings(results)),
        sections=shown,
        figures=placed | {"further": list(pictures.values())},
        plan=results.record.get("plan_sha256", "") if list(results.declared) else "",
        incomplete=tables.incomplete(results),
        notes=note_lines(results),
        methods=methods(results.study, results.declared_arms),
        checklist=claim.as_table(checklist),
        versions=provenance.versions(),
        walks=provenance.walks(results),
        steps=provenance.steps(results),
        link=lambda path: provenance.link(results, path, path),
        rows=lambda path: provenance.link(results, f"analyse/{path}", path).href,
    )


def _linked(results: Results, found: list[Finding]) -> list[tuple[str, provenance.Link]]:
    """The text of each finding, and the way to its table."""
    return [(one.text, provenance.link(results, one.source, one.source)) for one in found]


def read_figures(folder: Path) -> list[Figure]:
    """The figures of a folder by name, small enough for a page.

    Raises:
        UserError: if the folder does not exist, or a file lacks its caption.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of figures; execute the notebooks first.")
    return [_figure(path) for path in sorted(folder.glob("*.png"))]


def note_lines(results: Results) -> list[str]:
    """What the analyse step wants a reader to know, as sentences."""
    notes = results.notes
    lines = [
        f"Level of significance {notes['alpha']:g}; correction: {notes['correction']}.",
        f"“Not shown to differ” (in tables: equal) means {notes['equal']}.",
        *(f"{results.site_title(site)}: {text}." for site, text in (notes.get("subsets") or {}).items()),
        *(f"Reference method of the volume tests: {source}." for source in notes["reference_error"]),
        *(f"Not independent: {text}." for text in notes["independence"]),
        *_taught(results),
        *_programs(results),
        *(
            f"No scores: {results.site_title(row['site'])}, {results.words.target_small(row['target'])} "
            f"({row['reason']})."
            for row in notes["skipped"]
        ),
        *(f"{row['table']}, {'; '.join(row['where'])}: {row['reason']}" for row in notes["untested"]),
    ]
    return lines


def _programs(results: Results) -> list[str]:
    """Every program from outside that segmented, with its version, licence and the hash of its weights."""
    found: dict[str, None] = {}
    for arm in results.arms:
        for site in results.sites:
            path = results.place(f"predict/{arm}/seed{min(results.notes['seeds'][arm])}/{site}/segmenter.json")
            if path.is_file():
                record = read_json(path)
                words = {"version": "version", "licence": "licence", "weights_sha256": "weights SHA-256"}
                told = (f"{what} {record[key]}" for key, what in words.items() if record[key])
                found[f"Program from outside: {', '.join([record['command'].split()[0], *told])}."] = None
    return list(found)


def _taught(results: Results) -> list[str]:
    """Where the labels that an arm learned from carry what a teacher knows of the patients it is tested on."""
    path = results.place("split/audit.csv")
    audit = read_own(path) if path.is_file() else pd.DataFrame()
    if "taught_patients" not in audit:
        return []
    known = audit[audit["taught_patients"].astype(int) > 0]
    return [
        f"Labels of a teacher: {row.arm} learned from labels whose teacher had learned from {row.taught_patients} of "
        f"the patients of {results.site_title(row.site)}."
        for row in rows_of(known)
        if row.site in results.sites
    ]


def _figure(path: Path) -> Figure:
    with Image.open(path) as image:
        words = dict(getattr(image, "text", {}))
        missing = [key for key in ("Title", "Description", "Comment") if not words.get(key)]
        if missing:
            raise UserError(f"{path}: carries no {', '.join(missing)}; draw it with crossmod.report.style.Picture.")
        small = image.convert("RGB")
        width = min(WIDTH_PIXELS, image.width)
        height = round(image.height * width / image.width)
        if width < image.width:
            small = small.resize((width, height), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    # Without loss: thin coloured outlines must stay what they are. Two thirds of the size of a PNG.
    small.save(buffer, format="WEBP", lossless=True, method=2, quality=50)
    data = base64.b64encode(buffer.getvalue()).decode()
    return Figure(path.stem, words["Title"], words["Description"], words["Comment"], data, width, height)
