"""The two ways a table can refuse to be tested."""

from collections.abc import Iterable

import numpy as np

from crossmod.job import UserError

RELATIVE_NOISE = 1e-12


class DegenerateDataError(UserError):
    """There is no variance to test: the statistic would be rounding noise divided by rounding noise."""


class IncompleteDesignError(UserError):
    """Keys are given twice, or fewer than three complete subjects are left."""


def no_variance(sd: float, values: np.ndarray) -> bool:
    """Whether a standard deviation is only rounding noise: ``sd <= 1e-12 * max|values|``.

    R's own rule (standard error < 10 eps |mean|) misses small constant differences such as 0.001.
    """
    return bool(sd <= RELATIVE_NOISE * np.max(np.abs(values), initial=0.0))


def some(names: Iterable, most: int = 5) -> str:
    """The first few names in words, and how many more there are."""
    names = [str(name) for name in names]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
