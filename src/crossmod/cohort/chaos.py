"""CHAOS: healthy abdomens as DICOM slices with outlines as PNG pictures; converted to NIfTI.

MR has liver, kidneys and spleen on a fat-suppressed T2 (SPIR) and on a T1 in and out of phase; CT has the liver alone.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crossmod.cohort.layout import choice, dataset_folder, in_natural_order, lacks, own_entries
from crossmod.cohort.table import write_table
from crossmod.job import UserError
from crossmod.parallel import each
from crossmod.scans.files import write_mask, write_scan
from crossmod.scans.formats.dicom import Slice, read_series, sorted_slices
from crossmod.scans.scan import Scan, ScanError
from crossmod.tables import refuse

LABELS = {"MR": {1: "liver", 2: "right_kidney", 3: "left_kidney", 4: "spleen"}, "CT": {1: "liver"}}
# Grey levels of the PNG pictures, lowest and highest, for each label value.
_GREYS = {
    "MR": {1: (55, 70), 2: (110, 135), 3: (175, 200), 4: (240, 255)},
    "CT": {1: (1, 255)},
}
# Sequence → folder of the slices, folder of the outlines. Both T1 echoes share one outline.
_MR_FOLDERS = {
    "fs-t2": ("T2SPIR/DICOM_anon", "T2SPIR/Ground"),
    "t1-in": ("T1DUAL/DICOM_anon/InPhase", "T1DUAL/Ground"),
    "t1-opposed": ("T1DUAL/DICOM_anon/OutPhase", "T1DUAL/Ground"),
}
_CT_FOLDERS = {"portal-venous": ("DICOM_anon", "Ground")}


@dataclass(frozen=True)
class _Series:
    case: str
    patient: str
    modality: str
    sequence: str
    slices: Path
    outlines: Path


def write_cohort(name: str, folder: Path, settings: dict[str, Any], threads: int = 1) -> None:
    """Convert the training part of CHAOS into ``images/`` and ``labels/`` of a cohort.

    Series without slices or without outlines are left out; ``cohort.json`` lists them under ``left_out``.

    Args:
        name: of the cohort.
        folder: existing folder to write into.
        settings: ``root``, the folder that holds ``Train_Sets`` (or that folder itself); ``modality``: MR (default) or
            CT; ``sequence``: fs-t2, t1-in or t1-opposed, for MR; all three if not given.
        threads: series converted at a time.

    Raises:
        UserError: if the layout is another one, or listing every series that cannot be converted.
    """
    modality = settings.get("modality") or "MR"
    choice(name, {"modality": modality}, "modality", ("MR", "CT"))
    folders = _MR_FOLDERS if modality == "MR" else _CT_FOLDERS
    wanted = choice(name, settings, "sequence", tuple(folders))
    dataset = dataset_folder(name, settings, f"{modality}/*", "Train_Sets")
    found, left_out = [], {}
    for patient in in_natural_order([path for path in own_entries(dataset / modality) if path.is_dir()]):
        who = f"chaos-{modality.lower()}-{patient.name}"
        for sequence in wanted:
            case = f"{who}-{sequence}" if modality == "MR" else who
            slices, outlines = folders[sequence]
            if lacking := lacks(patient, slices, outlines):
                left_out[case] = lacking
                continue
            found.append(_Series(case, who, modality, sequence, patient / slices, patient / outlines))
    if not found:
        where = f"{dataset / modality} holds no patient with slices and outlines"
        raise UserError(f"Cohort '{name}': {where} ({len(left_out)} left out). Give the training part as downloaded.")
    for part in ("images", "labels"):
        (folder / part).mkdir()
    problems = [p for p in each(f"cohort {name}", partial(_convert, folder), found, threads) if p is not None]
    refuse(problems, f"Cohort '{name}' (CHAOS)")
    rows = [
        {
            "case": one.case,
            "patient": one.patient,
            "modality": modality,
            "sequence": one.sequence,
            "site": "chaos",
            "image": f"images/{one.case}.nii.gz",
            "label": f"labels/{one.case}.nii.gz",
            "tumour_side": "none",  # all are healthy liver donors or volunteers
        }
        for one in found
    ]
    write_table(
        folder,
        name=name,
        source="chaos",
        root=".",
        labels=LABELS[modality],
        cases=pd.DataFrame(rows),
        extra={"left_out": left_out},
    )


def _convert(folder: Path, series: _Series) -> str | None:
    """Write one image and its label map; what is wrong if that cannot be done."""
    try:
        scan = read_series(series.slices)
        labels = read_outlines(series.outlines, sorted_slices(series.slices), scan, _GREYS[series.modality])
    except UserError as error:
        return f"case '{series.case}': {error}"
    write_scan(folder / "images" / f"{series.case}.nii.gz", scan)
    write_mask(folder / "labels" / f"{series.case}.nii.gz", labels, scan.affine, scan.codes)
    return None


def read_outlines(
    folder: Path, slices: list[Slice], scan: Scan, greys: dict[int, tuple[int, int]]
) -> NDArray[np.uint8]:
    """Stack PNG outlines in the order in which the slices lie.

    The k-th picture by name belongs to the k-th DICOM file by name, wherever that slice lies: pictures are placed by
    the position of their slice, never by their own order.

    Args:
        folder: of the pictures, one per slice.
        slices: of the series, in ascending order along the normal.
        scan: the series.
        greys: label value → lowest and highest grey level.

    Returns:
        (X, Y, Z) label map on the scan's grid.

    Raises:
        ScanError: if pictures and slices do not match, or a grey level belongs to no label.
    """
    pictures = in_natural_order([path for path in own_entries(folder) if path.suffix.lower() == ".png"])
    if len(pictures) != len(slices):
        value = f"{len(pictures)} PNG pictures for {len(slices)} slices"
        raise ScanError(folder, "outlines and slices differ in number", value, "Unpack the data set again.")
    by_name = in_natural_order([one.file for one in slices])
    _refuse_disorder(folder, by_name, pictures, slices)
    picture_of = dict(zip(by_name, pictures, strict=True))
    labels = np.zeros(scan.array.shape, dtype=np.uint8)
    for z, one in enumerate(slices):
        labels[:, :, z] = _read_picture(picture_of[one.file], scan.array.shape[:2], greys)
    return labels


def _refuse_disorder(folder: Path, by_name: list[Path], pictures: list[Path], slices: list[Slice]) -> None:
    """Names pair surely if they are equal, or if the slices' names at least follow their places up or down."""
    if [file.stem for file in by_name] == [picture.stem for picture in pictures]:
        return
    place = {one.file: one.position_mm for one in slices}
    steps = np.diff([place[file] for file in by_name])
    if not ((steps > 0).all() or (steps < 0).all()):
        value = f"{by_name[0].name} … {by_name[-1].name} jump back and forth"
        cure = "The pairing with the PNG pictures would be a guess: unpack the data set again, names unchanged."
        raise ScanError(folder, "the slices' names do not follow their places", value, cure)


def _read_picture(path: Path, shape: tuple[int, int], greys: dict[int, tuple[int, int]]) -> NDArray[np.uint8]:
    """(X, Y) label values of one picture; a picture's rows run down the image, along Y."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            levels = np.asarray(picture).astype(np.int32).T
    except (OSError, UnidentifiedImageError) as error:
        raise ScanError(path, "the picture cannot be read", str(error), "Unpack the data set again.") from error
    if levels.shape != shape:
        value = f"{'×'.join(map(str, levels.shape))} pixels, the slice has {shape[0]}×{shape[1]}"
        raise ScanError(path, "the outline is not of its slice's size", value, "Unpack the data set again.")
    labels = np.zeros(shape, dtype=np.uint8)
    for number, (low, high) in greys.items():
        labels[(levels >= low) & (levels <= high)] = number
    stray = np.unique(levels[(labels == 0) & (levels != 0)])
    if len(stray):
        value = f"grey {', '.join(map(str, stray[:5]))}"
        raise ScanError(
            path, "grey levels that belong to no organ", value, "Unpack the data set again, without resizing."
        )
    return labels
