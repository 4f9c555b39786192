"""Volumes, places and attenuation of simulated organs beside published ones and those of real scans."""

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from scipy import ndimage

from crossmod.job import UserError
from crossmod.phantom import Population, Recipe, draw_recipe, simulate
from crossmod.phantom.tissue import ORGANS
from crossmod.scans.files import read_scan

GERAGHTY = "Geraghty et al., Abdom Imaging 2004;29:482"
ICRP = "ICRP Publication 89 (2002), mass over density"
FOLDER = "btcv_3mm"
# Label values of the real scans (BTCV). Kidneys are compared elsewhere.
REAL = {
    1: "spleen",
    4: "gallbladder",
    5: "oesophagus",
    6: "liver",
    7: "stomach",
    8: "aorta",
    9: "inferior_vena_cava",
    10: "portal_and_splenic_vein",
    11: "pancreas",
    12: "right_adrenal_gland",
    13: "left_adrenal_gland",
}
SEED = 30_000  # of the first simulated patient, far from those of a study's cohorts
# The field of view of the simulated scans: from the iliac wings to the middle of the heart's own height and above.
TALL = Recipe(spacing_mm=(3.0, 3.0, 3.0), field_of_view_mm=(420.0, 330.0, 390.0), position_sd_mm=0.0)
# Values of the right and the left kidney.
KIDNEYS = {"real": (2, 3), "simulated": (1, 2)}
MEASURES = ["volume_ml", "right_mm", "front_mm", "up_mm", "hu"]
COLUMNS = ["organ", "origin", "subject", *MEASURES]


@dataclass(frozen=True)
class Published:
    """The mean volume of an organ in adults, its standard deviation where the source gives one, and the source."""

    mean_ml: float
    sd_ml: float | None
    source: str


# Where men and women are given apart, the mean is that of 60 % men, as simulated. Masses became volumes at 1.02
# (adrenal) to 1.06 (heart) g/ml.
# ASSUME: an adrenal gland holds 4.8 ml: the smallest mean of the four is 4.4 ml there, 6.9 ml by mass.
# ASSUME: a fasting gallbladder holds 30 ml (15 to 50 on ultrasound); 61 ml by mass.
# ASSUME: small bowel is what the source gives for all of it less 75 ml of duodenum. Gas of stomach and bowel has no
# mass, and so no part in these.
PUBLISHED = {
    "spleen": Published(198.0, 88.0, "Caglar et al., Folia Morphol 2014, doi 10.5603/FM.2014.0038"),
    "gallbladder": Published(30.0, None, "assumed"),
    "liver": Published(1590.0, None, GERAGHTY),
    "stomach": Published(373.0, None, ICRP),
    "pancreas": Published(78.0, None, GERAGHTY),
    "right_adrenal_gland": Published(4.8, None, "assumed"),
    "left_adrenal_gland": Published(4.8, None, "assumed"),
    "heart": Published(710.0, None, ICRP),
    "small_bowel": Published(840.0, None, ICRP),
    "duodenum": Published(75.0, None, "assumed"),
    "colon": Published(648.0, None, ICRP),
}


def simulated_organs(patients: int = 20, recipe: Recipe = TALL) -> pd.DataFrame:
    """Organs of simulated patients without a tumour, one row each; no row for an organ that a patient lacks.

    Their CT are portal venous ones.

    Returns:
        organ, origin, subject, volume_ml, the way from the middle between the kidneys' centres to the organ's centre
        (right_mm, front_mm, up_mm), and its median attenuation (hu).

    Raises:
        UserError: if fewer than one patient is asked for.
    """
    if patients < 1:
        raise UserError(f"patients = {patients}: must be 1 or more")
    rows: list[tuple] = []
    for seed in range(SEED, SEED + patients):
        contrast = draw_recipe("ct-portal-venous", np.random.default_rng([seed, 1])).ct
        patient = simulate(seed, recipe.model_copy(update={"ct": contrast}), Population(tumour=0.0, organs=True))
        rows += _rows("simulated", f"simulated {seed}", ORGANS, patient.labels, patient.affine, patient.image)
    return _table(rows)


