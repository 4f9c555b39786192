"""Named acquisition protocols: what hospitals vary between scans of one kind, as ranges a recipe is drawn from."""

from typing import Any

import numpy as np

from crossmod.job import UserError
from crossmod.phantom.recipe import Recipe, parse_recipe

# A pair is a range (uniform), a list a choice; any other value is fixed. Keys are those of a recipe, dotted; `plane`,
# `inplane_mm`, `across_mm` (spacing within and across slices), `width_mm`, `depth_mm`, `height_mm` (extent along R, A,
# S) and `middle_mm` (height of the field of view's centre above the kidneys') stand for its geometry.
# ASSUME: ranges of abdominal protocols in use (ACR practice parameters for abdominal CT and MR; ESUR guidelines), with
# voxels no finer than a study at 2 to 4 mm can use.
_CT = {
    "modality": "CT",
    "plane": "axial",
    "inplane_mm": (1.6, 2.6),
    "across_mm": (2.0, 6.0),
    "width_mm": (360.0, 480.0),
    "depth_mm": (300.0, 400.0),
    "height_mm": (150.0, 420.0),
    "middle_mm": (-70.0, 30.0),
    "arms": ["up", "up", "up", "up", "down"],
    "ct.kernel_fwhm_mm": (0.8, 3.0),
    "ct.sharpening": [0.0, 0.0, 0.3, 0.8],
    "ct.noise_hu": (6.0, 28.0),
    "ct.noise_fwhm_mm": (1.2, 5.0),
    "ct.streaks_hu": [0.0, 0.0, 0.0, 15.0, 35.0],
    "ct.table": [True, True, True, False],
    "ct.oral_contrast": 0.25,
}
_MR = {
    "modality": "MR",
    "mr.field_t": [1.5, 3.0],
    "plane": ["axial", "axial", "axial", "axial", "coronal", "sagittal"],
    "inplane_mm": (1.5, 2.5),
    "across_mm": (3.0, 8.0),
    "width_mm": (290.0, 410.0),
    "depth_mm": (210.0, 320.0),
    "height_mm": (170.0, 320.0),
    "middle_mm": (-30.0, 40.0),
    "arms": ["up", "down"],
    "mr.bias": (0.03, 0.25),
    "mr.noise": (0.003, 0.04),
    "mr.psf_fwhm_mm": (1.2, 3.0),
    "mr.truncation": (0.6, 1.0),
    "mr.ghosts": [0.0, 0.0, 0.03, 0.08],
    "mr.breathing_mm": (0.0, 2.5),
    "mr.slice_gain_sd": (0.0, 0.06),
    "mr.relaxation_sd": (0.06, 0.18),
}
_FAST = {"mr.readout": "gradient-echo", "mr.repetition_time_ms": (90.0, 200.0), "mr.flip_deg": (55.0, 85.0)}
_T2 = {"mr.repetition_time_ms": [1300.0, 1600.0, 2000.0, 3000.0, 5000.0], "mr.echo_time_ms": (60.0, 105.0)}
_VOLUME = {
    "mr.readout": "gradient-echo",
    "mr.repetition_time_ms": (3.5, 6.0),
    "mr.echo_time_ms": (1.2, 2.4),
    "mr.flip_deg": (9.0, 13.0),
}
# ASSUME: sagittal protocols of the lumbar spine as in use (ACR-ASNR-SCBT-MR practice parameter for MRI of the adult
# spine): surface coils, partly evened out by the scanner; the thoracic spine is had by `centre_mm: [0, 10, 130]`.
_SPINE = _MR | {
    "plane": "sagittal",
    "inplane_mm": (0.6, 0.7),
    "across_mm": (3.3, 4.6),
    "slice_thickness_mm": (3.0, 4.0),
    "width_mm": (54.0, 70.0),
    "depth_mm": (215.0, 250.0),
    "height_mm": (215.0, 260.0),
    "middle_mm": (-62.0, -30.0),
    "position_sd_mm": 3.0,
    "arms": "down",
    "mr.coil_mm": (100.0, 260.0),
    # ASSUME: the band in front of the spine, which these protocols have, takes most of the signal there, and begins
    # 5 to 45 mm in front of the foremost body: these end between 12 and 31 mm.
    "mr.saturation": (0.6, 0.95),
    "mr.saturation_from_mm": (36.0, 57.0),
    "mr.bias": (0.03, 0.15),
    "mr.noise": (0.003, 0.02),
    "mr.psf_fwhm_mm": (0.7, 1.1),
    "mr.truncation": (0.7, 1.0),
    "mr.ghosts": [0.0, 0.0, 0.02, 0.05],
    "mr.breathing_mm": 0.0,
    "mr.slice_gain_sd": (0.0, 0.04),
    "mr.fat_suppression": 0.0,
}
_SPINE_T1 = _SPINE | {"mr.repetition_time_ms": (450.0, 700.0), "mr.echo_time_ms": (8.0, 14.0)}

