"""Kinds of values that a study's configuration is made of, with their bounds."""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any

from pydantic import Field

from crossmod.anatomy.structures import OTHERS, RENAL, split_side
from crossmod.schema import Number, Whole, nearest

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")]
Text = Annotated[str, Field(pattern=r"\S")]
Count = Annotated[Whole, Field(ge=1)]
Seed = Annotated[Whole, Field(ge=0, lt=2**32)]
Spacing = Annotated[Number, Field(ge=0.1, le=20)]  # ASSUME: no CT or MR of a body is finer than 0.1 mm.
Probability = Annotated[Number, Field(ge=0, le=1)]
Share = Annotated[Number, Field(ge=0)]
Level = str | Whole  # of a factor
# The key of a block of arms that is no factor: how many of the study's seeds its arms are trained with.
FIRST_SEEDS = "first_seeds"
Positive = Annotated[Number, Field(gt=0)]
# ASSUME: CT numbers lie between -1024 and 30000 HU (metal, extended scale).
Hounsfield = Annotated[Number, Field(ge=-1024, le=30_000)]
Percentile = Annotated[Number, Field(ge=0, le=100)]
# ASSUME: no patch has more than 512 voxels along an axis, and no machine of one job more than 256 cores.
Side = Annotated[Whole, Field(ge=1, le=512)]
Threads = Annotated[Whole, Field(ge=1, le=256)]


def unrepeated(values: list[Any]) -> list[Any]:
    """The values of a list; a ValueError where one stands twice."""
    if len(set(values)) != len(values):
        raise ValueError(f"repeated in {values}")
    return values


def as_list(levels: Any) -> list[Any]:
    """The levels of a factor that a config names: one, or a list of them."""
    return levels if isinstance(levels, list) else [levels]


def label_values(given: Any) -> Any:
    """Label value → structure, with whole numbers from 1 as keys, however they are written."""
    if not isinstance(given, dict):
        return given
    wrong = [key for key in given if isinstance(key, bool) or not re.fullmatch(r"[1-9][0-9]*", str(key))]
    if wrong:
        raise ValueError(f"a label value is a whole number from 1, not {', '.join(map(repr, wrong))}")
    values = [int(key) for key in given]
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"label value {', '.join(map(str, twice))} is given twice")
    return dict(zip(values, given.values(), strict=True))


def rising(values: Sequence[float]) -> Sequence[float]:
    """Numbers that rise, such as two bounds; a ValueError where one is not below the next."""
    for low, high in pairwise(values):
        if not low < high:
            raise ValueError(f"the first number must be below the second, not [{low:g}, {high:g}]")
    return values


def unknown_structure(structure: str) -> str | None:
    """What is wrong with a structure that no simulator and no data set has."""
    known = [*RENAL, *OTHERS]
    return None if split_side(structure)[1] in known else f"'{structure}' is unknown{nearest(structure, known)}"