def real_organs(data: str | Path) -> pd.DataFrame:
    """Organs drawn in the real CT scans, as `simulated_organs`; empty where there are none.

    Where a scan lacks its picture, attenuation is NaN; where it lacks a kidney, places are.
    """
    rows: list[tuple] = []
    for path in sorted((Path(data) / FOLDER).glob("label_*.nii.gz")):
        scan, picture = read_scan(path), path.with_name(path.name.replace("label", "ct"))
        image = read_scan(picture).array if picture.exists() else None
        labels = scan.array.astype(np.uint8)
        rows += _rows("real", path.name.split(".")[0], REAL, labels, scan.affine, image)
    return _table(rows)


def _rows(
    origin: str, subject: str, names: dict[int, str], labels: np.ndarray, affine: np.ndarray, image: np.ndarray | None
) -> list[tuple]:
    """One row per organ that a label map shows."""
    voxel_ml = abs(np.linalg.det(affine[:3, :3])) / 1000.0
    counts = np.bincount(labels.ravel(), minlength=max(names) + 1)
    found = [value for value in names if counts[value]]
    pair = [value for value in KIDNEYS[origin] if counts[value]]
    there = nib.affines.apply_affine(affine, ndimage.center_of_mass(labels > 0, labels, [*pair, *found]))
    middle = there[:2].mean(axis=0) if len(pair) == 2 else np.full(3, np.nan)
    away = there[len(pair) :] - middle
    hu = np.full(len(found), np.nan) if image is None else ndimage.median(image, labels, found)
    return [
        (names[value], origin, subject, counts[value] * voxel_ml, *place, level)
        for value, place, level in zip(found, away, hu, strict=True)
    ]


def _table(rows: list[tuple]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(MEASURES, float))


def organ_places(table: pd.DataFrame) -> pd.DataFrame:
    """Where organs lie and how dense they are, one row per organ that was drawn in a real scan.

    Args:
        table: tables of the functions above, stacked.

    Returns:
        For `simulated` and `real`: medians of right_mm, front_mm, up_mm and hu, with hu_low and hu_high, the least and
        the greatest patient's.
    """
    sides = {}
    organs = [organ for organ in ORGANS.values() if organ in REAL.values()]
    for origin in ("simulated", "real"):
        cell = table[table["origin"] == origin].groupby("organ")
        side = cell[MEASURES[1:]].median()
        side["hu_low"], side["hu_high"] = cell["hu"].min(), cell["hu"].max()
        sides[origin] = side.reindex(organs)
    return pd.concat(sides, axis=1)


def organ_volumes(table: pd.DataFrame) -> pd.DataFrame:
    """Simulated beside published and real volumes, one row per organ, from the tables of the functions above, stacked.

    Returns:
        published_ml and published_sd_ml, simulated_n, simulated_ml (the median) and simulated_sd_ml, real_n, real_ml
        (the median), ``ratio`` of the simulated median to the published mean, ``real_ratio`` to the real median, and
        the source. What is not known is NaN.
    """
    rows = []
    for organ in ORGANS.values():
        cell = table[table["organ"] == organ]
        values = {origin: cell.loc[cell["origin"] == origin, "volume_ml"] for origin in ("simulated", "real")}
        known = PUBLISHED.get(organ, Published(np.nan, None, ""))
        median = {origin: found.median() for origin, found in values.items()}
        rows.append(
            {
                "organ": organ,
                "published_ml": known.mean_ml,
                "published_sd_ml": np.nan if known.sd_ml is None else known.sd_ml,
                "simulated_n": len(values["simulated"]),
                "simulated_ml": median["simulated"],
                "simulated_sd_ml": values["simulated"].std(),
                "real_n": len(values["real"]),
                "real_ml": median["real"],
                "ratio": median["simulated"] / known.mean_ml,
                "real_ratio": median["simulated"] / median["real"],
                "source": known.source,
            }
        )
    return pd.DataFrame(rows).set_index("organ")
