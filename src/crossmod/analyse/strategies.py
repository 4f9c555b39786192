"""Does the assisting modality help? Pure against mixed training at each amount of annotation."""

import numpy as np
import pandas as pd

from crossmod.analyse import anova, paired
from crossmod.analyse.cells import Cells, complete_cells
from crossmod.analyse.errors import some
from crossmod.analyse.scores import CELL, Plan
from crossmod.job import UserError

STRATEGIES = ["pure", "mixed"]
UNIT = ["subject", "person", "patient", "case", "side"]
UNIT_COLUMNS = [*CELL, "subject", "patient", "case", "side", "strategy", "amount", "dsc", "arms", "reason"]
ANOVA_COLUMNS = [*CELL, *anova.COLUMNS, "n_subjects", "n_patients", "n_dropped", "note"]
PAIRWISE_COLUMNS = [*CELL, *paired.COLUMNS, "n_patients", "n_dropped", "note"]
INCOMPLETE_COLUMNS = ["test", *CELL, "arm", "subject", "patient", "missing", "reason"]


def units_of(scores: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """The table that enters the tests: one DSC per unit, strategy and amount.

    Seeds are averaged per unit and arm. Where a unit was scored by the models of one subset only (the complementary
    half's, on the site the pool itself comes from) that score stands; where models of both subsets scored it, their mean.

    Returns:
        A full grid, one row per site, target, region, unit, strategy and amount: ``dsc`` (empty where a part is
        missing, with ``reason``), ``arms`` (whose mean it is). ``subject`` is ``site/case/side``.

    Raises:
        UserError: on a site of complementary halves, a unit was scored by models of both halves.
    """
    arms = plan.arm_table()
    arms = arms[arms["strategy"].isin(STRATEGIES)]
    rows = scores.merge(arms, on="arm", how="inner")
    if rows.empty:
        return pd.DataFrame(columns=[*UNIT_COLUMNS, "person"])
    rows["arm"] = rows["arm"].astype(str)
    keys = [*CELL, *UNIT, "strategy", "amount"]
    cells = _mean_over_arms(_mean_over_seeds(rows, keys), keys)
    grid = _grid(rows, arms).merge(cells, on=keys, how="left")
    crossed = crossed_sites(scores, plan)
    designed = arms.groupby(["strategy", "amount"]).size()
    wanted = np.array(
        [
            designed[strategy, amount] if crossed[site] else 1
            for site, strategy, amount in zip(grid["site"], grid["strategy"], grid["amount"], strict=True)
        ]
    )
    short = grid["found"].notna() & (grid["found"] < wanted)
    grid.loc[grid["found"].isna(), "reason"] = "not scored"
    grid.loc[short, "reason"] = "scored by the models of one subset only"
    grid.loc[short, "dsc"] = np.nan
    grid["arms"] = grid["arms"].fillna("")
    return grid[[*UNIT_COLUMNS, "person"]]


def _mean_over_seeds(rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """One row per unit and arm; empty, with the reason, where a seed is absent or its DSC undefined."""
    seeds = rows.groupby("arm")["seed"].nunique()
    grouped = rows.groupby([*keys, "arm"], observed=True, sort=False)["dsc"]
    means = pd.DataFrame({"dsc": grouped.mean(skipna=False), "scored": grouped.size()}).reset_index()
    means["reason"] = np.where(means["dsc"].isna(), "DSC undefined: reference and prediction empty", "")
    partial = means["scored"] < means["arm"].map(seeds)
    means.loc[partial, "reason"] = "not scored in every seed"
    means.loc[partial, "dsc"] = np.nan
    return means


def _mean_over_arms(means: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """One row per unit, strategy and amount; empty where any of the arms is."""
    grouped = means.groupby(keys, observed=True, sort=False)
    return pd.DataFrame(
        {
            **{"dsc": grouped["dsc"].mean(skipna=False), "arms": grouped["arm"].agg(" ".join)},
            **{"found": grouped.size(), "reason": grouped["reason"].max()},
        }
    ).reset_index()


def crossed_sites(scores: pd.DataFrame, plan: Plan) -> dict[str, bool]:
    """Site → whether models of every subset score each unit (else each unit belongs to one half's models).

    # ASSUME: a site is crossed when most of its units were scored by the models of more than one subset.

    Raises:
        UserError: single units break the rule of their site, which points to a leak between the halves.
    """
    rows = scores.merge(plan.arm_table(), on="arm", how="inner")
    rows = rows[rows["strategy"].isin(STRATEGIES)]
    subsets = rows.groupby(["site", "subject"], observed=True)["subset"].nunique()
    crossed = {}
    for site, counts in subsets.groupby("site", observed=True):
        several = counts > 1
        crossed[site] = bool(several.mean() > 0.5)
        if several.any() and not crossed[site]:
            raise UserError(
                f"Site {site}: {some(name for _, name in counts[several].index)} were scored by models of both subsets, "
                "the other units by one: a case may have been in training. Check split/audit.csv."
            )
    return crossed


def _grid(rows: pd.DataFrame, arms: pd.DataFrame) -> pd.DataFrame:
    """Every unit of a site, target and region × every strategy and amount, in the order of the design."""
    units = rows[[*CELL, *UNIT]].drop_duplicates().sort_values([*CELL, "case", "side"], kind="stable")
    levels = arms[["strategy", "amount"]].drop_duplicates()
    levels = levels.sort_values("strategy", key=lambda s: s.map(STRATEGIES.index), kind="stable")
    return units.merge(levels, how="cross")


def compare_strategies(units: pd.DataFrame, plan: Plan) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Two-way ANOVA and simple effects (mixed - pure at each amount) of every site, target and region.

    Returns:
        The ANOVA table (columns of :func:`crossmod.analyse.rm_anova`), the table of simple effects (columns of
        :func:`crossmod.analyse.pairwise`; corrected over the amounts of one cell), both with ``n_patients``,
        ``n_dropped`` and a ``note`` that says why a number is missing, and the list of units left out.
        Subjects are units; ``n_patients`` tells of how many patients they come.
    """
    tables: list[list[pd.DataFrame]] = [[], [], []]
    for key, cell in units.groupby(CELL, observed=True):
        labels = dict(zip(CELL, key, strict=True))
        found = (_anova(cell), _simple_effects(cell, plan), _incomplete(cell))
        for rows, part in zip(tables, found, strict=True):
            rows.append(part.assign(**labels))
    columns = (ANOVA_COLUMNS, PAIRWISE_COLUMNS, INCOMPLETE_COLUMNS)
    return tuple(
        pd.concat(rows, ignore_index=True).reindex(columns=names) if rows else pd.DataFrame(columns=names)
        for rows, names in zip(tables, columns, strict=True)
    )


def _cells(cell: pd.DataFrame, order: list[str], factors: list[str]) -> Cells:
    table = cell.assign(strategy=pd.Categorical(cell["strategy"], categories=order, ordered=True))
    return complete_cells(table, "dsc", "subject", factors)


def _counts(cell: pd.DataFrame, cells: Cells) -> dict:
    inside = cell["subject"].isin(cells.subjects)
    return {"n_patients": cell.loc[inside, "person"].nunique(), "n_dropped": len(cells.dropped)}


def _nothing(cell: pd.DataFrame) -> dict:
    gaps = cell.groupby("subject")["dsc"].agg(lambda x: x.isna().any())
    return {"n_subjects": int((~gaps).sum()), "n_dropped": int(gaps.sum())}


def _anova(cell: pd.DataFrame) -> pd.DataFrame:
    try:
        cells = _cells(cell, STRATEGIES, ["strategy", "amount"])
        result = anova.anova_of(cells)
        return result.assign(n_subjects=len(cells.subjects), **_counts(cell, cells), note="")
    except UserError as error:
        effects = ["strategy", "amount", "strategy:amount"]
        return pd.DataFrame({"effect": effects}).assign(**_nothing(cell), note=str(error))


def _simple_effects(cell: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    try:
        cells = _cells(cell, STRATEGIES[::-1], ["amount", "strategy"])
        rows = paired.contrasts(cells, "t", plan.confidence, note_degenerate=True)
        return paired.judge(pd.DataFrame(rows), plan.correction, plan.alpha).assign(**_counts(cell, cells))
    except UserError as error:
        amounts = sorted(cell["amount"].unique())
        empty = pd.DataFrame({"a": "mixed", "b": "pure", "at": amounts, "verdict": ""})
        left = _nothing(cell)
        return empty.assign(n=left["n_subjects"], n_dropped=left["n_dropped"], note=str(error))


def _incomplete(cell: pd.DataFrame) -> pd.DataFrame:
    gaps = cell[cell["dsc"].isna()]
    rows = [
        {
            **{"test": "rm_anova, pairwise", "arm": "", "subject": subject, "patient": part["patient"].iloc[0]},
            "missing": "; ".join(f"{s} {a}" for s, a in zip(part["strategy"], part["amount"], strict=True)),
            "reason": "; ".join(dict.fromkeys(part["reason"])),
        }
        for subject, part in gaps.groupby("subject", sort=False)
    ]
    return pd.DataFrame(rows, columns=INCOMPLETE_COLUMNS)
