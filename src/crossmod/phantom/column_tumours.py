"""Tumours of a spine in detail: metastases and haemangiomas of vertebrae, and tumours within the dura."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossmod.phantom.canal import Canal, Shift, middle_at
from crossmod.phantom.liver_lesions import Ball, draw_ball, draw_stretch
from crossmod.phantom.sagittal import Sagittal, value_of
from crossmod.phantom.spine_patients import MOBILE, SpinePatients
from crossmod.phantom.tissue import Tissue, table
from crossmod.phantom.vertebrae import Column, Vertebra

# ASSUME: half of the patients with metastases have several in one field of view, up to five.
_COUNTS = (0.5, 0.22, 0.14, 0.09, 0.05)
# ASSUME: two in three metastases begin in the back of the body, beside a pedicle, and some reach the arch.
_TISSUES = {
    "metastasis": Tissue.BONE_METASTASIS,
    "haemangioma": Tissue.HAEMANGIOMA,
    "schwannoma": Tissue.SCHWANNOMA,
    "meningioma": Tissue.MENINGIOMA,
    "ependymoma": Tissue.EPENDYMOMA,
}
# Length along the canal, mm: median, spread (log), least, most.
# ASSUME: as surgical series report them: schwannomas 10 to 40, meningiomas 10 to 30, ependymomas 15 to 60 mm.
_LENGTHS_MM = {"schwannoma": (19.0, 0.4, 9.0, 45.0), "meningioma": (17.0, 0.3, 9.0, 32.0)}
_LENGTHS_MM |= {"ependymoma": (30.0, 0.4, 14.0, 65.0)}
_DUMBBELL_SHARE = 0.2  # ASSUME: of schwannomas, that leave through a foramen
_EASE_MM = 22.0
_BONE = (
    Tissue.BONE_CORTEX,
    Tissue.MARROW_RED,
    Tissue.MARROW_MIXED,
    Tissue.MARROW_FATTY,
    Tissue.VENOUS_PLEXUS,
    Tissue.CARTILAGE,
    Tissue.HAEMANGIOMA,
)
_EPIDURAL = (Tissue.VISCERAL_FAT, Tissue.CSF, Tissue.LIGAMENT)
_BESIDE = (Tissue.VISCERAL_FAT, Tissue.MUSCLE, Tissue.LIGAMENT, Tissue.CORD)


@dataclass(frozen=True)
class ColumnTumour:
    """A tumour of a vertebra or, without one, of the canal.

    Attributes:
        kind: one of metastasis, haemangioma, schwannoma, meningioma, ependymoma.
        level: of the vertebra; of those within the dura the nearest one.
        ball: its shape, centred in the body.
        place: its centre in the coordinates of the vertebra (x, u, v) or of the canal (x, d, height).
        epidural, paravertebral: whether it leaves the bone there.
        shift: how the cord gives way.
        foramen: whether it leaves through the foramen too.
    """

    kind: str
    level: str
    ball: Ball
    place: tuple[float, float, float]
    epidural: bool = False
    paravertebral: bool = False
    shift: Shift | None = None
    foramen: bool = False

    @property
    def structure(self) -> str:
        """What its label is called."""
        return "haemangioma" if self.kind == "haemangioma" else "spinal_tumour"


def draw_column_tumours(rng: np.random.Generator, column: Column, who: SpinePatients) -> tuple[ColumnTumour, ...]:
    """Draw the tumours of a patient: of vertebrae, or one within the dura; and haemangiomas."""
    names = MOBILE[MOBILE.index(who.levels[0]) : MOBILE.index(who.levels[1]) + 1]
    found: list[ColumnTumour] = []
    if rng.random() < who.haemangiomas:
        found.append(_haemangioma(rng, column, str(rng.choice(names))))
    fate = rng.random()
    if fate < who.metastases:
        count = min(len(names), int(rng.choice(len(_COUNTS), p=_COUNTS)) + 1)
        chosen = sorted(rng.choice(len(names), size=count, replace=False).tolist())
        found += [_metastasis(rng, column.vertebra(names[i]), column, who) for i in chosen]
    elif fate < who.metastases + who.intradural:
        found.append(_intradural(rng, column, names, who))
    return tuple(found)


def _body_point(column: Column, one: Vertebra, place: tuple[float, float, float]) -> np.ndarray:
    y, z = one.at(place[1], place[2])
    return np.array([place[0] + float(column.aside_mm(np.array(z))), y, z])


def _haemangioma(rng: np.random.Generator, column: Column, level: str) -> ColumnTumour:
    """ASSUME: 7 to 18 mm wide, within the body."""
    one, radius = column.vertebra(level), float(rng.uniform(3.5, 9.0))
    room = max(0.0, one.semi_depth - radius - 2.0)
    place = (
        float(rng.uniform(-0.5, 0.5) * one.width[0]),
        float(rng.uniform(-1, 1) * room),
        float(rng.uniform(-1, 1) * max(0.0, one.height / 2 - radius)),
    )
    ball = draw_ball(rng, _body_point(column, one, place), radius, draw_stretch(rng, 0.1), 0.06)
    return ColumnTumour("haemangioma", level, ball, place)


def _metastasis(rng: np.random.Generator, one: Vertebra, column: Column, who: SpinePatients) -> ColumnTumour:
    epidural, beside = bool(rng.random() < who.epidural), bool(rng.random() < who.paravertebral)
    wide = who.metastasis_mm * np.exp(np.clip(rng.normal(0, who.metastasis_spread), -1.5, 1.2))
    # What leaves the bone is large enough to have reached its wall.
    radius = float(np.clip(wide / 2, 10.0 if epidural or beside else 3.5, 30.0))
    side = float(rng.choice([-1.0, 1.0]))
    across = side * float(rng.uniform(0.55, 0.85) if beside else rng.uniform(0.05, 0.55))
    back = float(rng.uniform(-0.95, -0.6) if epidural else rng.uniform(-0.7, 0.4))
    if epidural and radius < 0.5 * one.semi_depth:
        back = -0.95
    place = (across * one.width[0], back * one.semi_depth, float(rng.uniform(-0.15, 0.15) * one.height))
    ball = draw_ball(rng, _body_point(column, one, place), radius, draw_stretch(rng, 0.12), 0.1)
    return ColumnTumour("metastasis", one.name, ball, place, epidural, beside)


def _intradural(rng: np.random.Generator, column: Column, names: tuple[str, ...], who: SpinePatients) -> ColumnTumour:
    """A tumour along the sac: beside the cord, pressing it aside, or in the middle of it.

    ASSUME: schwannomas and meningiomas lie at the side or behind and fill up to four fifths of the sac's depth;
    ependymomas swell the cord, or fill the sac below it.
    """
    kind = str(
        rng.choice(
            ["schwannoma", "ependymoma", "meningioma"],
            p=[who.schwannomas, who.ependymomas, 1 - who.schwannomas - who.ependymomas],
        )
    )
    ends = [column.vertebra(name).at(0.0, 0.0)[1] for name in (names[-1], names[0])]
    height = float(rng.uniform(*ends))
    median, spread, least, most = _LENGTHS_MM[kind]
    half = float(np.clip(median * np.exp(rng.normal(0, spread)), least, most)) / 2
    point, wide, deep = middle_at(column, height)
    level = min(names, key=lambda name: abs(column.vertebra(name).centre_mm[1] - height))
    if kind == "ependymoma":
        semi = np.array([0.6 * wide, 0.62 * deep, half])
        aside, forward, shift = 0.0, 0.0, Shift(height, half + _EASE_MM, 0.0, 0.0, swollen=0.35)
    else:
        thick = min(float(rng.uniform(0.32, 0.62)) * deep * 0.84, half)
        angle = float(rng.uniform(-np.pi, 0.0) if kind == "meningioma" else rng.uniform(-2.4, -0.7))
        room = 0.84 * deep - thick
        aside, forward = (0.8 * wide - thick) * np.cos(angle), room * np.sin(angle)
        semi = np.array([thick * float(rng.uniform(1.0, 1.4)), thick, half])
        shift = Shift(height, half + _EASE_MM, -np.cos(angle) * 1.6, -np.sin(angle) * 0.8 * thick)
    place = (float(aside), float(forward), height)
    centre = np.array([aside + float(column.aside_mm(np.array(height))), point[0] + forward, height])
    ball = draw_ball(rng, centre, float(np.cbrt(semi.prod())), semi, 0.05)
    foramen = kind == "schwannoma" and bool(rng.random() < _DUMBBELL_SHARE)
    return ColumnTumour(kind, level, ball, place, shift=shift, foramen=foramen)


def paint_column_tumours(
    sagittal: Sagittal, column: Column, canal: Canal | None, tumours: tuple[ColumnTumour, ...]
) -> None:
    """Paint tumours over what they may take: haemangiomas marrow, metastases the bone of their own vertebra and, where
    they leave it, canal, fat and muscle, those within the dura what the sac holds. None takes a disc.
    """
    for one in tumours:
        if one.kind in ("metastasis", "haemangioma"):
            _paint_vertebral(sagittal, column.vertebra(one.level), one)
        elif canal is not None:
            _paint_intradural(sagittal, canal, column, one)


def _paint_vertebral(sagittal: Sagittal, vertebra: Vertebra, one: ColumnTumour) -> None:
    behind = -one.place[1]
    frame = sagittal.frame(vertebra, one.ball.reach_mm + 6.0, behind_mm=behind)
    if frame is None:
        return
    x0, u0, v0 = (np.float32(value) for value in one.place)
    reach = np.float32(one.ball.reach_mm)
    found = frame.within(((frame.u - u0) / reach) ** 2 + ((frame.v - v0) / reach) ** 2, ((frame.x - x0) / reach) ** 2)
    if found is None:
        return
    box, (xs, us, vs) = found
    x, u, v = frame.x[xs, None, None], frame.u[None, us, vs], frame.v[None, us, vs]
    centre = one.ball.centre_mm.astype(np.float32)
    shape = np.broadcast_shapes(x.shape, u.shape)
    xyz = [np.broadcast_to(value + c, shape) for value, c in zip((x - x0, u - u0, v - v0), centre, strict=True)]
    canvas = sagittal.canvas
    mask = one.ball.distance(canvas, box, xyz) < 1
    here = canvas.label[box]
    own = np.isin(here, [value_of("vertebral_body"), value_of("posterior_elements"), value_of("haemangioma")])
    own &= np.abs(v) < vertebra.height * np.where(u > -vertebra.semi_depth, np.float32(0.5), np.float32(0.62))
    if one.kind == "haemangioma":
        # Vertical trabeculae stay: dots in a cross-section.
        spared = (np.sin(x * np.float32(2.2)) + np.sin(u * np.float32(2.2))) > 1.5
        canvas.paint(box, mask & own & ~spared, Tissue.HAEMANGIOMA, table(_BONE[1:4]), value_of("haemangioma"))
        return
    value = value_of("spinal_tumour")
    canvas.paint(box, mask & own, Tissue.BONE_METASTASIS, table(_BONE), value)
    back, inside = u < -vertebra.semi_depth + 1.0, np.abs(x) < vertebra.canal[0]
    if one.epidural:
        # It fills the canal before the cord, not around it.
        before = back & inside & (u > -(vertebra.semi_depth + vertebra.canal[1]))
        free = np.isin(here, [0, value_of("canal")])
        canvas.paint(box, mask & before & free, Tissue.BONE_METASTASIS, table((*_EPIDURAL, Tissue.CORD)), value)
    if one.paravertebral:
        outside = ~(back & inside) & (here == 0)
        canvas.paint(box, mask & outside, Tissue.BONE_METASTASIS, table(_BESIDE), value)


def _paint_intradural(sagittal: Sagittal, canal: Canal, column: Column, one: ColumnTumour) -> None:
    canvas, (x0, d0, z0) = sagittal.canvas, (np.float32(value) for value in one.place)
    value, tissue = value_of("spinal_tumour"), _TISSUES[one.kind]
    near = np.flatnonzero((np.abs(canal.height - z0) < one.ball.reach_mm).any(axis=0))
    if not len(near):
        return
    part = slice(int(near[0]), int(near[-1]) + 1)
    box = (canal.box[0], canal.box[1], slice(canal.box[2].start + part.start, canal.box[2].start + part.stop))
    x, d, height = canal.x[..., part], canal.d[None, :, part], canal.height[None, :, part]
    cx, cy, cz = one.ball.centre_mm.astype(np.float32)
    xyz = [np.broadcast_to(value, x.shape) for value in (x - x0 + cx, d - d0 + cy, height - z0 + cz)]
    mask = one.ball.distance(canvas, box, xyz) < 1
    within = np.isin(canvas.label[box], [value_of("canal"), value_of("cord")])
    canvas.paint(box, mask & within, tissue, label=value)
    if one.foramen:
        vertebra = column.vertebra(one.level)
        side = np.sign(x0) or np.float32(1)
        out = np.float32(vertebra.canal[0] + 5.0)
        low = np.float32(z0)
        ball = ((x - side * out) / 9.0) ** 2 + ((d - 1.0) / 6.0) ** 2 + ((height - low) / 7.0) ** 2 < 1
        canvas.paint(box, ball, tissue, table((Tissue.VISCERAL_FAT, Tissue.CORD, Tissue.VENOUS_PLEXUS)), value)


def tumour_facts(tumours: tuple[ColumnTumour, ...]) -> dict[str, Any]:
    """What is true of a patient's tumours: kind, number, size, how many leave the bone; haemangiomas apart."""
    own = [one for one in tumours if one.structure == "spinal_tumour"]
    kinds = Counter(one.kind for one in own)
    return {
        "spinal_tumour_kind": kinds.most_common(1)[0][0] if kinds else "none",
        "spinal_tumour_count": len(own),
        "spinal_tumour_levels": " ".join(one.level for one in own) or "none",
        "spinal_tumour_largest_mm": round(max((one.ball.diameter_mm for one in own), default=0.0), 1),
        "spinal_tumour_epidural": sum(one.epidural for one in own),
        "spinal_tumour_paravertebral": sum(one.paravertebral for one in own),
        "haemangioma_count": len(tumours) - len(own),
    }
