"""Can the volumes be trusted? Predicted against reference volumes, held against a third of another method's error."""

import numpy as np
import pandas as pd

from crossmod.analyse.declared import CELL
from crossmod.analyse.design import Design
from crossmod.analyse.scores import cells_of
from crossmod.analyse.stats.errors import DegenerateDataError, IncompleteDesignError
from crossmod.analyse.stats.multiplicity import correct_p
from crossmod.analyse.stats.reliability import Agreement, measure, verdict_of

SHARE_OF_ERROR = 3
ELLIPSOID = "ellipsoid formula (pi/6 x length x width x thickness of the reference mask) on the same reference {}s"
UNKNOWN = "none: ellipsoid_ml is no metric of the study, and reference_error_ml is not given"
AGREEMENT = list(Agreement.__dataclass_fields__)
# Columns after the arm, its levels and the cell.
NUMBERS = [
    "n_units",
    "n_patients",
    "n_seeds",
    "n_dropped",
    *AGREEMENT[:-1],
    "mean_relative_difference_pct",
    "mean_absolute_relative_difference_pct",
    "reference_error_ml",
    "margin_ml",
    "reference_error_source",
    "family",
    "p_below_margin_corrected",
    "p_tost_corrected",
    "verdict",
    "note",
    "rows",
]
UNIT = ["subject", "patient", "case", "side"]
FILED = ["volume_reference_ml", "volume_predicted_ml"]


def error_columns(design: Design) -> list[str]:
    """Columns of the table of reference errors; the units are counted under their name where all have one."""
    count = f"n_{design.measured[0]}s" if len(design.measured) == 1 else "n_units"
    return ["site", "target", "reference_error_ml", "margin_ml", count, "source"]


def measured_units(scores: pd.DataFrame, design: Design) -> pd.DataFrame:
    """The rows of units whose volume is asked for: sides and components.

    # ASSUME: an image may hold several organs and what else belongs to its target, and a plane or tile is a piece of an
    # organ: a doctor reads the volume of none of them.
    """
    return scores[scores["unit"].isin(design.measured)]


def reference_errors(scores: pd.DataFrame, design: Design) -> pd.DataFrame:
    """The error to beat, per site and target whose units are sides or components.

    By default the mean \\|V_ellipsoid - V_reference\\| in ml over all reference units of that site and target, each
    once however many arms scored it. ``margin_ml`` is a third of it; ``n_{unit}s`` (e.g. ``n_kidneys``; ``n_units``
    where several units are measured) counts them; ``source`` says in words where the error comes from. The design's
    ``reference_error_ml`` replaces it in every cell. Without that and without the metric ``ellipsoid_ml`` the error is
    unknown (NaN).

    # ASSUME: the paper's "previous method" and its error are unpublished; the ellipsoid formula stands in for it.
    """
    units = measured_units(scores, design).drop_duplicates(["subject", "target"])
    rows = []
    for (site, target), cell in cells_of(units, ["site", "target"]):
        error_ml, source, count = _error_of(cell, design)
        error_ml = error_ml if error_ml > 0 else np.nan
        rows.append((site, target, error_ml, error_ml / SHARE_OF_ERROR, count, source))
    return pd.DataFrame(rows, columns=error_columns(design))


def _error_of(cell: pd.DataFrame, design: Design) -> tuple[float, str | None, int]:
    """The error to beat in ml, its source in words, and over how many units it was measured here."""
    if design.reference_error_ml is not None:
        return design.reference_error_ml, design.reference_error_source, 0
    return _ellipsoid_error(cell) if "ellipsoid_ml" in design.metrics else (np.nan, UNKNOWN, 0)


def _ellipsoid_error(cell: pd.DataFrame) -> tuple[float, str, int]:
    """Mean error of the ellipsoid formula in ml, its source in words, and over how many units."""
    known = cell["ellipsoid_ml"].notna() & (cell["volume_reference_ml"] > 0)
    off = (cell["ellipsoid_ml"] - cell["volume_reference_ml"])[known].abs()
    return off.mean(), ELLIPSOID.format(cell["unit"].iloc[0]), int(known.sum())


