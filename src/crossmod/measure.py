"""The volume tool: both stages on one scan of the user's own, without a study."""

import itertools
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from crossmod.cohort.images import Scan, open_scan, planes, write_mask
from crossmod.job import UserError, whole, write_json
from crossmod.weights.model import Model

Plain = dict[str, Any]

# ASSUME: only CT has values as low as air in HU; the check of cohorts draws the same line.
AIR_HU = -500.0
# ASSUME: what adults' kidneys measure; a volume outside is shown with a warning, never hidden. 5 to 95 % of KiTS23's
# kidneys without their masses have 78 to 312 ml.
PLAUSIBLE_ML = (60.0, 350.0)
# ASSUME: two stages that mean the same kidney share most of its parenchyma; below this share one of them is mistaken.
LEAST_INSIDE = 0.7
# ASSUME: trainings that find the same kidney agree on it by this DSC. On the real scans of the README (84 kidneys: 14 scans, three sets of
# five trainings) all 7 kidneys with a DSC below 0.70 lay below it, and 10 of the other 77.
LEAST_AGREEMENT = 0.8
NOTE = "Research use only. Check the mask against the scan before using a volume."


def measure_scan(scan: Path, out: Path | None, model: Path | None, modality: str, seed: int, threads: int) -> Plain:
    """Segment both kidneys' parenchyma, write mask, JSON and overlay, and print the volumes.

    Args:
        scan: image file, or folder with one DICOM series.
        out: folder for the results; None: the scan's own.
        model: folder of a trained arm; None: the networks that come with crossmod.
        modality: ``CT``, ``MR`` or ``auto``.
        seed: which training of the arm.
        threads: CPU threads.

    Returns:
        What the JSON holds: ``volumes_ml`` by side, ``total_ml``, warnings and provenance.

    Raises:
        UserError: if the scan or the model cannot be used.
    """
    trained = Model.load(model.resolve(), seed) if model else Model.shipped()
    image = open_scan(scan)
    modality = _modality(image, modality)
    found = segment_scan(image, modality, trained, threads)

    stem = scan.name.removesuffix(".gz").rsplit(".", 1)[0] if scan.is_file() else scan.resolve().name
    folder = out or (scan.parent if scan.is_file() else scan)
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "mask": folder / f"{stem}.parenchyma.nii.gz",
        "kidneys": folder / f"{stem}.kidneys.nii.gz",
        "overlay": folder / f"{stem}.parenchyma.png",
        "json": folder / f"{stem}.parenchyma.json",
    }
    record = _record(image, modality, found.inside(found.box), trained)
    for key, mask in (("mask", found.parenchyma), ("kidneys", found.kidney)):
        with whole(files[key]) as partial:
            write_mask(partial, mask, image.affine, image.codes)
    _overlay(image, modality, found, record, files["overlay"])
    write_json(files["json"], record)
    _print(record, files)
    return record


def _modality(image: Scan, asked: str) -> str:
    if asked.upper() in ("CT", "MR"):
        return asked.upper()
    if asked != "auto":
        raise UserError(f"--modality {asked}: expected CT, MR or auto.")
    return "CT" if any(float(plane.min()) <= AIR_HU for plane in planes(image.array)[1]) else "MR"


@dataclass(frozen=True)
class Segmented:
    """What the networks found, in the scan's own space.

    Attributes:
        kidney: uint8, 1 right, 2 left.
        parenchyma: uint8, 1 right, 2 left.
        agreement: side → mean DSC between the kidneys that any two trainings find alone; empty where there is one training.
    """

    kidney: np.ndarray
    parenchyma: np.ndarray
    agreement: dict[str, float]

    @property
    def box(self) -> tuple[slice, slice, slice]:
        """What holds both masks; the whole scan where there is nothing."""
        from crossmod.cohort.kidneys import boxes_of

        found = [box for mask in (self.kidney, self.parenchyma) for box in boxes_of(mask) if box]
        if not found:
            return tuple(slice(0, n) for n in self.kidney.shape)
        return tuple(
            slice(min(p.start for p in parts), max(p.stop for p in parts)) for parts in zip(*found, strict=True)
        )

    def inside(self, box: tuple[slice, slice, slice]) -> "Segmented":
        """The masks in a box of the scan."""
        return replace(self, kidney=self.kidney[box], parenchyma=self.parenchyma[box])


