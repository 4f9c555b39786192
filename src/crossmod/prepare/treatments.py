"""Treatments: changes of a scan's intensities, made before the scan is normalised and a segmenter sees it.

A treatment is a list of operations, each a mapping of one name to its arguments, for example
``[{"clip": [0, 3000]}, {"invert": {}}, {"black_below": {"percent_of_range": 1}}]``. The operations are those of
Häntze et al. (arXiv 2405.03713), who treat a T1-weighted MR as an inverted CT.
"""

import copy
import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crossmod.job import Plain, UserError
from crossmod.schema import nearest

if TYPE_CHECKING:
    from crossmod.scans.scan import AnyScan, Scan

# ASSUME: where a CT network is to see what lies outside the body, it has seen air in training.
AIR_HU = -1000.0
# ASSUME: a network for the abdomen on CT sees soft tissue in this window, to which public sets are often cut (BTCV).
SOFT_TISSUE_HU = [-125, 275]
_INVERTED: list[Plain] = [{"clip": [0, 3000]}, {"invert": {}}]
# ASSUME: the authors' code makes black by the range (their README: github.com/hhaentze/Annotation-Acceleration), the
# paper's text by a percentile; both are here under names of their own, and the last one is crossmod's, not the paper's.
NAMED: dict[str, list[Plain]] = {
    "inverted": _INVERTED,
    "inverted_black": [*_INVERTED, {"black_below": {"percent_of_range": 1}}],
    "inverted_black_percentile": [*_INVERTED, {"black_below": {"percentile": 1}}],
    "inverted_black_rescaled": [
        *_INVERTED,
        {"black_below": {"percent_of_range": 1}},
        {"rescale": {"to": SOFT_TISSUE_HU}},
    ],
}


@dataclasses.dataclass(frozen=True)
class Intensities:
    """The intensities of one scan on their way through a treatment.

    Attributes:
        array: (X, Y, Z) intensities as they are now.
        positive: (X, Y, Z) intensities as they were before they were last inverted; they say where it was dark.
        black: (X, Y, Z) boolean, the voxels that were made black; None before any were.
    """

    array: NDArray
    positive: NDArray
    black: NDArray[np.bool_] | None = None


def clip(given: Intensities, low: float, high: float) -> Intensities:
    """Limit the intensities to a range, in the units of the scan; whole numbers stay whole."""
    if given.array.dtype.kind in "ui":
        bounds = np.iinfo(given.array.dtype)
        low, high = max(int(np.ceil(low)), bounds.min), min(int(np.floor(high)), bounds.max)
    array = np.clip(given.array, low, high)
    return dataclasses.replace(given, array=array, positive=array)


def fit(given: Intensities, below: float, percentile: float = 99.5, to: float | None = None) -> Intensities:
    """Bring a scan on a larger scale into a range; one that lies in it stays as it is. No step of the paper.

    Some scanners and converters store MR with values of ten thousands or millions, of which a clip at 3000 would leave
    one value.

    Args:
        given: the intensities.
        below: a scan stays as it is where its percentile lies up to here.
        percentile: which one, of all voxels.
        to: where the percentile of any other scan ends up; None: at half of ``below``.
    """
    high = float(np.percentile(given.array, percentile))
    if high <= below:
        return given
    array = given.array.astype(np.float32) * np.float32((below / 2 if to is None else to) / high)
    return dataclasses.replace(given, array=array, positive=array)


def invert(given: Intensities) -> Intensities:
    """Turn bright into dark between the scan's own extrema: ``max - x + min``.

    Done twice it changes nothing, up to the rounding of numbers that are not whole. Whole numbers keep their type:
    where the difference wraps round, the sum wraps back.
    """
    array = given.array
    return dataclasses.replace(given, array=array.max() - array + array.min(), positive=array)


def black_below(
    given: Intensities, percent_of_range: float | None = None, percentile: float | None = None
) -> Intensities:
    """Set to 0 what was darkest before it was inverted, the air around the body.

    Args:
        given: the intensities.
        percent_of_range: voxels up to this percentage of the scan's range above its minimum. One per cent is what the
            authors' code does, and the default.
        percentile: voxels up to this percentile of all voxels, as the paper's text has it. The two differ much: in
            noisy air the first percentile turns only a hundredth of the voxels black.
    """
    positive = given.positive
    if percentile is None:
        low, high = float(positive.min()), float(positive.max())
        level = low + (1.0 if percent_of_range is None else percent_of_range) / 100 * (high - low)
    else:
        level = float(np.percentile(positive, percentile))
    black = positive <= level
    array = np.where(black, np.zeros((), given.array.dtype), given.array)
    return dataclasses.replace(given, array=array, black=black if given.black is None else black | given.black)


