"""What every hypothesis of a plan says, and how the levels that it compares are chosen."""

from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from crossmod.analyse.asked import Asked
from crossmod.analyse.names import Levels, Name
from crossmod.analyse.stats.errors import some
from crossmod.job import UserError
from crossmod.schema import Closed

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Hypothesis(Closed):
    """What every hypothesis says.

    Attributes:
        name: of the hypothesis and of its CSV.
        outcome: column tested; empty takes the plan's.
        each: columns; the hypothesis is tested once for every combination of their values.
        where: column → value or values; other rows play no part.
        family: hypotheses with the same word are corrected together; empty: each is a family of its own.
        family_by: columns of ``each``; every combination of their values is a family of its own.
    """

    name: Name
    outcome: str = ""
    each: list[str] = Field(default_factory=list)
    where: dict[str, Levels] = Field(default_factory=dict)
    family: str = ""
    family_by: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _families_are_cells(self) -> "Hypothesis":
        loose = [name for name in self.family_by if name not in self.each]
        if loose:
            raise ValueError(
                f"family_by: {some(map(repr, loose))} is not among each ({some(self.each, 12) or 'empty'})"
            )
        return self

    def columns(self) -> list[str]:
        """Columns it needs beside the outcome."""
        return [*self.each, *self.where]

    def measured(self, outcome: str) -> list[str]:
        """Columns whose entries must be numbers."""
        return [self.outcome or outcome]

    def run(self, cell: pd.DataFrame, asked: Asked) -> pd.DataFrame:
        """The rows that the test gives in one cell, with ``p_family``; every class of test has its own."""
        raise NotImplementedError

    def compared(self) -> dict[str, list[Any]]:
        """Column → the levels that the hypothesis names to be compared."""
        return {}

    def judge(self, rows: pd.DataFrame, alpha: float) -> pd.DataFrame:
        """The rows with what their corrected p-values say in words, where a test has words for it."""
        return rows


def with_p(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows with the p-value that enters the family."""
    return rows.assign(p_family=rows.get(name, np.nan))


def choose(cell: pd.DataFrame, factor: str, levels: list[Any]) -> pd.DataFrame:
    """Rows of some levels of a factor, which becomes ordered as they are given; all rows where none are."""
    if not levels:
        return cell
    texts, wanted = cell[factor].astype(str), [str(level) for level in levels]
    if len(set(wanted)) < len(wanted):
        raise UserError(f"{factor!r}: {some(wanted)} are to be compared; name different levels.")
    absent = [level for level in wanted if level not in set(texts)]
    if absent:
        raise UserError(f"{factor!r} has no level {some(map(repr, absent))}; it has {some(texts.unique(), 12)}.")
    kept = texts[texts.isin(wanted)]
    return cell.loc[kept.index].assign(**{factor: pd.Categorical(kept, categories=wanted, ordered=True)})
