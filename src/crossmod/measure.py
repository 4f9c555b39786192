"""The volume tool: both stages on one scan of the user's own, without a study."""

import itertools
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crossmod.job import Plain, UserError
from crossmod.own_files import OwnFiles
from crossmod.scans.box import Box, box_between, box_of_all
from crossmod.scans.files import open_scan, write_mask
from crossmod.scans.intensities import Intensities, air_level, assumed_modality, findings, intensities, refuse_errors
from crossmod.scans.scan import AnyScan
from crossmod.weights.model import Model

if TYPE_CHECKING:
    from crossmod.anatomy.body import Body


# ASSUME: what adults' kidneys measure; a volume outside is shown with a warning, never hidden. 5 to 95 % of KiTS23's
# kidneys without their masses have 78 to 312 ml.
PLAUSIBLE_ML = (60.0, 350.0)
# ASSUME: two stages that mean the same kidney share most of its parenchyma; below this share one of them is mistaken.
LEAST_INSIDE = 0.7
# ASSUME: trainings that find the same kidney agree on it by this DSC. On the real scans of the README (84 kidneys: 14
# scans, three sets of five trainings) all 7 kidneys with a DSC below 0.70 lay below it, and 10 of the other 77.
LEAST_AGREEMENT = 0.8
# ASSUME: where slices were lost, a network's outline ends within this distance of them.
BESIDE_MM = 5.0
NOTE = "Research use only. Check the mask against the scan before using a volume."


def measure_scan(scan: Path, out: Path | None, model: Path | None, modality: str, seed: int, threads: int) -> Plain:
    """Segment both kidneys' parenchyma, write mask, JSON and overlay, and print the volumes.

    Args:
        scan: image file, or folder with one DICOM series.
        out: folder for the results; None: beside the scan.
        model: folder of a trained arm; None: the networks that come with crossmod.
        modality: ``CT``, ``MR`` or ``auto``.
        seed: which training of the arm.
        threads: CPU threads.

    Returns:
        What the JSON holds: ``volumes_ml`` by side and ``total_ml`` (None: not found), warnings and provenance.

    Raises:
        UserError: if the scan or the model cannot be used, or the results cannot be written; before anything is
            computed.
    """
    asked = modality.upper() if modality != "auto" else modality
    if asked not in ("CT", "MR", "auto"):
        raise UserError(f"--modality {modality}: expected CT, MR or auto.")
    trained = Model.load(model.resolve(), seed) if model else Model.shipped()
    image = open_scan(scan)
    own = OwnFiles.of(scan, out)
    own.refuse()
    voxels = intensities(image.array)
    known, reason = assumed_modality(scan, voxels, image, asked)
    doubts = refuse_errors(scan, findings(voxels, known, image.stated_modality))
    found = segment_scan(image, known, trained, threads, voxels)
    about = {"modality": known, "modality_reason": reason, "model": trained.name}
    record = _record(image, voxels, found, about, [f"{one.problem} ({one.value}). {one.cure}" for one in doubts])
    written = own.write(
        record,
        mask=lambda path: write_mask(path, found.parenchyma, image.affine, image.codes),
        kidneys=lambda path: write_mask(path, found.kidney, image.affine, image.codes),
        overlay=lambda path: path.write_bytes(_overlay(image, found, record)),
    )
    _print(written, own.files)
    return written


@dataclass(frozen=True)
class Segmented:
    """What the networks found, in the scan's own space.

    Attributes:
        kidney: uint8, 1 right, 2 left.
        parenchyma: uint8, 1 right, 2 left.
        agreement: side → mean DSC between the kidneys that any two trainings find alone; empty where there is one
            training.
        sides_certain: whether the scan shows which kidney is the right one.
    """

    kidney: np.ndarray
    parenchyma: np.ndarray
    agreement: dict[str, float]
    sides_certain: bool = True

    @cached_property
    def box(self) -> Box:
        """The box that holds both masks; the whole scan where there is nothing.

        To look for it in a large scan takes seconds.
        """
        from crossmod.anatomy.kidneys import around, boxes_of

        found = [box for mask in (self.kidney, self.parenchyma) for box in boxes_of(mask) if box]
        return around(found) if found else box_of_all(self.kidney.shape)

    def inside(self, box: Box) -> "Segmented":
        """The masks in a box of the scan."""
        return replace(self, kidney=self.kidney[box], parenchyma=self.parenchyma[box])


