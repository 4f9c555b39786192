"""One case as a segmenter saw it under a treatment: the treated scan, what is true of it and what was found."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from crossmod.cohort.table import Cohort, read_cohort
from crossmod.design.targets import targets_of
from crossmod.evaluate.declared import Declared
from crossmod.evaluate.scores import index_row, read_case
from crossmod.evaluate.targets import pairs_of
from crossmod.job import Plain, read_json
from crossmod.prepare.normalise import body_mask, fit_window
from crossmod.prepare.treatments import treated
from crossmod.report.results import Results
from crossmod.report.rows import record_of
from crossmod.report.slices import View, cut, flat_axis
from crossmod.report.words import END_TO_END
from crossmod.scans.files import read_scan
from crossmod.scans.scan import AnyScan

RIGHT, WRONG = 1, 2


@dataclass(frozen=True, eq=False)
class Seen:
    """A case under one treatment.

    Attributes:
        view: the slice with most of the reference; ``reference`` holds a number for each target and unit,
            ``prediction`` is 1 where the segmenter is right and 2 where it is wrong.
        body, air: (N,) treated intensities inside and outside the body.
        window: intensities that the network tells apart; what lies beyond is cut.
        inside: share of the body in the window.
    """

    view: View
    body: NDArray
    air: NDArray
    window: tuple[float, float]

    @property
    def inside(self) -> float:
        """See above."""
        low, high = self.window
        return float(np.mean((self.body > low) & (self.body < high)))


@dataclass(frozen=True, eq=False)
class Subject:
    """A case as it was scanned, read once for all treatments.

    Attributes:
        cohort: that it is of.
        about: its row of the cohort's table.
        image: its scan.
        body: (X, Y, Z) boolean, where the body is; no treatment moves it.
    """

    cohort: Cohort
    about: Plain
    image: AnyScan
    body: NDArray[np.bool_]


def subject_of(results: Results, folder: Path, case: str) -> Subject:
    """A case of a folder of predictions.

    Raises:
        UserError: if its scan is gone.
    """
    cohort = read_cohort(results.place(f"cohort/{index_row(folder, case)['cohort']}"))
    about = record_of(cohort.cases[cohort.cases["case"] == case].iloc[0])
    image = read_scan(cohort.root / about["image"])
    return Subject(cohort, about, image, body_of(image, about["modality"]))


def seen(results: Results, subject: Subject, arm: str, folder: Path, stage: str) -> Seen:
    """What one arm saw and found of a case.

    Args:
        results: of the study.
        subject: the case.
        arm: whose treatment of scans it is.
        folder: of its predictions.
        stage: whose masks are shown.

    Raises:
        UserError: if the reference or the prediction is gone, or the scan cannot be treated.
    """
    modality = subject.about["modality"]
    done = treated(subject.image, operations_of(results, arm))
    window = window_of(done.array, modality, results.study)
    reference, found = _compared(results.study, folder, subject, stage)
    view = replace(cut(done, modality, reference, found), limits=window)
    return Seen(view, done.array[subject.body], done.array[~subject.body], window)


def operations_of(results: Results, arm: str) -> list[Plain]:
    """What is done to the scans of an arm: what one of its levels says."""
    levels = results.design.set_index("arm").loc[arm].astype(str)
    factors = results.study["factors"]
    recipes = [factors[factor].get(level) or {} for factor, level in levels.items() if factor in factors]
    name = next((recipe["treat"] for recipe in recipes if recipe.get("treat")), None)
    return results.study["treatments"][name] if name else []


def window_of(array: NDArray, modality: str, study: Plain) -> tuple[float, float]:
    """The intensities between which the study's networks tell a scan's voxels apart.

    Args:
        array: (X, Y, Z) treated intensities.
        modality: of the scan; the study may normalise it as another.
        study: its config.
    """
    settings, kind = study["normalisation"], study.get("normalise_as") or modality
    low, high = settings["ct_window_hu"]
    if kind == "CT":
        return float(low), float(high)
    found = fit_window(array, kind, (low, high), tuple(settings["mr_percentiles"]))
    return found.low, found.high


def body_of(image: AnyScan, modality: str) -> NDArray[np.bool_]:
    """Where the body is, with the dark organs inside it: (X, Y, Z) boolean."""
    # ASSUME: what is bright around the body encloses it in every slice; the largest such part of a scan is the body.
    bright = body_mask(np.asarray(image.array), modality)
    across = _array_axis(image)
    filled = np.stack([ndimage.binary_fill_holes(plane) for plane in np.moveaxis(bright, across, 0)], axis=across)
    parts, count = ndimage.label(filled)
    return parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:])) if count else filled


def _array_axis(image: AnyScan) -> int:
    """The axis of the array that a viewer looks along."""
    directions = np.abs(image.affine[:3, :3]) / np.linalg.norm(image.affine[:3, :3], axis=0)
    return int(np.argmax(directions[flat_axis(image)]))


def _compared(study: Plain, folder: Path, subject: Subject, stage: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(X, Y, Z) twice: the number of the target and unit that each voxel is of, and where a prediction is right or not.

    Only what is compared with the reference counts: a class that the cohort does not label is not wrong.
    """
    row = index_row(folder, subject.about["case"])
    stages = {name: about for name, about in study["stages"].items() if name in row}
    declared = Declared.of({"stages": stages, "units": study["units"], "targets": targets_of(study)})
    if (known := folder / "known.json").is_file():
        declared = declared.known(read_json(known))
    truth, masks = read_case(folder, row, subject.about, subject.cohort, [stage])
    reference, found = np.zeros((2, *truth.labels.shape), dtype=np.uint8)
    for number, pair in enumerate(pairs_of(declared, truth, masks), start=1):
        if pair.target.stage == stage and pair.region in END_TO_END:
            reference[pair.box][pair.reference] = number
            part = found[pair.box]
            part[pair.predicted & pair.reference & (part != WRONG)] = RIGHT
            part[pair.predicted & ~pair.reference] = WRONG
    return reference, found
