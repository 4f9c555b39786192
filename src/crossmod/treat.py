"""`crossmod treat`: a scan with its intensities treated, for a segmentation tool of the user's own."""

from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crossmod.job import Plain, UserError
from crossmod.own_files import OwnFiles
from crossmod.prepare.treatments import apply, named, treated
from crossmod.scans.files import read_scan, write_scan
from crossmod.scans.intensities import (
    Intensities,
    assumed_modality,
    findings,
    intensities,
    no_scan,
    refuse_errors,
)
from crossmod.scans.scan import Scan, ScanError

# ASSUME: a scan of which more than this is cut by a treatment is on another scale than the treatment was made for.
MOST_CUT = 0.01


def treat_scan(scan: Path, treatment: str, out: Path | None, modality: str, fit: bool = False) -> Plain:
    """Write the treated scan and a record of what was done, and print where they lie.

    Args:
        scan: image file, or folder with one DICOM series.
        treatment: name of a treatment that comes with crossmod.
        out: folder for the results; None: beside the scan.
        modality: ``CT``, ``MR`` or ``auto``.
        fit: whether a scan on a larger scale is first brought into the range that the treatment clips to.

    Returns:
        What the record holds: the operations, the ranges before and after, warnings and digests.

    Raises:
        UserError: if the treatment is unknown, the scan cannot be used, or the results cannot be written; before
            anything is written.
    """
    asked = modality.upper() if modality != "auto" else modality
    if asked not in ("CT", "MR", "auto"):
        raise UserError(f"--modality {modality}: expected CT, MR or auto.")
    try:
        operations = named(treatment)
    except UserError as error:
        raise UserError(f"--treatment: {error}") from error
    if fit:
        operations = [{"fit": {"below": operations[0]["clip"][1]}}, *operations]
    endings = {"scan": f"{treatment}.nii.gz", "json": f"{treatment}.json"}
    given = read_scan(scan)
    own = OwnFiles.of(scan, out, endings, "crossmod treat")
    own.refuse()
    voxels = intensities(given.array)
    warnings = _doubts(scan, given, voxels, asked)
    share = _share_cut(given.array, operations)
    if share > MOST_CUT:
        low, high = _clip(operations)
        warnings.append(
            f"{share:.0%} of the voxels lie outside {low} to {high} and were cut ({voxels.span}): the treatment was "
            "made for MR as most scanners store it. Bring the scan to that scale first, e.g. with --fit"
        )
    done = _treated(scan, given, operations)
    _refuse_nothing_left(scan, done.array, voxels)
    record = {
        "treatment": treatment,
        "operations": operations,
        "range_before": [voxels.low, voxels.high],
        "range_after": [float(done.array.min()), float(done.array.max())],
        "warnings": warnings,
        "crossmod": version("crossmod"),
    }
    written = own.write(record, scan=lambda path: write_scan(path, done))
    _print(written, own.files)
    return written


def _doubts(scan: Path, given: Scan, voxels: Intensities, asked: str) -> list[str]:
    """Warnings about the scan; what no treatment can use is refused.

    An odd value that the modality makes unlikely is a doubt and not an error here: a treatment cuts it.
    """
    useless = no_scan(voxels)
    refuse_errors(scan, [useless] if useless else [])
    known, reason = assumed_modality(scan, voxels, given, asked)
    if known == "CT":
        return [f"this is a CT ({reason}), and the treatments make MR look like CT: treating a CT is a mistake"]
    return [f"{one.problem} ({one.value}). {one.cure}" for one in findings(voxels, known, given.stated_modality)]


def _treated(scan: Path, given: Scan, operations: list[Plain]) -> Scan:
    try:
        return treated(given, operations)
    except UserError as error:
        raise UserError(
            f"{scan}: {error} Where its values lie above what the treatment clips to, say --fit."
        ) from error


def _share_cut(array: NDArray, operations: list[Plain]) -> float:
    """The share of the voxels that a treatment's clip cuts, of the scan as it then is."""
    if "fit" in operations[0]:
        array = apply(operations[:1], array)
    low, high = _clip(operations)
    return float(np.mean((array < low) | (array > high)))


def _clip(operations: list[Plain]) -> list[float]:
    """The range that a treatment clips to; all that come with crossmod do."""
    return next(operation["clip"] for operation in operations if "clip" in operation)


def _refuse_nothing_left(scan: Path, array: NDArray, before: Intensities) -> None:
    if array.min() == array.max():
        cure = "Bring its values to those of an MR as scanners store it, from 0 to some thousands, e.g. with --fit."
        raise ScanError(scan, "the treatment leaves one value everywhere", before.span, cure)


def _print(record: Plain, files: dict[str, Path]) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console()
    for warning in record["warnings"]:
        console.print(f"[yellow]warning:[/yellow] {escape(warning)}", soft_wrap=True)
    for kind, path in files.items():
        console.print(f"{kind}: {escape(str(path))}", soft_wrap=True, highlight=False)
