"""Can the volumes be trusted? Predicted against reference parenchyma, held against a third of another method's error."""

import numpy as np
import pandas as pd

from crossmod.analyse.scores import CELL, Plan
from crossmod.analyse.stats.errors import DegenerateDataError, IncompleteDesignError
from crossmod.analyse.stats.multiplicity import correct_p
from crossmod.analyse.stats.reliability import Agreement, measure, verdict_of

SHARE_OF_ERROR = 3
ELLIPSOID = "ellipsoid formula (pi/6 x length x width x thickness of the reference mask) on the same reference kidneys"
ERROR_COLUMNS = ["site", "target", "reference_error_ml", "margin_ml", "n_kidneys", "source"]
AGREEMENT = list(Agreement.__dataclass_fields__)
COLUMNS = [
    *("arm", "strategy", "amount", "subset", *CELL, "n_units", "n_patients", "n_seeds", "n_dropped"),
    *AGREEMENT[:-1],
    *("mean_relative_difference_pct", "mean_absolute_relative_difference_pct", "reference_error_ml", "margin_ml"),
    *("reference_error_source", "family", "p_below_margin_corrected", "p_tost_corrected", "verdict", "note", "rows"),
]
FILED = ["arm", "seed", *CELL, "subject", "patient", "case", "side", "volume_reference_ml", "volume_predicted_ml"]


def reference_errors(scores: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """The error to beat, per site and kidney target.

    By default the mean \\|V_ellipsoid - V_reference\\| in ml over all reference kidneys of that site and target, each once
    however many arms scored it. ``margin_ml`` is a third of it; ``n_kidneys`` counts the kidneys, ``source`` says in
    words where it comes from. Overridden by the plan's ``reference_error_ml``, the same for every cell.

    # ASSUME: the paper's "previous method" and its error are unpublished; the ellipsoid formula stands in for it.
    """
    kidneys = scores[scores["unit"] == "kidney"].drop_duplicates(["subject", "target"])
    rows = []
    for (site, target), cell in kidneys.groupby(["site", "target"], observed=True):
        known = cell["ellipsoid_ml"].notna() & (cell["volume_reference_ml"] > 0)
        off = (cell["ellipsoid_ml"] - cell["volume_reference_ml"])[known].abs()
        error_ml, source, count = off.mean(), ELLIPSOID, int(known.sum())
        if plan.reference_error_ml is not None:
            error_ml, source, count = plan.reference_error_ml, plan.reference_error_source, 0
        error_ml = error_ml if error_ml > 0 else np.nan
        rows.append((site, target, error_ml, error_ml / SHARE_OF_ERROR, count, source))
    return pd.DataFrame(rows, columns=ERROR_COLUMNS)


def compare_volumes(
    scores: pd.DataFrame, errors: pd.DataFrame, plan: Plan
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame], pd.DataFrame]:
    """Agreement of volumes per arm, site, kidney target and region.

    Patients are the clusters. Every seed's prediction is a row of its own within its patient: averaging predictions
    first would show smaller differences than any one model has. p-values are Bonferroni-corrected over the cells of one
    arm and region (three sites × with / without tumour = ``family`` of 6); the verdict uses the corrected ones.

    Returns:
        The columns of :class:`crossmod.analyse.Agreement` (ml) with ``n`` rows of ``n_units`` kidneys of ``n_patients``
        patients in ``n_seeds`` seeds, ``n_dropped`` rows without a volume or with an empty reference,
        ``mean_relative_difference_pct`` (signed and absolute), the margin and its source, ``p_*_corrected``, ``note``,
        ``rows`` (the file of the rows tested); these files by name; and the list of the rows left out.
    """
    arms = plan.arm_table().set_index("arm")
    kidneys = scores[scores["unit"] == "kidney"]
    usable = np.isfinite(kidneys["volume_predicted_ml"]) & (kidneys["volume_reference_ml"] > 0)
    margins = errors.set_index(["site", "target"])
    rows, files = [], {}
    for (arm, site, target, region), cell in kidneys.groupby(["arm", *CELL], observed=True):
        labels = {"arm": arm, **arms.loc[arm].to_dict(), "site": site, "target": target, "region": region}
        kept = cell[usable.loc[cell.index]]
        name = f"rows/volumes/{arm}.{site}.{target}.{region}.csv"
        files[name] = kept[FILED]
        error = margins.loc[(site, target)]
        found = {
            **{"n": len(kept), "n_units": kept["subject"].nunique(), "n_patients": kept["person"].nunique()},
            **{"n_seeds": cell["seed"].nunique(), "n_dropped": len(cell) - len(kept), "note": ""},
            **{"reference_error_ml": error["reference_error_ml"], "margin_ml": error["margin_ml"]},
            "reference_error_source": error["source"],
            "mean_relative_difference_pct": kept["relative_difference_pct"].mean(),
            "mean_absolute_relative_difference_pct": kept["relative_difference_pct"].abs().mean(),
        }
        rows.append(labels | found | {"rows": name} | _agreement(kept, error["margin_ml"], plan))
    result = pd.DataFrame(rows, columns=COLUMNS)
    return _corrected(result, plan), files, _left_out(kidneys[~usable])


def _agreement(kept: pd.DataFrame, margin_ml: float, plan: Plan) -> dict:
    margin = None if np.isnan(margin_ml) else float(margin_ml)
    reference, predicted = kept["volume_reference_ml"], kept["volume_predicted_ml"]
    try:
        found = measure(reference, predicted, kept["person"], margin, plan.confidence, plan.alpha)
    except (DegenerateDataError, IncompleteDesignError) as error:
        return {"note": str(error)}
    note = "no margin: the reference error is unknown or zero" if margin is None else ""
    return vars(found) | {"note": note}


def _corrected(table: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    for _, family in table.groupby(["arm", "region"], observed=True, sort=False):
        for name in ("p_below_margin", "p_tost"):
            table.loc[family.index, f"{name}_corrected"] = correct_p(family[name].astype(float), "bonferroni")
        table.loc[family.index, "family"] = int(family["p_tost"].notna().sum())
    pairs = zip(table["p_below_margin_corrected"], table["p_tost_corrected"], strict=True)
    table["verdict"] = ["" if np.isnan(tost) else verdict_of(below, tost, plan.alpha) for below, tost in pairs]
    return table


def _left_out(rows: pd.DataFrame) -> pd.DataFrame:
    empty = ~(rows["volume_reference_ml"] > 0)
    return rows[["site", "target", "region", "arm", "subject", "patient"]].assign(
        test="volumes",
        missing="seed " + rows["seed"].astype(str),
        reason=np.where(empty, "reference empty", "volume not measured"),
    )
