"""`crossmod treat`: a scan with its intensities treated, for a segmentation tool of the user's own."""

from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crossmod.job import Plain, UserError
from crossmod.own_files import OwnFiles
from crossmod.prepare.treatments import named, treated
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


def treat_scan(scan: Path, treatment: str, out: Path | None, modality: str) -> Plain:
    """Write the treated scan and a record of what was done, and print where they lie.

    Args:
        scan: image file, or folder with one DICOM series.
        treatment: name of a treatment that comes with crossmod.
        out: folder for the results; None: beside the scan.
        modality: ``CT``, ``MR`` or ``auto``.

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
    endings = {"scan": f"{treatment}.nii.gz", "json": f"{treatment}.json"}
    given = read_scan(scan)
    own = OwnFiles.of(scan, out, endings, "crossmod treat")
    own.refuse()
    voxels = intensities(given.array)
    warnings = _doubts(scan, given, voxels, asked)
    share = _share_cut(given.array, operations)
    if share > MOST_CUT:
        low, high = operations[0]["clip"]
        warnings.append(
            f"{share:.0%} of the voxels lie outside {low} to {high} and were cut ({voxels.span}): the treatment was "
            "made for MR as scanners store it; bring the scan to that scale first"
        )
    done = treated(given, operations)
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


def _share_cut(array: NDArray, operations: list[Plain]) -> float:
    """The share of the voxels that the first operation cuts, where it is a clip."""
    if "clip" not in operations[0]:
        return 0.0
    low, high = operations[0]["clip"]
    return float(np.mean((array < low) | (array > high)))


def _refuse_nothing_left(scan: Path, array: NDArray, before: Intensities) -> None:
    if array.min() == array.max():
        cure = "Bring its values to those of an MR as scanners store it, from 0 to some thousands."
        raise ScanError(scan, "the treatment leaves one value everywhere", before.span, cure)


def _print(record: Plain, files: dict[str, Path]) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console()
    for warning in record["warnings"]:
        console.print(f"[yellow]warning:[/yellow] {escape(warning)}", soft_wrap=True)
    for kind, path in files.items():
        console.print(f"{kind}: {escape(str(path))}", soft_wrap=True, highlight=False)
