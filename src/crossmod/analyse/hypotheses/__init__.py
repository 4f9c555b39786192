"""What a plan can claim: one class per test, each with what it needs and the rows it gives."""

from typing import Annotated

from pydantic import Field

from crossmod.analyse.hypotheses.base import Hypothesis, choose
from crossmod.analyse.hypotheses.levels import Anova, Mixed, NonInferiorityOf, Pairwise
from crossmod.analyse.hypotheses.relations import (
    AgreementOf,
    LocalisationOf,
    SavingsOf,
    SizeDependenceOf,
    SizeHalvesOf,
)

__all__ = ["AnyHypothesis", "Hypothesis", "Mixed", "NonInferiorityOf", "choose"]

AnyHypothesis = Annotated[
    Anova
    | Pairwise
    | NonInferiorityOf
    | AgreementOf
    | Mixed
    | SizeDependenceOf
    | SizeHalvesOf
    | LocalisationOf
    | SavingsOf,
    Field(discriminator="test"),
]