PROTOCOLS: dict[str, dict[str, Any]] = {
    "ct-plain": _CT | {"sequence": "plain", "ct.enhancement": (0.0, 0.03), "ct.excretion": 0.0},
    "ct-arterial": _CT | {"sequence": "arterial", "ct.enhancement": (0.7, 1.3), "ct.phase": (0.0, 0.35)},
    "ct-nephrographic": _CT | {"sequence": "nephrographic", "ct.enhancement": (0.6, 1.35), "ct.phase": (0.65, 1.0)},
    # About 70 s after the injection, as scans of the whole abdomen. ASSUME: doses, delays, hearts and kidneys differ so
    # widely that spleens lie from 60 to 190 HU, as in the ten real CT of the upper abdomen (BTCV), and six patients in
    # ten have drunk contrast agent.
    "ct-portal-venous": _CT
    | {
        "sequence": "portal-venous",
        "ct.enhancement": (0.15, 1.45),
        "ct.enhancement_sd": 0.15,
        "ct.uptake_sd": 0.2,
        "ct.phase": (0.3, 0.9),
        "ct.oral_contrast": 0.6,
    },
    "ct-excretory": _CT
    | {"sequence": "excretory", "ct.enhancement": (0.4, 0.8), "ct.phase": 1.0, "ct.excretion": 0.95},
    "mr-fs-t2": _MR | _T2 | {"sequence": "fs-t2", "mr.fat_suppression": (0.84, 0.98), "mr.fat_failure": (0.1, 0.6)},
    "mr-t2": _MR | _T2 | {"sequence": "t2", "mr.fat_suppression": 0.0},
    "mr-t1-in": _MR | _FAST | {"sequence": "t1-in", "echo_time": "in", "mr.fat_suppression": 0.0},
    "mr-t1-opposed": _MR | _FAST | {"sequence": "t1-opposed", "echo_time": "opposed", "mr.fat_suppression": 0.0},
    "mr-gd-t1": _MR
    | {
        "sequence": "gd-t1",
        "mr.readout": "gradient-echo",
        "mr.repetition_time_ms": (3.5, 6.0),
        "mr.echo_time_ms": (1.2, 2.4),
        "mr.flip_deg": (9.0, 15.0),
        "mr.gadolinium": (0.6, 1.3),
        "mr.phase": (0.1, 1.0),
        "mr.fat_suppression": (0.8, 0.97),
    },
    # Quantitative and localising gradient echoes of kidneys: a thin coronal slab of the whole trunk, any echo.
    "mr-coronal-gre": _MR
    | {
        "sequence": "gre",
        "plane": "coronal",
        "mr.readout": "gradient-echo",
        "mr.repetition_time_ms": [8.0, 30.0, 60.0, 100.0, 200.0, 500.0],
        "mr.echo_time_ms": (1.5, 5.5),
        "mr.flip_deg": (8.0, 35.0),
        "mr.bias": (0.05, 0.45),
        "mr.fat_suppression": [0.0, 0.0, 0.7, 0.9],
        "inplane_mm": (1.5, 3.2),
        "across_mm": (4.0, 6.0),
        "width_mm": (360.0, 420.0),
        "depth_mm": (48.0, 110.0),
        "height_mm": (340.0, 420.0),
        "middle_mm": (-50.0, 40.0),
    },
    # ASSUME: at 3 T, where T1 are a fifth longer, TR is up to 900 ms; so the ratio of kidney to fat and of cortex to
    # medulla say of three real people (AFiRM), whose TR did not come with the scans.
    "mr-t1-spin-echo": _MR
    | {
        "sequence": "t1-spin-echo",
        "mr.repetition_time_ms": (400.0, 900.0),
        "mr.echo_time_ms": (8.0, 15.0),
        "mr.fat_suppression": 0.0,
    },
    # TI lies where renal cortex, medulla and spleen are near their nulls, so that kidneys are dark in bright fat.
    "mr-mprage": _MR
    | {
        "sequence": "mprage",
        "mr.readout": "inversion-recovery",
        "mr.repetition_time_ms": (2000.0, 3200.0),
        "mr.inversion_ms": (500.0, 800.0),
        "mr.echo_train": [64, 80, 96],
        "mr.echo_spacing_ms": (4.5, 7.0),
        "mr.echo_time_ms": (2.0, 3.5),
        "mr.flip_deg": (8.0, 12.0),
        "mr.timing_sd": 0.02,
        "mr.fat_suppression": 0.0,
    },
    "mr-vibe": _MR | _VOLUME | {"sequence": "vibe", "mr.fat_suppression": (0.85, 0.97), "mr.fat_failure": (0.1, 0.6)},
    # ASSUME: a Dixon sequence leaves little fat in its water image, and seldom takes the one for the other.
    "mr-dixon-water": _MR
    | _VOLUME
    | {"sequence": "dixon-water", "mr.fat_suppression": (0.95, 1.0), "mr.fat_failure": (0.0, 0.2)},
    "mr-balanced": _MR
    | {
        "sequence": "balanced",
        "mr.readout": "balanced",
        "mr.repetition_time_ms": (3.8, 4.6),
        "mr.flip_deg": (40.0, 70.0),
        "mr.timing_sd": 0.02,
        "mr.fat_suppression": 0.0,
    },
    "mr-haste": _MR
    | {
        "sequence": "haste",
        "mr.readout": "single-shot",
        "mr.repetition_time_ms": [2000.0, 4000.0, 10000.0],
        "mr.echo_time_ms": (70.0, 110.0),
        "mr.echo_train": [48, 56, 64, 72],
        "mr.echo_spacing_ms": (3.5, 5.0),
        "mr.fat_suppression": 0.0,
    },
    "mr-spine-t1": _SPINE_T1 | {"sequence": "t1"},
    "mr-spine-gd-t1": _SPINE_T1 | {"sequence": "gd-t1", "mr.gadolinium": (0.8, 1.2), "mr.phase": 1.0},
    # ASSUME: metastases of the marrow are looked for with fat suppressed, as these practice parameters have it.
    "mr-spine-gd-t1-fs": _SPINE_T1
    | {
        "sequence": "gd-t1-fs",
        "mr.gadolinium": (0.8, 1.2),
        "mr.phase": 1.0,
        "mr.fat_suppression": (0.84, 0.97),
        "mr.fat_failure": (0.1, 0.5),
    },
    "mr-spine-t2": _SPINE
    | {"sequence": "t2", "mr.repetition_time_ms": (2500.0, 4500.0), "mr.echo_time_ms": (85.0, 120.0)},
}

