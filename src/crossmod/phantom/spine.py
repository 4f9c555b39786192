"""The spine in detail: a column with its canal and tumours, painted over a trunk that bends as it does."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import ndtri

from crossmod.phantom.arches import paint_arches
from crossmod.phantom.bodies import paint_bodies, paint_discs
from crossmod.phantom.canal import find_canal, paint_bed, paint_sac
from crossmod.phantom.canvas import Canvas, Pose
from crossmod.phantom.column_tumours import ColumnTumour, draw_column_tumours, paint_column_tumours, tumour_facts
from crossmod.phantom.field import Axes, Profile
from crossmod.phantom.sagittal import Sagittal
from crossmod.phantom.spine_patients import MOBILE, SpinePatients
from crossmod.phantom.tissue import Tissue, table
from crossmod.phantom.torso import Person, Torso
from crossmod.phantom.vertebrae import WORN, Column, draw_column

# ASSUME: the great vessels lie this much further forward of the spine than in the trunk without details.
_ROOM_MM = 4.0
# ASSUME: muscles of the back are this much thicker than in the trunk without details, as in the two real patients at
# hand, and the skin over the spine is hollow by half as much.
_BACK_MM = 12.0
# Strands of fat in muscle run along the spine: their field is stretched so much along the height.
_STRETCH = 4.0


@dataclass(frozen=True)
class Spine:
    """A column and its tumours."""

    column: Column
    tumours: tuple[ColumnTumour, ...]

    def bent(self, pose: Pose) -> Pose:
        """The pose of a trunk whose depth follows the column."""
        return pose.bent(Profile(lambda heights: -self.column.forward_mm(heights) - _ROOM_MM))


def broad_back(torso: Torso) -> Torso:
    """The same trunk with thicker muscles of the back."""
    return replace(torso, back=torso.back + _BACK_MM, groove=torso.groove / 2)


def draw_spine(
    rng: np.random.Generator, tumours: np.random.Generator, person: Person, torso: Torso, who: SpinePatients
) -> Spine:
    """Draw the spine of a person; tumours from a stream of their own, so that they change nothing else."""
    column = draw_column(rng, person, torso, who.wear)
    return Spine(column, draw_column_tumours(tumours, column, who))


def paint_back_fat(canvas: Canvas, column: Column) -> None:
    """Turn a share of the muscles behind the spine into strands of fat."""
    x, y, z = canvas.axes
    strands = column.strands.on((x, y, z / _STRETCH)) > ndtri(1 - column.muscle_fat)
    mask = strands & (canvas.xyz[1] < -20.0)
    whole = tuple(slice(0, n) for n in canvas.tissue.shape)
    canvas.paint((whole[0], whole[1], whole[2]), mask, Tissue.VISCERAL_FAT, table((Tissue.MUSCLE,)))


def paint_spine(around: np.ndarray, axes: Axes, pose: Pose, spine: Spine) -> tuple[np.ndarray, np.ndarray]:
    """Paint the spine over the tissues around it, in place.

    Args:
        around: uint8 tissues of the trunk without a spine.
        axes: fine axes of the scan.
        pose: of the body, not bent.
        spine: what is painted.

    Returns:
        Tissues and labels, uint8 of one shape.
    """
    sagittal = Sagittal.of(around, axes, pose, spine.column)
    canal = find_canal(sagittal, spine.column)
    paint_arches(sagittal, spine.column)
    if canal is not None:
        paint_bed(sagittal, canal, spine.column)
    paint_discs(sagittal, spine.column)
    paint_bodies(sagittal, spine.column)
    if canal is not None:
        shifts = tuple(one.shift for one in spine.tumours if one.shift is not None)
        paint_sac(sagittal, canal, spine.column, shifts)
    paint_column_tumours(sagittal, spine.column, canal, spine.tumours)
    return sagittal.canvas.tissue, sagittal.canvas.label


def spine_facts(spine: Spine, shown: set[str]) -> dict[str, Any]:
    """What is true of a patient's spine; a tumour is none of this case's where no label shows it."""
    tumours = tuple(one for one in spine.tumours if one.structure in shown)
    discs = [disc for disc in spine.column.discs if disc.name in MOBILE]
    return {
        "lordosis_deg": spine.column.lordosis_deg,
        "kyphosis_deg": spine.column.kyphosis_deg,
        "worn_discs": sum(disc.grade in WORN for disc in discs),
        **tumour_facts(tumours),
    }
