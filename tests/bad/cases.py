"""A user's own cohort gone wrong: label maps that do not say what they should, and tables of cases."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bad.base import Good, nifti

LABELS = {1: "right_parenchyma", 2: "left_parenchyma", 3: "right_sinus", 4: "left_sinus"}
HEADER = "case,patient,modality,image,label"


@dataclass(frozen=True)
class BadCase:
    """A label map of a right CT, and what its values are said to mean."""

    name: str
    make: Callable[[Path, Good], Path]
    labels: dict[int, str] | None = None


def all_labels() -> list[BadCase]:
    """Every bad label map, by name."""
    maps = [*_values(), *_places(), *_meanings()]
    assert len({one.name for one in maps}) == len(maps)
    return maps


def _written(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path, Good], Path]:
    return lambda folder, scan: nifti(folder / "label.nii.gz", change(scan.labels), scan.affine)


def _values() -> Iterator[BadCase]:
    def one(value: float, dtype: type) -> Callable[[np.ndarray], np.ndarray]:
        def change(labels: np.ndarray) -> np.ndarray:
            labels = labels.astype(dtype)
            labels[0, 0, 0] = value
            return labels

        return change

    for value, dtype in (
        (2**32 + 1, np.int64),
        (2**33, np.float64),
        (2**62, np.int64),
        (-1, np.int16),
        (0.5, np.float32),
    ):
        yield BadCase(f"value-{value}", _written(one(value, dtype)))
    for value in (np.nan, np.inf):
        yield BadCase(f"value-{value}", _written(one(value, np.float32)))
    yield BadCase("value-without-a-name", _written(one(9, np.uint8)))
    yield BadCase("empty", _written(np.zeros_like))
    yield BadCase("probability", _written(lambda a: (a > 0).astype(np.float32) * 0.7))
    yield BadCase("the-image-itself", lambda folder, scan: nifti(folder / "label.nii.gz", scan.array, scan.affine))
    yield BadCase("whole-field", _written(np.ones_like))
    yield BadCase("one-voxel", _written(_speck))


def _speck(labels: np.ndarray) -> np.ndarray:
    speck = np.zeros_like(labels)
    speck[tuple(n // 2 for n in labels.shape)] = 1
    return speck


def _places() -> Iterator[BadCase]:
    def placed(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path, Good], Path]:
        return lambda folder, scan: nifti(folder / "label.nii.gz", scan.labels, change(scan.affine.copy()))

    def moved(axis: int, mm: float) -> Callable[[np.ndarray], np.ndarray]:
        def change(affine: np.ndarray) -> np.ndarray:
            affine[axis, 3] += mm
            return affine

        return change

    for axis in range(3):
        yield BadCase(f"moved-{axis}", placed(moved(axis, 150.0)))
        yield BadCase(
            f"scaled-{axis}", placed(lambda a, k=axis: a @ np.diag([1.5 if i == k else 1.0 for i in range(4)]))
        )
    yield BadCase("header-mirrored", placed(lambda a: np.diag([-1.0, 1, 1, 1]) @ a + _about(a)))
    yield BadCase("voxels-mirrored", _written(lambda a: a[::-1].copy()))
    yield BadCase(
        "another-shape", lambda folder, scan: nifti(folder / "label.nii.gz", scan.labels[:, :, ::6].copy(), scan.affine)
    )


def _about(affine: np.ndarray, n: int = 100) -> np.ndarray:
    """What keeps a mirrored field of view of ``n`` voxels where it was."""
    shift = np.zeros((4, 4))
    shift[0, 3] = 2 * affine[0, 3] + affine[0, 0] * (n - 1)
    return shift


def _meanings() -> Iterator[BadCase]:
    def swapped(labels: np.ndarray) -> np.ndarray:
        return np.array([0, 2, 1, 4, 3], labels.dtype)[labels]

    def left_only(labels: np.ndarray) -> np.ndarray:
        return (labels == 2).astype(np.uint8)

    right_left = {1: "right_kidney", 2: "left_kidney", 3: "other", 4: "other"}
    yield BadCase("values-swapped", _written(swapped))
    yield BadCase("kidneys-swapped", _written(swapped), right_left)
    yield BadCase("left-called-right", _written(left_only), {1: "right_kidney"})
    yield BadCase("names-swapped", _written(lambda a: a), {1: "left_kidney", 2: "right_kidney", 3: "other", 4: "other"})
    yield BadCase("sinus-called-kidney", _written(lambda a: (a == 3).astype(np.uint8)), {1: "right_kidney"})
    yield BadCase("liver-on-the-left", _written(left_only), {1: "liver"})
    yield BadCase(
        "body-called-kidney",
        lambda f, s: nifti(f / "label.nii.gz", (s.array > -300).astype(np.uint8), s.affine),
        {1: "kidney"},
    )
    yield BadCase(
        "label-zero", _written(lambda a: a), {0: "kidney", 1: "kidney", 2: "kidney", 3: "kidney", 4: "kidney"}
    )
    yield BadCase("no-such-structure", _written(lambda a: a), {1: "nieren", 2: "kidney", 3: "kidney", 4: "kidney"})


@dataclass(frozen=True)
class BadCohort:
    """A table of cases; ``{image}`` and ``{label}`` stand for good files."""

    name: str
    table: bytes


def all_cohorts() -> list[BadCohort]:
    """Every bad table of cases, by name."""
    tables = [*_rows(), *_files()]
    assert len({table.name for table in tables}) == len(tables)
    return tables


def _rows() -> Iterator[BadCohort]:
    def row(name: str, line: str, header: str = HEADER) -> BadCohort:
        return BadCohort(name, f"{header}\n{line}\n".encode())

    yield row("modality-PET", "a,1,PET,{image},{label}")
    yield row("modality-empty", "a,1,,{image},{label}")
    yield row("patient-empty", "a,,CT,{image},{label}")
    yield row("case-empty", ",1,CT,{image},{label}")
    yield row("image-empty", "a,1,CT,,{label}")
    yield row("one-name-for-two", "a,1,CT,{image},{label}\na,2,CT,{image},{label}")
    yield row("one-scan-of-two", "a,1,CT,{image},{label}\nb,2,CT,{image},{label}")
    yield row("mean-row", "a,1,CT,{image},{label}\nmean,,,,")
    for number, path in enumerate(
        (
            "../x.nii.gz",
            "/etc/hostname",
            "~/x.nii.gz",
            "a\\b.nii.gz",
            "x" * 5000 + ".nii.gz",
            "none.nii.gz",
            "C:\\x.nii.gz",
            "a/../../x.nii.gz",
            ".",
            "loop.nii.gz",
            "out.nii.gz",
        )
    ):
        yield row(f"image-path-{number}", f"a,1,CT,{path},{{label}}")
        yield row(f"label-path-{number}", f"a,1,CT,{{image}},{path}")
    for number, case in enumerate(
        ("a/b", "..", "[red]", "a b", "ä", "=1", "x" * 400, "a\tb", "%s", "{}", "$HOME", ".hidden/..")
    ):
        yield row(f"case-name-{number}", f"{case},1,CT,{{image}},{{label}}")
    for number, age in enumerate(("130", "-1", "old", "3M", "inf", "1e3")):
        yield row(f"age-{number}", f"a,1,CT,{{image}},{{label}},{age}", HEADER + ",age")
    for number, side in enumerate(("rechts", "x", "left right")):
        yield row(f"side-{number}", f"a,1,CT,{{image}},{{label}},{side}", HEADER + ",tumour_side")
    for column in HEADER.split(","):
        kept = [name for name in HEADER.split(",") if name != column]
        values = {"case": "a", "patient": "1", "modality": "CT", "image": "{image}", "label": "{label}"}
        yield row(f"without-{column}", ",".join(values[name] for name in kept), ",".join(kept))
        yield row(f"{column}-twice", f"a,1,CT,{{image}},{{label}},{values[column]}", f"{HEADER},{column}")
    yield row("a-cell-too-many", "a,1,CT,{image},{label},7")
    yield row("a-cell-too-few", "a,1,CT")


def _files() -> Iterator[BadCohort]:
    yield BadCohort("empty-file", b"")
    yield BadCohort("header-only", HEADER.encode() + b"\n")
    yield BadCohort("zip", b"PK\x03\x04" + bytes(2000))
    yield BadCohort("zeros", bytes(3000))
    yield BadCohort("nul", HEADER.encode() + b"\na\x00,1,CT,{image},{label}\n")
    yield BadCohort("html", b"<html></html>")
    yield BadCohort("random", np.random.default_rng(1).bytes(3000))
