"""What a plan asks of every test: which column, whose units, and who is independent of whom."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Asked:
    """What every hypothesis of a plan is tested with.

    Attributes:
        outcome: column that is tested where a hypothesis names no other.
        subject: columns that together name a unit (an image, a kidney).
        cluster: column of the patients, the unit of independence; None where subjects are independent.
        confidence: level of the intervals of paired comparisons.
        factors: columns that divide the rows, of all hypotheses together.
    """

    outcome: str
    subject: list[str]
    cluster: str | None
    confidence: float
    factors: tuple[str, ...]
