"""Correction of p-values for the size of their family."""

import numpy as np
from numpy.typing import ArrayLike

from crossmod.job import UserError

METHODS = {
    "holm": "holm",
    "bonferroni": "bonferroni",
    "hochberg": "simes-hochberg",
    "BH": "fdr_bh",
    "BY": "fdr_by",
}


def correct_p(p: ArrayLike, method: str = "holm") -> np.ndarray:
    """Corrected p-values of one family, in the given order, as R's ``p.adjust``.

    statsmodels' ``multipletests`` counts a missing p-value as a test; here it is left out of the family and stays
    missing. Holm's correction (1979, Scand J Stat 6:65) is written out: statsmodels collects garbage each time it makes
    it, which takes longer than the test.

    Args:
        p: p-values in [0, 1]; NaN where a test could not be made.
        method: ``holm``, ``bonferroni``, ``hochberg``, ``BH``, ``BY``, or ``none``.

    Raises:
        UserError: an unknown method, or values outside [0, 1].
    """
    p = np.asarray(p, float)
    if method != "none" and method not in METHODS:
        raise UserError(f"Correction {method!r} is unknown; use one of {', '.join([*METHODS, 'none'])}.")
    made = ~np.isnan(p)
    if np.any((p[made] < 0) | (p[made] > 1)):
        raise UserError(f"p-values lie between 0 and 1; got {p[made].min()} to {p[made].max()}.")
    corrected = p.copy()
    if method == "holm":
        corrected[made] = _holm(p[made])
    elif method != "none" and made.any():
        from statsmodels.stats.multitest import multipletests  # half a second to import

        corrected[made] = multipletests(p[made], method=METHODS[method])[1]
    return corrected


def _holm(p: np.ndarray) -> np.ndarray:
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1)
    return corrected