def segment_scan(
    image: AnyScan, modality: str, trained: Model, threads: int, voxels: Intensities | None = None
) -> Segmented:
    """Both stages on one scan.

    Args:
        image: the scan.
        modality: ``CT`` or ``MR``.
        trained: the networks.
        threads: CPU threads.
        voxels: of the scan, where they were looked at already.
    """
    import torch

    from crossmod.anatomy.body import settle_sides
    from crossmod.predict.cascade import region_boxes, segment_boxes
    from crossmod.predict.native import native_mask
    from crossmod.predict.network import Ensemble, TrainedStage, pooled
    from crossmod.predict.on_grid import on_grids
    from crossmod.scans.grid import Grid

    torch.set_num_threads(threads)
    first, second = trained.stages
    stages = {
        name: Ensemble(
            tuple(
                TrainedStage.load(path, stage, trained.models[name], trained.precision)
                for path in trained.weights[name]
            )
        )
        for name, stage in trained.stages.items()
    }
    native = Grid(image.array.shape, image.affine)
    scan = on_grids(image, modality, trained.stages, trained.normalisation)
    votes = [member.probability(scan.whole(first), scan.background) for member in stages[first].members]
    grid, settings = scan.grids[first], stages[first].stage
    kidney = native_mask(pooled(votes), grid, settings, native)
    alone = [native_mask(vote, grid, settings, grid) for vote in votes]  # compared where the networks looked
    certain, body = True, _body(image, kidney, modality, voxels or intensities(image.array))
    if body is not None:
        certain = settle_sides(kidney, image.affine, body)
        for mask in alone:
            settle_sides(mask, grid.affine, body)
    boxes = region_boxes(kidney, True, native, scan.grids[second])
    parenchyma = segment_boxes(scan, second, stages[second], native, boxes)
    return Segmented(kidney, parenchyma, agreement(alone), certain)


def _body(image: AnyScan, kidney: np.ndarray, modality: str, voxels: Intensities) -> "Body | None":
    """The body at the height of the kidneys; None where none was found."""
    from crossmod.anatomy.body import find_body
    from crossmod.anatomy.kidneys import around, boxes_of

    found = [box for box in boxes_of(kidney) if box]
    return find_body(image, air_level(voxels, modality), around(found)) if found else None


def agreement(alone: list[np.ndarray]) -> dict[str, float]:
    """Side → mean DSC over all pairs of masks (1 right, 2 left) of one scan; empty where there are fewer than two.

    Where no mask has a side, all agree (1).
    """
    from crossmod.anatomy.kidneys import MASK_VALUES

    pairs = list(itertools.combinations(alone, 2))
    return {
        side: float(np.mean([_dsc(a == value, b == value) for a, b in pairs]))
        for side, value in MASK_VALUES.items()
        if pairs
    }


def _dsc(a: np.ndarray, b: np.ndarray) -> float:
    size = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / size if size else 1.0


def _record(image: AnyScan, voxels: Intensities, found: Segmented, about: Plain, warnings: list[str]) -> Plain:
    from crossmod.anatomy.kidneys import MASK_VALUES

    part = found.inside(found.box)
    volumes = {side: _ml(part.parenchyma == value, image) for side, value in MASK_VALUES.items()}
    measured = {side: volume for side, volume in volumes.items() if volume is not None}
    warnings = [*warnings, *(text for side, volume in volumes.items() for text in _doubts(side, volume, part))]
    if not found.sides_certain:
        warnings.append(_guess(found))
    warnings += [text for side in MASK_VALUES for text in _cut(side, image, voxels, found, about["modality"])]
    return {
        "volumes_ml": volumes,
        "total_ml": round(sum(measured.values()), 2) if measured else None,
        "total_of": sorted(measured, reverse=True),
        "kidneys_ml": {side: _ml(part.kidney == value, image) for side, value in MASK_VALUES.items()},
        "sides_certain": found.sides_certain,
        "agreement": {side: round(dsc, 3) for side, dsc in found.agreement.items()},
        "mask_values": {side: int(value) for side, value in MASK_VALUES.items()},
        **about,
        "spacing_mm": [round(float(value), 4) for value in image.spacing_mm],
        "warnings": warnings,
        "crossmod": version("crossmod"),
        "note": NOTE,
    }


def _ml(mask: np.ndarray, image: AnyScan) -> float | None:
    """Volume of a mask; None where it is empty, for what was not found has no volume."""
    return round(float(mask.sum()) * image.voxel_ml, 2) if mask.any() else None