def rescale(
    given: Intensities, to: Sequence[float], percentiles: Sequence[float] = (0.5, 99.5), black_to: float = AIR_HU
) -> Intensities:
    """Map what is not black linearly onto the range that a network was trained for; no step of the paper.

    Args:
        given: the intensities.
        to: where the two percentiles end up, for example the 0.5th and 99.5th percentile of a CT training set, in HU.
        percentiles: of the voxels that are not black.
        black_to: value of the voxels that are.

    Raises:
        UserError: if the voxels have no contrast.
    """
    array = given.array.astype(np.float32)
    body = array if given.black is None else array[~given.black]
    low, high = np.percentile(body, percentiles) if body.size else (0.0, 0.0)
    if not high > low:
        raise UserError(f"rescale: the scan has no contrast to rescale ({low:g} to {high:g}): is it empty?")
    array = (array - np.float32(low)) * np.float32((to[1] - to[0]) / (high - low)) + np.float32(to[0])
    if given.black is not None:
        array[given.black] = black_to
    return dataclasses.replace(given, array=array, positive=array)


OPERATIONS: dict[str, Callable[..., Intensities]] = {
    "clip": clip,
    "fit": fit,
    "invert": invert,
    "black_below": black_below,
    "rescale": rescale,
}
_KEYS = {
    "fit": {"below", "percentile", "to"},
    "invert": set(),
    "black_below": {"percent_of_range", "percentile"},
    "rescale": {"to", "percentiles", "black_to"},
}


def named(name: str) -> list[Plain]:
    """The operations of a treatment that comes with crossmod.

    Raises:
        UserError: if none has this name.
    """
    if name not in NAMED:
        raise UserError(f"no treatment '{name}' comes with crossmod{nearest(name, NAMED)}")
    return copy.deepcopy(NAMED[name])


def treatment_problem(treatment: Any) -> str | None:
    """What is wrong with a treatment; None where :func:`apply` can be given it."""
    if not isinstance(treatment, list):
        return f"a treatment is a list of operations, not {treatment!r}"
    return next(filter(None, map(_problem, treatment)), None)


def _problem(operation: Any) -> str | None:
    if not (isinstance(operation, dict) and len(operation) == 1):
        return f"{operation!r} is no operation: write one name and its arguments, for example {{clip: [0, 3000]}}"
    ((name, given),) = operation.items()
    if name not in OPERATIONS:
        return f"'{name}' is no operation; valid: {', '.join(OPERATIONS)}"
    if name == "clip":
        return None if _is_range(given) else f"clip: {given!r} is no range; write [low, high]"
    if not isinstance(given, dict) or set(given) - _KEYS[name]:
        return f"{name}: {given!r} are no arguments of it; valid: {', '.join(sorted(_KEYS[name])) or 'none, {}'}"
    if name == "black_below":
        return _not_one_share(given)
    if name == "fit":
        return _unfit_fit(given)
    return _unfit_rescale(given) if name == "rescale" else None


def _unfit_fit(given: Plain) -> str | None:
    for key, value in {"below": None, **given}.items():
        if value is None and key == "to":
            continue
        if not (_is_number(value) and value > 0):
            return f"fit.{key}: {value!r} is no number above 0"
    return None if given.get("percentile", 0) <= 100 else f"fit.percentile: {given['percentile']!r} is no percentage"


def _unfit_rescale(given: Plain) -> str | None:
    for key, value in {"to": None, **given}.items():
        if key == "black_to":
            if not _is_number(value):
                return f"rescale.black_to: {value!r} is no number"
        elif not _is_range(value):
            return f"rescale.{key}: {value!r} is no range; write [low, high]"
    return None


def _not_one_share(given: Plain) -> str | None:
    if len(given) > 1:
        return "black_below: give either percent_of_range or percentile, not both"
    wrong = next((value for value in given.values() if not (_is_number(value) and 0 <= value <= 100)), None)
    return None if wrong is None else f"black_below: {wrong!r} is no percentage from 0 to 100"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))


def _is_range(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_number, value)) and value[0] < value[1]


def apply(treatment: Sequence[Plain], array: NDArray) -> NDArray:
    """The intensities of a scan after a treatment; the given array stays as it is.

    Args:
        treatment: operations, in order.
        array: (X, Y, Z) intensities.

    Returns:
        (X, Y, Z) of the same type; float32 after ``rescale``, and after a ``fit`` that changed something.

    Raises:
        UserError: if an operation is unknown, its arguments do not fit, or the scan has no contrast to rescale.
    """
    problem = treatment_problem(list(treatment))
    if problem:
        raise UserError(f"treatment: {problem}.")
    now = Intensities(array, array)
    for operation in treatment:
        ((name, given),) = operation.items()
        now = OPERATIONS[name](now, *given) if name == "clip" else OPERATIONS[name](now, **given)
    return now.array


def treated(scan: "AnyScan", operations: Sequence[Plain]) -> "Scan":
    """The scan with its intensities treated, read whole; where its voxels lie does not change."""
    from crossmod.scans.scan import Scan

    return Scan(apply(operations, np.asarray(scan.array)), scan.affine, scan.codes, scan.stated_modality)