def compare_volumes(
    scores: pd.DataFrame, errors: pd.DataFrame, design: Design
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame], pd.DataFrame]:
    """Agreement of volumes per arm, site, target whose units are sides or components, and region.

    Patients are the clusters. Every seed's prediction is a row of its own within its patient: averaging predictions
    first would show smaller differences than any one model has. p-values are Bonferroni-corrected over the cells of one
    arm and region (``family``: three sites × two targets are 6); the verdict uses the corrected ones.

    Returns:
        The columns of :class:`crossmod.analyse.Agreement` (ml) with ``n`` rows of ``n_units`` units of ``n_patients``
        patients in ``n_seeds`` seeds, ``n_dropped`` rows without a volume or with an empty reference,
        ``mean_relative_difference_pct`` (signed and absolute), the margin and its source, ``p_*_corrected``, ``note``,
        ``rows`` (the file of the rows tested); these files by name; and the list of the rows left out.
    """
    arms = design.arm_table().set_index("arm")
    units = measured_units(scores, design)
    filed = ["arm", "seed", *CELL, *UNIT, *(["part"] if "part" in scores else []), *FILED]
    usable = np.isfinite(units["volume_predicted_ml"]) & (units["volume_reference_ml"] > 0)
    margins = errors.set_index(["site", "target"])
    rows, files = [], {}
    for (arm, site, target, region), cell in cells_of(units, ["arm", *CELL]):
        labels = {"arm": arm, **arms.loc[arm].to_dict(), **dict(zip(CELL, (site, target, region), strict=True))}
        kept = cell[usable.loc[cell.index]]
        name = f"rows/volumes/{arm}.{site}.{target}.{region}.csv"
        files[name] = kept[filed]
        error = margins.loc[(site, target)]
        found = {
            "n": len(kept),
            "n_units": kept["subject"].nunique(),
            "n_patients": kept["person"].nunique(),
            "n_seeds": cell["seed"].nunique(),
            "n_dropped": len(cell) - len(kept),
            "note": "",
            "reference_error_ml": error["reference_error_ml"],
            "margin_ml": error["margin_ml"],
            "reference_error_source": error["source"],
            "mean_relative_difference_pct": kept["relative_difference_pct"].mean(),
            "mean_absolute_relative_difference_pct": kept["relative_difference_pct"].abs().mean(),
        }
        rows.append(labels | found | {"rows": name} | _agreement(kept, error["margin_ml"], design))
    result = pd.DataFrame(rows, columns=["arm", *design.factors.names, *CELL, *NUMBERS])
    return _corrected(result, design), files, _left_out(units[~usable])


def _agreement(kept: pd.DataFrame, margin_ml: float, design: Design) -> dict:
    margin = None if np.isnan(margin_ml) else float(margin_ml)
    reference, predicted = kept["volume_reference_ml"], kept["volume_predicted_ml"]
    try:
        found = measure(reference, predicted, kept["person"], margin, design.confidence, design.alpha)
    except (DegenerateDataError, IncompleteDesignError) as error:
        return {"note": str(error)}
    note = "no margin: the reference error is unknown or zero" if margin is None else ""
    return vars(found) | {"note": note}


def _corrected(table: pd.DataFrame, design: Design) -> pd.DataFrame:
    for _, family in table.groupby(["arm", "region"], observed=True, sort=False):
        for name in ("p_below_margin", "p_tost"):
            table.loc[family.index, f"{name}_corrected"] = correct_p(family[name].astype(float), "bonferroni")
        table.loc[family.index, "family"] = int(family["p_tost"].notna().sum())
    pairs = zip(table["p_below_margin_corrected"], table["p_tost_corrected"], strict=True)
    table["verdict"] = ["" if np.isnan(tost) else verdict_of(below, tost, design.alpha) for below, tost in pairs]
    return table


def _left_out(rows: pd.DataFrame) -> pd.DataFrame:
    empty = ~(rows["volume_reference_ml"] > 0)
    return rows[["site", "target", "region", "arm", "subject", "patient"]].assign(
        test="volumes",
        missing="seed " + rows["seed"].astype(str),
        reason=np.where(empty, "reference empty", "volume not measured"),
    )
