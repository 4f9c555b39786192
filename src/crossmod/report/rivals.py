"""Arms that differ in one factor alone: what a figure shows side by side."""

from collections.abc import Collection
from dataclasses import dataclass

from crossmod.report.results import Results


@dataclass(frozen=True)
class Rivals:
    """Arms of the same levels of every factor but one.

    Attributes:
        name: of the levels that tell these arms from others, for the name of a file; empty where there are no others.
        title: the same in words.
        factor: the one that they differ in; None where the arms of a study differ in nothing.
        arms: level → arm, in the order of the levels.
    """

    name: str
    title: str
    factor: str | None
    arms: dict[str, str]


def rivals_of(results: Results, factor: str | None, arms: Collection[str]) -> list[Rivals]:
    """The arms in groups that differ in one factor alone, in the order of the design.

    Args:
        results: of the study.
        factor: the one that they may differ in; None: every arm stands by itself.
        arms: those that count.
    """
    design = results.design[results.design["arm"].isin(arms)].astype(str)
    told = [name for name in results.factors if name != factor and design[name].nunique() > 1]
    order = results.levels(factor) if factor else []
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for row in design.to_dict("records"):
        key = tuple(row[name] for name in told)
        found.setdefault(key, {})[row[factor] if factor else row["arm"]] = row["arm"]
    return [
        Rivals(
            name="-".join(key),
            title=results.words.levels(dict(zip(told, key, strict=True))),
            factor=factor,
            arms={level: group[level] for level in [*order, *group] if level in group},
        )
        for key, group in found.items()
    ]


def level_title(results: Results, rivals: Rivals, level: str) -> str:
    """What one of the rivals is called: the title of its level, or its own name."""
    return results.words.level(rivals.factor, level) if rivals.factor else level


def seeds_in_words(results: Results, arms: Collection[str]) -> str:
    """``1 seed``, ``3 seeds``, ``1 to 3 seeds``: how often each arm was trained."""
    counts = {len(results.notes["seeds"][arm]) for arm in arms}
    words = " to ".join(str(count) for count in sorted({min(counts), max(counts)}))
    return f"{words} seed{'' if counts == {1} else 's'}"
