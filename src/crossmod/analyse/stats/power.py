"""How many patients a paired comparison needs, before any is scored."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import integrate, special, stats

from crossmod.job import UserError

TESTS = ("difference", "noninferiority", "equivalence", "width")
FEWEST = 3
MOST = 1_000_000
NEGLIGIBLE = 1e-18


@dataclass(frozen=True)
class PairedPower:
    """What :func:`power_paired` finds, with everything it was found from.

    Attributes:
        solved_for: ``n``, ``power`` or ``ci_width``.
        test: as asked for.
        n: independent pairs.
        power: probability that the test succeeds with n pairs; at least the power wanted, as n is whole. NaN for
            ``width``.
        ci_width: full width of the two-sided 1 - alpha interval of the mean difference with n pairs, if their standard
            deviation comes out as planned; about half of all studies find a wider one.
        sd, difference, margin, alpha: as given; margin is None where the test has none.
    """

    solved_for: str
    test: str
    n: int
    power: float
    ci_width: float
    sd: float
    difference: float
    margin: float | None
    alpha: float


def power_paired(
    sd: float,
    *,
    test: str = "difference",
    n: int | None = None,
    difference: float = 0.0,
    margin: float | None = None,
    ci_width: float | None = None,
    alpha: float = 0.05,
    power: float = 0.8,
) -> PairedPower:
    """Number of pairs for a wanted power or width, or the power or width of a given number of pairs.

    Differences are a - b, normal with standard deviation ``sd``, one per independent patient. ``test``:

    - ``difference``: two-sided paired t-test at ``alpha``; ``difference`` is the true one.
    - ``noninferiority``: one-sided t-test at ``alpha`` that the mean difference exceeds -``margin``.
    - ``equivalence``: two one-sided t-tests (Schuirmann 1987), each at ``alpha``, that it lies within ± ``margin``.
    - ``width``: no test; the two-sided 1 - ``alpha`` interval shall be at most ``ci_width`` wide.

    With ``n`` the result holds its power (and ``power`` is not used) or its width; without, n is the smallest number
    that reaches ``power`` or ``ci_width``. Power is exact: the normal probability of success given the observed
    standard deviation, integrated over the chi distribution of the latter. For one-sided and two-sided tests this is
    the noncentral t distribution, for equivalence Owen's Q (Phillips 1990, J Pharmacokinet Biopharm 18:137, as R's
    ``PowerTOST``), which the difference of two noncentral t probabilities only approximates.

    Args:
        sd: standard deviation of the paired differences, > 0, in the unit of all the following.
        test: see above.
        n: pairs, at least 3.
        difference: true mean difference; for ``noninferiority`` positive means that a is better.
        margin: largest difference that does not matter, > 0; for noninferiority and equivalence only.
        ci_width: full width wanted, > 0; for ``width`` only.
        alpha: in (0, 0.5).
        power: wanted, in (0, 1).

    Raises:
        UserError: an argument out of range, absent or of another test; or a wanted power no number of pairs (or none up
            to a million) reaches.
    """
    _check(sd, test, n, difference, margin, ci_width, alpha, power)
    bound = 0.0 if margin is None else margin  # never read by a test without a margin
    if n is not None:
        pairs, solved_for = n, "ci_width" if test == "width" else "power"
    elif ci_width is not None:
        pairs, solved_for = _smallest(lambda k: _width(k, sd, alpha) <= ci_width, f"a width of {ci_width}"), "n"
    else:
        _refuse_hopeless(test, difference, bound)
        wanted = f"a power of {power} for {test} (sd {sd}, difference {difference}, margin {margin}, alpha {alpha})"
        pairs, solved_for = _smallest(lambda k: _power(test, k, sd, difference, bound, alpha) >= power, wanted), "n"
    reached = np.nan if test == "width" else _power(test, pairs, sd, difference, bound, alpha)
    return PairedPower(
        solved_for=solved_for,
        test=test,
        n=int(pairs),
        power=reached,
        ci_width=_width(pairs, sd, alpha),
        sd=float(sd),
        difference=float(difference),
        margin=None if margin is None else float(margin),
        alpha=float(alpha),
    )


def _check(
    sd: float,
    test: str,
    n: int | None,
    difference: float,
    margin: float | None,
    ci_width: float | None,
    alpha: float,
    power: float,
) -> None:
    if test not in TESTS:
        raise UserError(f"Test {test!r} is unknown; use one of {', '.join(TESTS)}.")
    for name, value in (("sd", sd), ("margin", margin), ("ci_width", ci_width)):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise UserError(f"{name} must be a positive number in the unit of the difference, not {value}.")
    if not np.isfinite(difference):
        raise UserError(f"difference must be a finite number, not {difference}.")
    if not 0 < alpha < 0.5:
        raise UserError(f"alpha lies between 0 and 0.5, not at {alpha}.")
    if not 0 < power < 1:
        raise UserError(f"The wanted power lies between 0 and 1, not at {power}.")
    if n is not None and not (float(n).is_integer() and n >= FEWEST):
        raise UserError(f"n must be a whole number of at least {FEWEST} pairs, not {n}.")
    if (margin is not None) != (test in ("noninferiority", "equivalence")):
        need = (
            "needs a margin" if margin is None else "has no margin; use noninferiority or equivalence, or leave it out"
        )
        raise UserError(f"Test {test!r} {need}.")
    if test == "width":
        if (n is None) == (ci_width is None):
            raise UserError("Test 'width' needs either ci_width (to find n) or n (to find the width).")
    elif ci_width is not None:
        raise UserError(f"ci_width goes with test='width', not with {test!r}.")


def _refuse_hopeless(test: str, difference: float, margin: float) -> None:
    if test == "difference" and difference == 0:
        raise UserError("No number of pairs shows a difference of 0; give the difference to be found, or a margin.")
    if test == "noninferiority" and difference <= -margin:
        raise UserError(
            f"With a true difference of {difference} a is inferior by the margin {margin}: no number of pairs "
            "shows the contrary. Give a larger margin, or a difference above its negative."
        )
    if test == "equivalence" and abs(difference) >= margin:
        raise UserError(
            f"A true difference of {difference} is not inside ± {margin}: no number of pairs shows equivalence. "
            "Give a larger margin or a smaller difference."
        )


def _width(n: int, sd: float, alpha: float) -> float:
    return float(2 * stats.t.isf(alpha / 2, n - 1) * sd / np.sqrt(n))


def _power(test: str, n: int, sd: float, difference: float, margin: float, alpha: float) -> float:
    se, df = sd / np.sqrt(n), n - 1
    if test == "equivalence":
        return tost_power(margin / se, difference / se, df, alpha)
    if test == "noninferiority":
        return one_sided_power((difference + margin) / se, df, alpha)
    # Both tails of the two-sided test can reject, though one of them rarely does.
    return one_sided_power(difference / se, df, alpha / 2) + one_sided_power(-difference / se, df, alpha / 2)


def one_sided_power(shift: float, df: float, alpha: float) -> float:
    """Upper tail of the noncentral t distribution beyond the ``alpha`` quantile of the central one.

    ``shift`` is the true mean in true standard errors. Integrated as well, because scipy's noncentral t is NaN in the
    tail that hardly ever rejects.
    """
    critical = stats.t.isf(alpha, df)
    return _over_sd(lambda s: special.ndtr(shift - critical * s), df, np.inf)


def tost_power(margin: float, difference: float, df: float, alpha: float) -> float:
    """Probability that both one-sided tests reject; margin and true difference in true standard errors.

    Given s, the observed over the true standard error, both reject where the estimate lies within margin - t s of 0:
    a window that closes at s = margin / t, above which no estimate is equivalent.
    """
    critical = stats.t.isf(alpha, df)

    def both_reject(s: float) -> float:
        window = margin - critical * s
        return special.ndtr(window - difference) - special.ndtr(-window - difference)

    return _over_sd(both_reject, df, margin / critical)


def _over_sd(probability: Callable[[float], float], df: float, end: float) -> float:
    """Mean of ``probability(s)`` over s = observed / true sd, sqrt(chi² / df), from 0 to ``end``."""
    low = np.sqrt(stats.chi2.ppf(NEGLIGIBLE, df) / df)
    high = min(end, np.sqrt(stats.chi2.isf(NEGLIGIBLE, df) / df))
    if high <= low:
        return 0.0
    constant = np.log(2) + df / 2 * (np.log(df / 2) - 1) - special.gammaln(df / 2)

    def integrand(s: float) -> float:
        return np.exp(constant + (df - 1) * np.log(s) - df * (s * s - 1) / 2) * probability(s)

    return float(np.clip(integrate.quad(integrand, low, high, epsabs=1e-14, epsrel=1e-11, limit=400)[0], 0, 1))


def _smallest(reached: Callable[[int], bool], wanted: str) -> int:
    """Smallest n that fulfils a condition which, once true, stays true."""
    low, high = FEWEST - 1, FEWEST
    while not reached(high):
        if high == MOST:
            raise UserError(f"{wanted[0].upper()}{wanted[1:]} needs more than {MOST:,} pairs; ask for less.")
        low, high = high, min(2 * high, MOST)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high