def _doubts(side: str, volume_ml: float | None, segmented: Segmented) -> list[str]:
    """What makes a volume unlikely: no kidney, an unusual size, or networks or stages that contradict each other."""
    from crossmod.anatomy.kidneys import MASK_VALUES

    found, part = segmented.kidney == MASK_VALUES[side], segmented.parenchyma == MASK_VALUES[side]
    agree = segmented.agreement.get(side, 1.0)
    unsure = agree < LEAST_AGREEMENT
    if not found.any():
        some = f"some of the networks did find a {side} kidney, but they agree by a DSC of only {agree:.2f}"
        return [f"no {side} kidney was found", *([some] if unsure else [])]
    doubts = [f"the networks agree on the {side} kidney by a DSC of only {agree:.2f}"] if unsure else []
    if volume_ml is None:
        return [f"no parenchyma was found in the {side} kidney", *doubts]
    low, high = PLAUSIBLE_ML
    if not low <= volume_ml <= high:
        doubts.append(f"{side} parenchyma of {volume_ml:.0f} ml is outside the usual {low:.0f} to {high:.0f} ml")
    inside = (found & part).sum() / max(part.sum(), 1)
    if inside < LEAST_INSIDE:
        doubts.append(f"only {inside:.0%} of the {side} parenchyma lies within the {side} kidney found")
    return doubts


def _guess(found: Segmented) -> str:
    from crossmod.anatomy.kidneys import MASK_VALUES, boxes_of

    sides = [side for side, box in zip(MASK_VALUES, boxes_of(found.inside(found.box).kidney), strict=False) if box]
    what = f"that the kidney found is the {sides[0]} one" if len(sides) == 1 else "which kidney is the right one"
    where = "it" if len(sides) == 1 else "them"
    return f"it is a guess {what}: the scan does not show the body from flank to flank around {where}"


def _cut(side: str, image: AnyScan, voxels: Intensities, found: Segmented, modality: str) -> list[str]:
    """Warnings where a kidney ends with the image, or within a voxel of that, or where slices of it were lost."""
    from crossmod.anatomy.edges import edges_reached, empty_planes, reaches_padding
    from crossmod.anatomy.kidneys import MASK_VALUES
    from crossmod.anatomy.units import box_of

    part, value = found.inside(found.box), MASK_VALUES[side]
    mask = (part.kidney == value) | (part.parenchyma == value)
    local = box_of(mask)
    if local is None:
        return []
    corner = [part.start for part in found.box]
    box = box_between(np.add(corner, [p.start for p in local]), np.add(corner, [p.stop for p in local]))
    edges = edges_reached(box, image.array.shape, image.affine, gap_voxels=1)
    if modality == "CT" and reaches_padding(mask[local], box, image, voxels):
        edges.append("padded")
    warnings, lost = [], empty_planes(image, box, BESIDE_MM)
    if edges:
        where = f"the {side} kidney reaches the {' and the '.join(edges)} edge of the scan"
        warnings.append(f"{where}: part of it may lie outside, and the volume would be too small")
    if lost:
        where = f"{lost} planes through the {side} kidney, or beside it, hold one value only"
        warnings.append(f"{where}: slices may be lost, and the volume would be wrong")
    return warnings


def _overlay(image: AnyScan, found: Segmented, record: Plain) -> bytes:
    """A picture of each kidney's outline, with volumes and warnings above it.

    It shows the slices with most parenchyma, axial and coronal.
    """
    from crossmod.report.pictures import measured_picture

    volumes = ", ".join(f"{side} {in_words(volume, 0)}" for side, volume in record["volumes_ml"].items())
    read_as = f"Read as {record['modality']}: {record['modality_reason']}."
    note = "\n".join([NOTE, read_as, *(f"Warning: {text}" for text in record["warnings"])])
    title = f"Renal parenchyma: {volumes}"
    return measured_picture(image, record["modality"], found.kidney, found.parenchyma, title, note).png()


def in_words(volume_ml: float | None, digits: int) -> str:
    """A volume with its unit, or that there is none."""
    return "not found" if volume_ml is None else f"{volume_ml:.{digits}f} ml"


def _print(record: Plain, files: dict[str, Path]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    table = Table(title="Renal parenchyma")
    table.add_column("kidney")
    table.add_column("volume (ml)", justify="right")
    for side, volume in record["volumes_ml"].items():
        table.add_row(side, "not found" if volume is None else f"{volume:.1f}")
    if len(record["total_of"]) == 2:
        table.add_section()
        table.add_row("both", f"{record['total_ml']:.1f}")
    console.print(table)
    lines = [f"Read as {record['modality']}: {record['modality_reason']}.", record["note"]]
    for line in lines:
        console.print(escape(line), soft_wrap=True, highlight=False)
    for warning in record["warnings"]:
        console.print(f"[yellow]warning:[/yellow] {escape(warning)}", soft_wrap=True)
    for kind, path in files.items():
        console.print(f"{kind}: {escape(str(path))}", soft_wrap=True, highlight=False)
