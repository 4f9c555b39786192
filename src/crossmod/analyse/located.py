"""How often a lesion was found in its place, by arm: rates with their intervals, beside the tests between arms."""

import pandas as pd

from crossmod.analyse.declared import CELL
from crossmod.analyse.design import Design
from crossmod.analyse.scores import cells_of, found_alone
from crossmod.analyse.stats.localise import RATE_COLUMNS, localisation
from crossmod.analyse.tables import most

# The rates come without an arm of their own: a cell is of one arm.
NUMBERS = [name for name in RATE_COLUMNS if name != "arm"]


def rates_of(scores: pd.DataFrame, design: Design) -> pd.DataFrame:
    """Rates of what was found in its place, elsewhere, or not at all, per arm, site, target and region.

    The trainings of an arm vote on each unit (:func:`crossmod.analyse.tables.most`); a unit that one of them did not
    score, or that has nothing to be found, does not count.

    Returns:
        ``arm``, its level of every factor, the cell, ``outcome`` (correct, incorrect, not_detected), ``k`` of ``n``
        units, ``rate`` and Wilson's ``ci_low`` and ``ci_high`` at the study's confidence.
    """
    arms = design.arm_table().set_index("arm")
    parts = []
    for (arm, site, target, region), cell in cells_of(scores[~found_alone(scores, design)], ["arm", *CELL]):
        seeds, units = cell["seed"].nunique(), cell.groupby("subject", sort=False)["located"]
        words = units.agg(most).where(units.size() == seeds).dropna()
        if words.empty:
            continue
        rates = localisation(words.reset_index(), "located", level=design.confidence).rates[NUMBERS]
        labels = {"arm": arm, **arms.loc[arm].to_dict(), "site": site, "target": target, "region": region}
        parts.append(rates.assign(**labels)[[*labels, *NUMBERS]])
    columns = ["arm", *design.factors.names, *CELL, *NUMBERS]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