_PLANES = {"axial": ("LPS", "RAS", "LAS"), "coronal": ("LIA", "LSP", "RSA"), "sagittal": ("AIR", "PSL")}
_GEOMETRY = ("plane", "inplane_mm", "across_mm", "width_mm", "depth_mm", "height_mm", "middle_mm", "echo_time")
# Water and fat are in phase first at 4.5 ms and opposed first at 2.25 ms at 1.5 T; at 3 T in half the time.
_ECHOES_MS = {"in": 6.7, "opposed": 3.36}


def draw_recipe(protocol: str, rng: np.random.Generator, fixed: dict[str, Any] | None = None) -> Recipe:
    """Draw the settings of one scan.

    Args:
        protocol: one of `PROTOCOLS`.
        rng: source of chance.
        fixed: recipe keys (nested) that override what the protocol draws.

    Raises:
        UserError: if the protocol is unknown, naming those there are, or a key is wrong.
    """
    if protocol not in PROTOCOLS:
        raise UserError(f"protocol '{protocol}': unknown; there are {', '.join(PROTOCOLS)}")
    drawn = {key: _draw(rng, value) for key, value in PROTOCOLS[protocol].items()}
    settings = _geometry(drawn, rng)
    for key, value in drawn.items():
        if key not in _GEOMETRY:
            *above, last = key.split(".")
            part = settings
            for name in above:
                part = part.setdefault(name, {})
            part[last] = value
    recipe = parse_recipe(_merged(settings, fixed or {}))
    if "echo_time" in drawn:  # in or out of phase at the field there is
        settings["mr"] |= {"echo_time_ms": _ECHOES_MS[drawn["echo_time"]] / recipe.mr.field_t, "timing_sd": 0.02}
        recipe = parse_recipe(_merged(settings, fixed or {}))
    return recipe


def _draw(rng: np.random.Generator, value: Any) -> Any:
    if isinstance(value, tuple):
        return round(float(rng.uniform(*value)), 4)
    return value[int(rng.integers(len(value)))] if isinstance(value, list) else value


def _geometry(drawn: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Native axes, spacing and field of view of a protocol's plane and extents."""
    orientation = str(rng.choice(_PLANES[drawn["plane"]]))
    extent = {"R": drawn["width_mm"], "A": drawn["depth_mm"], "S": drawn["height_mm"]}
    world = {"L": "R", "P": "A", "I": "S"}
    return {
        "orientation": orientation,
        "spacing_mm": [drawn["inplane_mm"], drawn["inplane_mm"], drawn["across_mm"]],
        "field_of_view_mm": [extent[world.get(letter, letter)] for letter in orientation],
        # ASSUME: a coronal slab is centred on the kidneys, which lie beside the vertebral bodies, other fields of view
        # on the trunk.
        "centre_mm": [0.0, 0.0 if drawn["depth_mm"] < 150 else 20.0, drawn["middle_mm"]],
    }


def _merged(settings: dict[str, Any], fixed: dict[str, Any]) -> dict[str, Any]:
    out = dict(settings)
    for key, value in fixed.items():
        inner = out.get(key, {})
        out[key] = _merged(inner, value) if isinstance(value, dict) and isinstance(inner, dict) else value
    return out