def segment_scan(image: Scan, modality: str, trained: Model, threads: int) -> Segmented:
    """Both stages on one scan.

    Args:
        image: the scan.
        modality: ``CT`` or ``MR``.
        trained: the networks.
        threads: CPU threads.
    """
    import torch

    from crossmod.predict.cascade import kidney_boxes, kidneys_of, on_grids, segment_parenchyma
    from crossmod.predict.network import Ensemble, TrainedStage, pooled
    from crossmod.prepare.geometry import Grid

    torch.set_num_threads(threads)
    first, second = trained.stages
    stages = {
        name: Ensemble(
            tuple(TrainedStage.load(path, stage, trained.network, trained.precision) for path in trained.weights[name])
        )
        for name, stage in trained.stages.items()
    }
    native = Grid(image.array.shape, image.affine)
    scan = on_grids(image, modality, trained.stages, trained.normalisation)
    votes = [member.probability(scan.images[first], scan.background) for member in stages[first].members]
    grid, count = scan.grids[first], stages[first].stage["components"]
    kidney = kidneys_of(pooled(votes), grid, count, native)
    alone = [kidneys_of(vote, grid, count, grid) for vote in votes]  # compared where the networks looked
    boxes = kidney_boxes(kidney, native, scan.grids[second])
    parenchyma = segment_parenchyma(scan, second, stages[second], native, boxes)
    return Segmented(kidney, parenchyma, agreement(alone))


def agreement(alone: list[np.ndarray]) -> dict[str, float]:
    """Side → mean DSC over all pairs of masks (1 right, 2 left) of one scan; empty where there are fewer than two.

    Where no mask has a side, all agree (1).
    """
    from crossmod.cohort.kidneys import MASK_VALUES

    pairs = list(itertools.combinations(alone, 2))
    return {
        side: float(np.mean([_dsc(a == value, b == value) for a, b in pairs]))
        for side, value in MASK_VALUES.items()
        if pairs
    }


def _dsc(a: np.ndarray, b: np.ndarray) -> float:
    size = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / size if size else 1.0


def _record(image: Scan, modality: str, found: Segmented, trained: Model) -> Plain:
    from crossmod.cohort.kidneys import MASK_VALUES

    kidney, parenchyma = found.kidney, found.parenchyma
    voxel_ml = abs(float(np.linalg.det(image.affine[:3, :3]))) / 1000
    volumes = {side: round(float((parenchyma == value).sum()) * voxel_ml, 2) for side, value in MASK_VALUES.items()}
    warnings = [text for side, volume in volumes.items() for text in _doubts(side, volume, found)]
    return {
        "volumes_ml": volumes,
        "total_ml": round(sum(volumes.values()), 2),
        "kidneys_ml": {
            side: round(float((kidney == value).sum()) * voxel_ml, 2) for side, value in MASK_VALUES.items()
        },
        "agreement": {side: round(dsc, 3) for side, dsc in found.agreement.items()},
        "mask_values": {side: int(value) for side, value in MASK_VALUES.items()},
        "modality": modality,
        "spacing_mm": [round(float(value), 4) for value in image.spacing_mm],
        "warnings": warnings,
        "model": trained.name,
        "crossmod": version("crossmod"),
        "note": NOTE,
    }


def _doubts(side: str, volume_ml: float, segmented: Segmented) -> list[str]:
    """What makes a volume unlikely: no kidney, an unusual size, or networks or stages that contradict each other."""
    from crossmod.cohort.kidneys import MASK_VALUES

    found, part = segmented.kidney == MASK_VALUES[side], segmented.parenchyma == MASK_VALUES[side]
    agree = segmented.agreement.get(side, 1.0)
    disputed = (
        [f"the networks agree by a DSC of only {agree:.2f} on the {side} kidney"] if agree < LEAST_AGREEMENT else []
    )
    if not found.any():
        return [f"no {side} kidney was found", *disputed]
    doubts = disputed
    low, high = PLAUSIBLE_ML
    if not low <= volume_ml <= high:
        doubts.append(f"{side} parenchyma of {volume_ml:.0f} ml is outside the usual {low:.0f} to {high:.0f} ml")
    inside = (found & part).sum() / max(part.sum(), 1)
    if part.any() and inside < LEAST_INSIDE:
        doubts.append(f"only {inside:.0%} of the {side} parenchyma lies within the {side} kidney found")
    return doubts


def _overlay(image: Scan, modality: str, found: Segmented, record: Plain, path: Path) -> None:
    """The slices with most parenchyma of each kidney, axial and coronal, with its outline, under volumes and warnings."""
    from crossmod.report.pictures import measured_picture

    volumes = ", ".join(f"{side} {volume:.0f} ml" for side, volume in record["volumes_ml"].items())
    note = "\n".join([NOTE, *(f"Warning: {text}" for text in record["warnings"])])
    picture = measured_picture(image, modality, found.kidney, found.parenchyma, f"Renal parenchyma: {volumes}", note)
    with whole(path) as partial:
        partial.write_bytes(picture.png())


def _print(record: Plain, files: dict[str, Path]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title="Renal parenchyma")
    table.add_column("kidney")
    table.add_column("volume (ml)", justify="right")
    for side, volume in record["volumes_ml"].items():
        table.add_row(side, f"{volume:.1f}")
    table.add_section()
    table.add_row("both", f"{record['total_ml']:.1f}")
    console.print(table)
    console.print(record["note"], soft_wrap=True)
    for warning in record["warnings"]:
        console.print(f"[yellow]warning:[/yellow] {warning}", soft_wrap=True)
    for kind, path in files.items():
        console.print(f"{kind}: {path}", soft_wrap=True, highlight=False)
