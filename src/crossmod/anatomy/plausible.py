"""Do the structures of a label map have a size, a side and a field of view that a patient's can have?"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossmod.anatomy.body import Body, centre_of
from crossmod.anatomy.edges import edges_reached
from crossmod.anatomy.kidneys import around, boxes_of
from crossmod.anatomy.structures import OTHERS, RENAL, split_side
from crossmod.scans.box import Box, box_of_all
from crossmod.scans.intensities import Finding
from crossmod.scans.voxels import edges_mm, voxel_mm3

# ASSUME: usual volumes in ml, lowest and highest; a structure outside comes with a warning. Kidneys with their masses:
# 3 of KiTS23's 489 patients have more than 2000 ml in both together; below 30 ml lie dysplastic ones, and tumours
# called kidney. Liver and spleen: from a small child's to a storage disease's.
USUAL_ML = {
    "kidney": (30.0, 2000.0),
    "liver": (300.0, 5000.0),
    "spleen": (20.0, 4000.0),
    "pancreas": (10.0, 400.0),
    "adrenal_gland": (0.3, 100.0),
    "gallbladder": (0.5, 700.0),
    "bladder": (1.0, 2500.0),
    "tumour": (0.0, 5000.0),
    "cyst": (0.0, 5000.0),
}
# ASSUME: no structure of a patient is larger; beyond, the label means something else, or voxels have another size.
MOST_ML = 15_000.0
# ASSUME: organs that lie on one side; they do not in one of ten thousand (situs inversus).
_ON_THE_RIGHT, _ON_THE_LEFT = ("liver", "gallbladder"), ("spleen",)
# ASSUME: centres nearer to one another, or to the middle, than this are on no side: organs of the midline, a fused or a
# transplanted kidney.
_APART_MM = 20.0
_CURE_SIDES = (
    "Swap the values, correct their names, or restore the label's header from the image; a patient whose organs do "
    "lie so (situs inversus, crossed kidneys) must be left out."
)


@dataclass(frozen=True, eq=False)
class Structure:
    """One structure, or the union of a kidney's, in a label map.

    Attributes:
        name: with its side.
        ml: volume.
        x_mm: RAS x of its centre.
        box: where it lies.
    """

    name: str
    ml: float
    x_mm: float
    box: Box


def label_findings(labels: NDArray, names: dict[int, str], affine: NDArray, body: Body | None) -> list[Finding]:
    """What cannot be true of a label map (errors), or is unusual (warnings).

    Args:
        labels: (X, Y, Z) label map.
        names: structure of each value.
        affine: (4, 4) voxel index → RAS+ millimetres.
        body: of the image; None where there is none.
    """
    structures = found_structures(labels, names, affine)
    shape = labels.shape
    return [
        *_names(structures),
        *_sides(structures, body),
        *(one for structure in structures.values() for one in _size(structure, shape, affine)),
        *(one for structure in structures.values() for one in _edges(structure, shape, affine)),
    ]


def found_structures(labels: NDArray, names: dict[int, str], affine: NDArray) -> dict[str, Structure]:
    """Name → structure, for all that have a voxel.

    Values of one name are one structure, and all renal values of a side are its kidney.
    """
    values: dict[str, list[int]] = {}
    for value, name in names.items():
        values.setdefault(name, []).append(value)
    for side in ("right_", "left_", ""):
        renal = {f"{side}{bare}": values[f"{side}{bare}"] for bare in RENAL if f"{side}{bare}" in values}
        # A tumour without a side beside kidneys with sides is no kidney of its own.
        if {f"{side}kidney", f"{side}parenchyma"} & set(renal):
            values[f"{side}kidney"] = [value for held in renal.values() for value in held]
    boxes = _boxes(labels)
    found = {name: _structure(name, labels, held, boxes, affine) for name, held in values.items()}
    return {name: structure for name, structure in found.items() if structure}


def _boxes(labels: NDArray) -> dict[int, Box]:
    """Value → where it lies; of large values, whose list would be long, the whole map."""
    if labels.max() < 4096:
        return {value: box for value, box in enumerate(boxes_of(labels), start=1) if box}
    return dict.fromkeys(np.unique(labels).tolist(), box_of_all(labels.shape))


def _structure(
    name: str, labels: NDArray, values: list[int], boxes: dict[int, Box], affine: NDArray
) -> Structure | None:
    places = [boxes[value] for value in values if value and value in boxes]
    if not places:
        return None
    box = around(places)
    mask = np.isin(labels[box], values)
    centre = centre_of(mask)
    if centre is None:
        return None
    x_mm = affine[0, :3] @ (centre + [part.start for part in box]) + affine[0, 3]
    return Structure(name, np.count_nonzero(mask) * voxel_mm3(edges_mm(affine)) / 1000, float(x_mm), box)


def _names(found: dict[str, Structure]) -> Iterator[Finding]:
    """Names that no study uses: what they label counts as background, which must be meant."""
    strange = [name for name in found if split_side(name)[1] not in (*RENAL, *OTHERS, "other")]
    if strange:
        cure = (
            "Their voxels count as background. If one is a kidney or a part of it, name it "
            f"{', '.join(RENAL)}; else 'other'."
        )
        yield Finding("warning", "structures that no study knows", ", ".join(strange), cure)


def _sides(found: dict[str, Structure], body: Body | None) -> Iterator[Finding]:
    """Errors where something of the right lies left of its counterpart, or of the body's middle."""
    right, left = ({n: s for n, s in found.items() if _lateral(n) == side} for side in ("right", "left"))
    pairs = [(n, "left_" + n.removeprefix("right_")) for n in right if n.startswith("right_")]
    pairs += [(a, b) for a in _ON_THE_RIGHT for b in _ON_THE_LEFT]
    compared = set()
    for a, b in pairs:
        if a in right and b in left:
            compared |= {a, b}
            if right[a].x_mm < left[b].x_mm - _APART_MM / 2:
                value = (
                    f"{a} at x = {right[a].x_mm:.0f} mm, {b} at {left[b].x_mm:.0f} mm; x grows to the patient's right"
                )
                yield Finding("error", f"{a} lies left of {b}", value, _CURE_SIDES)
    middle = _middle_mm(found, body)
    if middle is None:
        return
    for side, structures in (("right", right), ("left", left)):
        for name in sorted(set(structures) - compared):
            beyond = (structures[name].x_mm - middle) * (1 if side == "right" else -1)
            if beyond < -_APART_MM:
                value = f"{-beyond:.0f} mm beyond the body's middle"
                yield Finding("error", f"{name} lies on the other side of the body", value, _CURE_SIDES)


