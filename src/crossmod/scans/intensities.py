"""Are the voxels of a scan those of its modality? The one check of every door: cohort, prepare, predict and measure."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossmod.scans.scan import AnyScan, ScanError, Unread, planes

SAMPLE_VOXELS = 1_000_000
# Thresholds below were looked at on 15 CT and 28 MR scans of eight public sets and 28 simulated ones; what those reach
# stands beside each.
# ASSUME: values below this are padding outside of what a CT scanner saw; air is -1000 HU.
PADDING_HU = -1100.0
# ASSUME: below this lies air: lung, bowel gas and what surrounds a body. No MR of magnitudes reaches it.
AIR_HU = -500.0
# ASSUME: calibrated scanners show air within 60 HU of -1000 (real and simulated: -1030 to -1000); further off by
# another 100 HU, or less than lung is, it is no longer air in HU.
_AIR_PEAK_HU, _AIR_LIMITS_HU = (-1060.0, -940.0), (-1150.0, -830.0)
# ASSUME: fat, organs and blood with contrast lie here; in real CT 32 % of the voxels or more do, in simulated ones
# 20 %.
_TISSUE_HU, _LEAST_TISSUE = (-200.0, 300.0), 0.05
# ASSUME: only bone, metal and dense contrast lie above this; 1.6 % of the body at most, in a crop of one vertebra.
_DENSE_HU, _MOST_DENSE = 700.0, 0.2
# ASSUME: every CT of a trunk shows some fat or air; real ones 27 % of the voxels or more.
_FAT_HU, _LEAST_FAT = -30.0, 0.01
# ASSUME: fat lies here, and is more of a body (what is above -200 HU) than this; in real CT 18 % or more, in simulated
# ones 25 %.
_FAT_PEAK_HU, _LEAST_FAT_OF_BODY = (-150.0, -30.0), 0.03
# ASSUME: muscle and organs lie here, and are more of a body than this; in real and simulated CT 36 % or more.
_ORGANS_HU, _LEAST_ORGANS_OF_BODY = (0.0, 150.0), 0.1
# ASSUME: a CT in HU spans more than this even where it was cut to a window of soft tissue (the narrowest seen: 400 HU).
_LEAST_SPAN_HU = 200.0
# ASSUME: metal stays below 40000 HU even on an extended scale.
_HIGHEST_HU = 40000.0
# ASSUME: a scan with less air than this shows none: it was cut inside the body, or its values were cut.
_LEAST_AIR = 1e-3
# ASSUME: corners outside of a round field of view are a fifth of a slice, and where they are most of what is dark, they
# may be air.
_LEAST_PADDING = 0.2
# ASSUME: tissues of a CT with air around it, whatever its scale, lie within a fifth of the way from air (what is darker
# than the mean) of one another: 82 % or more of what is brighter than the mean; of an MR 69 % at most. A CT that was
# cut to a window, or inside the body, is not told from an MR by this.
_TISSUES_APART, _LEAST_TISSUES = 0.2, 0.8
# ASSUME: in an MR, what is darker than the mean is about zero, even where interpolation or noise made some of it
# negative.
_ZERO = 0.1
# ASSUME: no voxel of an MR is brighter than this many times the brightest thousandth (twice in 18 real ones).
_MOST_TIMES = 100.0
# ASSUME: a label map holds whole numbers from 0 to those of a byte, and most labelled voxels have the same as the next
# one: 80 % or more in 41 label maps, 33 % at most in scans of 8 bits.
_HIGHEST_LABEL, _LEAST_ALIKE = 255, 0.6


class Finding(NamedTuple):
    """Something wrong: ``error`` or ``warning``, what is wrong, the offending value, and the way out."""

    severity: str
    problem: str
    value: str
    cure: str


@dataclass(frozen=True, eq=False)
class Intensities:
    """What the voxels of a scan hold.

    Attributes:
        low, high: the lowest and the highest number.
        without_number: how many voxels are NaN or infinite.
        mean: of the sample.
        sample: (N,) float32, about a million voxels spread evenly over the scan.
        alike: the share of the sample's voxels, those that are 0 left out, that hold the same number as the next one.
    """

    low: float
    high: float
    without_number: int
    mean: float
    sample: NDArray[np.float32]
    alike: float = 0.0

    def share(self, low: float, high: float = np.inf) -> float:
        """The share of the voxels that are no padding with a value from ``low`` to below ``high``."""
        inside = self.sample[self.sample >= PADDING_HU]
        return float(np.mean((inside >= low) & (inside < high))) if inside.size else 0.0

    @property
    def span(self) -> str:
        """The values in words."""
        return f"values from {self.low:g} to {self.high:g}"


def intensities(array: NDArray | Unread) -> Intensities:
    """Look at the voxels plane by plane: (X, Y, Z), memory is that of a plane and of the sample."""
    step = max(1, int(np.ceil((np.prod(array.shape, dtype=float) / SAMPLE_VOXELS) ** 0.5)))
    low, high, missing, parts, pairs = np.inf, -np.inf, 0, [], np.zeros(2, dtype=int)
    for plane in planes(array)[1]:
        lowest, highest = float(plane.min()), float(plane.max())
        sample = plane[::step, ::step].astype(np.float32)
        if not np.isfinite(lowest + highest):
            finite = plane[np.isfinite(plane)]
            missing += plane.size - finite.size
            sample = sample[np.isfinite(sample)]
            lowest, highest = (float(finite.min()), float(finite.max())) if finite.size else (np.inf, -np.inf)
        low, high = min(low, lowest), max(high, highest)
        parts.append(sample.ravel())
        pairs += _alike(plane[::step], step)
    sample = np.concatenate(parts)
    mean = float(sample.mean(dtype=np.float64)) if sample.size else 0.0
    return Intensities(low, high, missing, mean, sample, float(pairs[0] / max(pairs[1], 1)))


def _alike(rows: NDArray, step: int) -> tuple[int, int]:
    """How many voxels of every ``step``-th hold the number of the next one and are not 0, and how many are not 0."""
    after = rows[:, 1::step]
    before = rows[:, ::step][:, : after.shape[1]]
    return int(np.count_nonzero((before == after) & (before != 0))), int(np.count_nonzero(before != 0))


def findings(found: Intensities, modality: str, stated: str = "") -> list[Finding]:
    """What no scan of the modality holds, errors and warnings.

    Args:
        found: the voxels.
        modality: ``CT`` or ``MR``, as the user or the table says.
        stated: what the file itself says (DICOM's tag Modality); empty where it says nothing.
    """
    if stated and stated != modality:
        return [_contradiction(modality, stated)]
    useless = no_scan(found)
    if useless:
        return [useless]
    return _of_ct(found, stated) if modality == "CT" else _of_mr(found, stated)


def no_scan(found: Intensities) -> Finding | None:
    """What makes voxels useless whatever the modality: no number, no contrast, or a label map; None if nothing does."""
    if found.without_number:
        value = f"{found.without_number} voxels are NaN or infinite"
        cure = "Convert the scan again, or set them to the background."
        return Finding("error", "the image has voxels without a number", value, cure)
    if found.low == found.high:
        cure = "Export the scan again; its voxels are lost."
        return Finding("error", "the image is constant", f"every voxel is {found.low:g}", cure)
    labels = _labels(found)
    if labels:
        cure = "Give the scan itself, not a mask or a label map that was drawn on it."
        return Finding("error", "this is a label map, not a scan", f"{labels} different values", cure)
    return None


def refuse_errors(file: object, problems: list[Finding]) -> list[Finding]:
    """The warnings among findings.

    Raises:
        ScanError: the first error.
    """
    for one in problems:
        if one.severity == "error":
            raise ScanError(str(file), one.problem, one.value, one.cure)
    return problems


def assumed_modality(file: object, found: Intensities, scan: AnyScan, asked: str = "auto") -> tuple[str, str]:
    """The modality of a scan and why: what the user says, else what the file says, else what the values say.

    Raises:
        ScanError: if the file says that it is neither CT nor MR, or its values do not tell.
    """
    if scan.stated_modality not in ("", "CT", "MR"):
        cure = "Give a CT or an MR; crossmod measures nothing else."
        raise ScanError(str(file), "neither CT nor MR", f"DICOM tag Modality: {scan.stated_modality}", cure)
    if asked != "auto":
        return asked, f"given by --modality {asked}"
    if scan.stated_modality:
        return scan.stated_modality, "DICOM tag Modality"
    if found.without_number or found.low == found.high or _labels(found):
        return "MR", "nothing else is known"  # the check refuses it
    fits = not any(one.severity == "error" for one in _of_ct(found))
    if fits and found.low <= AIR_HU:
        return "CT", f"the values are those of air and tissue in HU, {found.low:g} to {found.high:g}"
    if fits or _could_be_ct(found):
        cure = "Say --modality CT or --modality MR. A CT must be in HU: apply its rescale slope and intercept."
        raise ScanError(str(file), "neither file nor values say whether this is CT or MR", found.span, cure)
    why = "no values as low as air in HU" if found.low > AIR_HU else "most of what is dark is about zero, as in no CT"
    return "MR", f"{why}, {found.low:g} to {found.high:g}"


def air_level(found: Intensities, modality: str) -> float:
    """The intensity that parts a body from the air around it."""
    # ASSUME: -300 HU lies between lung and fat; of a CT cut to a window, as of an MR, the body is what is brighter than
    # the mean.
    return -300.0 if modality == "CT" and _shows_air(found) else found.mean


def _contradiction(modality: str, stated: str) -> Finding:
    if stated not in ("CT", "MR"):
        cure = "Give a CT or an MR; crossmod measures nothing else."
        return Finding("error", "neither CT nor MR", f"DICOM tag Modality: {stated}", cure)
    cure = f"Call it {stated}. If the tag is wrong, convert the series to NIfTI, which has no such tag."
    return Finding("error", f"called {modality}, but the file says {stated}", f"DICOM tag Modality: {stated}", cure)


def _of_ct(found: Intensities, stated: str = "") -> list[Finding]:
    if found.low >= 0:
        cure = "Apply" if stated else "Set modality to MR, or apply"
        cure += " the rescale intercept (stored values are not Hounsfield units)."
        return [Finding("error", "called CT, but nothing is below 0 HU", found.span, cure)]
    value = _unlike_hu(found)
    if value:
        cure = "Apply the rescale slope and intercept, or correct the modality."
        problem = "called CT, but the values are not Hounsfield units"
        return [Finding("error", problem, f"{found.span}; {value}", cure)]
    return [*_doubts_about_tissue(found), *_doubts_about_air(found)]


def _unlike_hu(found: Intensities) -> str:
    """What shows that values are not in HU; empty if nothing does."""
    dense, body = found.share(_DENSE_HU), found.share(_TISSUE_HU[0])
    if found.high > _HIGHEST_HU or found.high <= 0:
        return f"no tissue has {found.high:g} HU" if found.high > 0 else "nothing is above 0 HU"
    if found.high - found.low < _LEAST_SPAN_HU:
        return f"fat and organs alone span {_LEAST_SPAN_HU:g} HU"
    if found.share(*_TISSUE_HU) < _LEAST_TISSUE:
        return f"{found.share(*_TISSUE_HU):.1%} of the voxels lie where fat and organs do, -200 to 300 HU"
    if dense > _MOST_DENSE * body:
        return f"{dense / body:.0%} of the body is above {_DENSE_HU:g} HU, as only bone is"
    if found.share(PADDING_HU, _FAT_HU) < _LEAST_FAT:
        return f"neither fat nor air: {found.share(PADDING_HU, _FAT_HU):.1%} of the voxels are below {_FAT_HU:g} HU"
    peak, share = _air(found)
    # ASSUME: where a fifth of the scan is darker than -300 HU, most of that is air or lung.
    if share > 0.2 and not _AIR_LIMITS_HU[0] <= peak <= _AIR_LIMITS_HU[1]:
        return f"air lies at {peak:.0f} instead of -1000 HU"
    return ""


def _doubts_about_tissue(found: Intensities) -> list[Finding]:
    cure = "Compare with the scan on the console: a slope, an intercept or a calibration may be missing."
    body, doubts = found.share(_TISSUE_HU[0]), []
    for tissue, where, least in (
        ("fat", _FAT_PEAK_HU, _LEAST_FAT_OF_BODY),
        ("soft tissue", _ORGANS_HU, _LEAST_ORGANS_OF_BODY),
    ):
        share = found.share(*where) / body
        if share < least:
            value = f"{share:.1%} of the body is at {where[0]:g} to {where[1]:g} HU"
            doubts.append(Finding("warning", f"a CT with hardly any {tissue} where {tissue} is in HU", value, cure))
    return doubts


def _doubts_about_air(found: Intensities) -> list[Finding]:
    if not _shows_air(found):
        cure = (
            "If values were cut to a window, give the scan as it was; if it was cut inside the body, nothing has to be "
            "done."
        )
        return [Finding("warning", "a CT without air: it cannot be told whether it is in HU", found.span, cure)]
    padding, air = float(np.mean(found.sample < PADDING_HU)), found.share(*_AIR_LIMITS_HU)
    if padding > max(air, _LEAST_PADDING):
        cure = (
            "If that is padding outside of what the scanner saw, nothing has to be done; if it is air, the slope is "
            "wrong."
        )
        return [Finding("warning", "much of the CT is far below air", f"{padding:.0%} below {PADDING_HU:g} HU", cure)]
    peak, share = _air(found)
    if share > 0.2 and not _AIR_PEAK_HU[0] <= peak <= _AIR_PEAK_HU[1]:
        cure = "Compare with the scan on the console: an intercept or a calibration may be missing."
        return [Finding("warning", "air is not at -1000 HU", f"most of it lies at {peak:.0f} HU", cure)]
    return []


def _of_mr(found: Intensities, stated: str) -> list[Finding]:
    bright = _MOST_TIMES * abs(float(np.percentile(found.sample, 99.9)))
    if max(found.high, -found.low) > bright > 0:
        cure = (
            "Set those voxels to the value of their neighbours: brightness is measured by the mean, which they falsify."
        )
        return [Finding("error", "a few voxels are far out of the range of all others", found.span, cure)]
    like_ct = found.low < 0 and not _unlike_hu(found)
    if like_ct and found.low <= AIR_HU and not stated:
        problem = "called MR, but the values look like Hounsfield units"
        return [Finding("error", problem, found.span, "Set modality to CT in the table, or say --modality CT.")]
    if like_ct or (not stated and _could_be_ct(found)):
        cure = "Set modality to CT if it is one; a CT must be in HU."
        return [Finding("warning", "called MR, but the values could be those of a CT", found.span, cure)]
    return []


def _shows_air(found: Intensities) -> bool:
    return found.share(PADDING_HU, AIR_HU) >= _LEAST_AIR


def _air(found: Intensities) -> tuple[float, float]:
    """Where most voxels darker than -300 HU lie (to 10 HU), and their share."""
    edges = np.arange(PADDING_HU - 100, -290, 10)
    counts = np.histogram(found.sample, edges)[0]
    return float(edges[np.argmax(counts)] + 5), float(counts.sum() / max(found.sample.size, 1))


def _could_be_ct(found: Intensities) -> bool:
    """Whether an image that is none in HU could be a CT on another scale, e.g. stored without its intercept."""
    dark, bright = found.sample[found.sample <= found.mean], found.sample[found.sample > found.mean]
    air, tissue = (float(np.median(part)) if part.size else 0.0 for part in (dark, bright))
    near = np.mean(np.abs(bright - tissue) < _TISSUES_APART * (tissue - air)) if bright.size else 0.0
    return bool(near >= _LEAST_TISSUES) or (found.low <= AIR_HU and abs(air) > _ZERO * tissue)


def _labels(found: Intensities) -> int:
    """How many values a label map has; 0 of what is none."""
    if found.alike < _LEAST_ALIKE or found.low != 0 or found.high > _HIGHEST_LABEL:
        return 0
    values = np.unique(found.sample)
    return len(values) if (values == np.rint(values)).all() else 0
