"""The CLAIM 2024 checklist of a study, filled from what ran; what only its authors can say is left to them."""

from crossmod.job import UserError
from crossmod.report.claim.by_origin import by_origin
from crossmod.report.claim.items import AUTHORS, FILE, OPTIONAL, PAPER, PLACES, SECTIONS, STATUSES, Item
from crossmod.report.claim.methods_items import methods_items
from crossmod.report.claim.results_items import published, results_items
from crossmod.report.claim.run import Run
from crossmod.report.claim.table import as_markdown, as_table, summary
from crossmod.report.results import Results

__all__ = ["FILE", "PAPER", "SECTIONS", "STATUSES", "Item", "as_markdown", "as_table", "claim", "summary"]


def claim(results: Results) -> list[Item]:
    """All 44 items of a finished study in the order of the paper (Tejani et al., 2024, doi 10.1148/ryai.240300).

    Args:
        results: with the whole config of the study.

    Raises:
        UserError: if the config, the tables of the analyse step, the splits or a cohort are missing.
    """
    if not results.study:
        raise UserError(
            f"{results.root}: the checklist needs the config of the study; give it to Results(root, study)."
        )
    run = Run(results)
    answers = by_origin(run) | methods_items(run) | results_items(run)
    answers[43] = published(answers[43])
    return [
        Item(number, section, topic, *answers[number], "" if answers[number].status == AUTHORS else _place(run, number))
        for section, topics in SECTIONS.items()
        for number, topic in topics.items()
    ]


def _place(run: Run, number: int) -> str:
    """Where the page answers an item; the methods, where the study does not list the section that would."""
    place = PLACES[number]
    return place if place.removeprefix("#") in run.sections or place not in OPTIONAL else "#methods"
