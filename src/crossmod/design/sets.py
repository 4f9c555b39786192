"""Who learns from whom: the training sets that a study's pools allow, and their names."""

import itertools
from dataclasses import dataclass

from crossmod.job import Plain


@dataclass(frozen=True)
class Share:
    """What a training set takes from one pool.

    Attributes:
        subset: name of the part that trains; None where the pool is not divided into subsets.
        amount: how many of its patients; None: all that train.
    """

    subset: str | None = None
    amount: int | None = None


@dataclass(frozen=True)
class TrainingSet:
    """The patients that one training learns from.

    Attributes:
        name: e.g. ``ct116+mrA040``.
        shares: pool → what is taken from it, in the order in which the set names them.
        folds: how many trainings leave one part out each; 1 where nothing is left out.
    """

    name: str
    shares: dict[str, Share]
    folds: int = 1

    def record(self) -> Plain:
        """The set as plain values, for the split step."""
        return {pool: {"subset": share.subset, "amount": share.amount} for pool, share in self.shares.items()}


# The factors that a graded pool brings, with the entries of arms that have none.
NOTHING: dict[str, int | str] = {"amount": 0, "subset": "none"}


def graded_levels(pools: Plain) -> dict[str, list[int | str]]:
    """The factors that graded pools bring, with their levels; nothing where no pool is graded."""
    graded = [pool for pool in pools.values() if pool["subsets"]]
    if not graded:
        return {}
    return {
        "amount": list(dict.fromkeys(amount for pool in graded for amount in pool["amounts"])),
        "subset": list(dict.fromkeys(subset for pool in graded for subset in pool["subsets"])),
    }


def sets_of(pools: Plain, train: list[str]) -> list[tuple[TrainingSet, Share]]:
    """Every training set that the pools of a recipe allow: one, or one per subset and amount of the graded pool.

    Args:
        pools: section of the config.
        train: names of the pools, of which one at most is graded (has subsets and amounts).

    Returns:
        Sets in the order of the design, each with what it takes from the graded pool.
    """
    graded = [name for name in train if pools[name]["subsets"]]
    shares = [Share()]
    if graded:
        pool = pools[graded[0]]
        shares = [Share(*pair) for pair in itertools.product(pool["subsets"], pool["amounts"])]
    found = []
    for share in shares:
        taken = {name: share if name in graded else Share(amount=pools[name]["patients"]) for name in train}
        found.append((training_set(pools, taken), share))
    return found


def training_set(pools: Plain, shares: dict[str, Share]) -> TrainingSet:
    """A training set with its name; see :func:`sets_of`."""
    name = "+".join(_word(pool, share) for pool, share in shares.items())
    return TrainingSet(name, shares, max(pools[pool]["folds"] or 1 for pool in shares))


def _word(pool: str, share: Share) -> str:
    if share.subset is not None:
        return f"{pool}{share.subset}{share.amount:03d}"
    return pool if share.amount is None else f"{pool}{share.amount}"