def _lateral(name: str) -> str | None:
    side, bare = split_side(name)
    return side or ("right" if bare in _ON_THE_RIGHT else "left" if bare in _ON_THE_LEFT else None)


def _middle_mm(found: dict[str, Structure], body: Body | None) -> float | None:
    """The midline: of a body that is seen whole, else between the kidneys, where a label map has both."""
    if body is not None and body.whole:
        return body.middle_mm
    if "right_kidney" in found and "left_kidney" in found:
        return (found["right_kidney"].x_mm + found["left_kidney"].x_mm) / 2
    return None


def _size(structure: Structure, shape: tuple[int, ...], affine: NDArray) -> Iterator[Finding]:
    bare = split_side(structure.name)[1]
    low, high = USUAL_ML.get(bare, (0.0, MOST_ML))
    if structure.name == "kidney":
        high *= 2  # both together, where names carry no side
    value, cure = f"{structure.ml:.3g} ml", "Check what this label value means, and the size of the voxels."
    if structure.ml > MOST_ML:
        yield Finding("error", f"{structure.name} is larger than it can be", value, cure)
    elif structure.ml > high:
        yield Finding("warning", f"{structure.name} is unusually large", f"{value}, usually up to {high:.0f}", cure)
    elif structure.ml < low and not edges_reached(structure.box, shape, affine):
        yield Finding("warning", f"{structure.name} is unusually small", f"{value}, usually {low:g} or more", cure)


def _edges(structure: Structure, shape: tuple[int, ...], affine: NDArray) -> Iterator[Finding]:
    """A kidney that reaches the edge of the image is cut: its reference volume is too small."""
    if split_side(structure.name)[1] != "kidney":
        return
    reached = edges_reached(structure.box, shape, affine)
    if reached:
        cure = "Nothing has to be done if the scan ends there; its volume is that of the part in view."
        problem = f"{structure.name} reaches the edge of the image and may be cut"
        yield Finding("warning", problem, f"{', '.join(reached)} edge", cure)
