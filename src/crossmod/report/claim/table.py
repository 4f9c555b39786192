"""The checklist as a table of the page, and as Markdown to paste into a submission."""

from crossmod.report.claim.items import AUTHORS, FILE, NOT_APPLICABLE, PAPER, PARTLY, REPORTED, STATUSES, Item
from crossmod.report.tables import Cell, Table


def as_table(items: list[Item]) -> Table:
    """The checklist for the page."""
    return Table(
        name="CLAIM 2024 checklist",
        caption=f"{summary(items)} After {PAPER}; topics are paraphrased. To paste into a submission: {FILE}.",
        source=FILE,
        columns=["Item", "Topic", "Status", "Where and what"],
        rows=[
            [Cell(f"{i.number}"), Cell(i.topic, detail=i.section), Cell(i.status), Cell(i.text, detail=i.where)]
            for i in items
        ],
    )


def as_markdown(items: list[Item]) -> str:
    """The checklist as Markdown with links that start in the folder of the page."""
    lines = ["# CLAIM 2024 checklist", "", f"{summary(items)} After {PAPER}; topics are paraphrased."]
    for section in dict.fromkeys(item.section for item in items):
        lines += ["", f"## {section}", "", "| Item | Topic | Status | What | Where |", "|---:|---|---|---|---|"]
        for i in items:
            if i.section == section:
                cells = (f"{i.number}", i.topic, i.status, i.text)
                lines.append(f"| {' | '.join(map(_escaped, cells))} | {_link(i.where)} |")
    return "\n".join(lines) + "\n"


def summary(items: list[Item]) -> str:
    """How many items the run answers, and how many are left."""
    counts = {status: sum(item.status == status for item in items) for status in STATUSES}
    return (
        f"Of {len(items)} items this run reports {counts[REPORTED]} and a part of {counts[PARTLY]}; "
        f"{counts[AUTHORS]} are left to the authors, {counts[NOT_APPLICABLE]} do not apply."
    )


def _escaped(text: str) -> str:
    for character in ("\\", "|", "<", "*", "[", "`"):
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())


def _link(where: str) -> str:
    if not where:
        return ""
    return f"[{where}](index.html{where})" if where.startswith("#") else f"[{where}](../{where})"
