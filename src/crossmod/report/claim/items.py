"""The items of CLAIM 2024, and where a run answers them.

Numbers, sections and order are those of the paper; the topics are paraphrased.
"""

from dataclasses import dataclass
from typing import NamedTuple

PAPER = (
    "Tejani AS, Klontzas ME, Gatti AA, et al. Checklist for Artificial Intelligence in Medical Imaging (CLAIM): 2024 "
    "Update. Radiology: Artificial Intelligence 2024;6(4):e240300"
)
FILE = "report/claim.md"
REPORTED, PARTLY, AUTHORS, NOT_APPLICABLE = STATUSES = ("reported", "partly", "authors", "not applicable")

SECTIONS = {
    "Title and abstract": {1: "Named as a study of AI, with its kind", 2: "Abstract: design, methods, results"},
    "Introduction": {3: "Background, intended use and role", 4: "Aims and hypotheses"},
    "Methods: study design": {5: "Prospective or retrospective", 6: "Goal of the study"},
    "Methods: data": {
        7: "Where the data come from",
        8: "Who is included and excluded",
        9: "Preprocessing",
        10: "Parts of the data that were chosen",
        11: "De-identification",
        12: "Missing data",
        13: "How images were acquired",
    },
    "Methods: reference standard": {
        14: "What the reference standard is",
        15: "Why this reference standard",
        16: "Who annotated",
        17: "How the test set was annotated",
        18: "Variability between and within annotators",
    },
    "Methods: data partitions": {19: "How cases were assigned", 20: "Level at which partitions are apart"},
    "Methods: testing data": {21: "Planned sample size"},
    "Methods: model": {22: "The model in detail", 23: "Software", 24: "Initial weights"},
    "Methods: training": {25: "How it was trained", 26: "How the final model was chosen", 27: "Ensembles"},
    "Methods: evaluation": {
        28: "Measures of performance",
        29: "Significance and uncertainty",
        30: "Robustness, sensitivity",
        31: "Explainability",
        32: "Evaluation on internal data",
        33: "Testing on external data",
        34: "Registration as a trial",
    },
    "Results: data": {35: "Numbers included and excluded", 36: "Patients of each partition"},
    "Results: model performance": {
        37: "Performance with its uncertainty",
        38: "Diagnostic performance and its precision",
        39: "Analysis of failures",
    },
    "Discussion": {40: "Limitations", 41: "Implications for practice"},
    "Other information": {42: "Protocol, technical details", 43: "Software, models and data", 44: "Funding"},
}
# Anchors of the page, and files relative to the results.
_ANSWERED = {
    "#findings": (2,),
    "#comparison": (6,),
    "#scores": (30, 32, 33, 37),
    "#volumes": (38,),
    "#examples": (31, 39),
    "#patients": (7, 8, 13, 16, 17, 18, 21, 34, 35, 36),
    "#limits": (12, 40),
    "#methods": (1, 4, 5, 9, 10, 14, 15, 22, 24, 25, 26, 27, 28, 29),
    "#walk": (11, 20, 42, 43),
    "#software": (23,),
    "split/splits.json": (19,),
}
# Sections that a study may leave out.
OPTIONAL = ("#comparison", "#scores", "#volumes", "#examples", "#patients")
PLACES = {number: place for place, numbers in _ANSWERED.items() for number in numbers}


@dataclass(frozen=True)
class Item:
    """An item of the checklist and what the run has to say.

    Attributes:
        status: ``reported`` (the run answers it), ``partly`` (the text says what the authors must add), ``authors``
            (only they can say) or ``not applicable`` (the text says why).
        where: an anchor of the page (``#methods``), a file relative to the results, or nothing.
    """

    number: int
    section: str
    topic: str
    status: str
    text: str
    where: str


class Answer(NamedTuple):
    """Status and text of an item."""

    status: str
    text: str


def answers(texts: dict[str, dict[int, str]]) -> dict[int, Answer]:
    """Number → answer, of texts by status."""
    return {number: Answer(status, text) for status, items in texts.items() for number, text in items.items()}
