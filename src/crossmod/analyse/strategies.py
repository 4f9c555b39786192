"""From scores to the tables that hypotheses are tested on: pure and mixed training of the same units."""

import numpy as np
import pandas as pd

from crossmod.analyse.scores import CELL, Plan
from crossmod.analyse.stats.errors import some
from crossmod.job import UserError

STRATEGIES = ["pure", "mixed"]
UNIT = ["subject", "person", "patient", "case", "side"]
FACTS = ["volume_reference_ml", "tumour_ml"]
# What a user gets, and the second stage by itself.
SETTINGS = {"image": "end to end", "predicted_box": "end to end", "reference_box": "reference boxes"}
UNIT_COLUMNS = [*CELL, "setting", *UNIT, *FACTS, "strategy", "amount", "dsc", "arms", "reason"]
INCOMPLETE_COLUMNS = ["test", *CELL, "arm", "subject", "patient", "missing", "reason"]


def units_of(scores: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """The table that enters the tests: one DSC per unit, strategy and amount.

    Seeds are averaged per unit and arm. Where a unit was scored by the models of one subset only (the complementary
    half's, on the site the pool itself comes from) that score stands; where models of both subsets scored it, their mean.

    Returns:
        A full grid, one row per site, target, region, unit, strategy and amount: ``dsc`` (empty where a part is
        missing, with ``reason``), ``arms`` (whose mean it is), ``setting`` (end to end, or reference boxes), the
        reference volumes of organ and tumour in ml. ``subject`` is ``site/case/side``, ``person`` is ``site/patient``.

    Raises:
        UserError: on a site of complementary halves, a unit was scored by models of both halves.
    """
    rows = _arm_rows(scores, plan)
    if rows.empty:
        return pd.DataFrame(columns=UNIT_COLUMNS)
    arms = plan.arm_table()
    arms = arms[arms["strategy"].isin(STRATEGIES)]
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
    return _with_facts(grid, scores)[UNIT_COLUMNS]


def _arm_rows(scores: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Scores of the pure and mixed arms, with their strategy, amount and subset."""
    arms = plan.arm_table()
    rows = scores.merge(arms[arms["strategy"].isin(STRATEGIES)], on="arm", how="inner")
    return rows.assign(arm=rows["arm"].astype(str))


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


def replicates_of(scores: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """One DSC per unit and arm, seeds averaged: the subsets stay apart, as two replicates of the training.

    Columns as :func:`units_of`, with the arm's ``subset``; rows that are missing are simply absent.
    """
    rows = _arm_rows(scores, plan)
    keys = [*CELL, *UNIT, "strategy", "amount", "subset"]
    return _with_facts(_mean_over_seeds(rows, keys), scores)


def gains_of(units: pd.DataFrame) -> pd.DataFrame:
    """What mixed training adds in each complete unit: ``gain``, the mean over the amounts of mixed - pure."""
    keys = [*CELL, "setting", "subject", "person", "patient", "case", "side", *FACTS]
    mean = units.groupby([*keys, "strategy"], observed=True, sort=False, dropna=False)["dsc"].agg(
        lambda x: x.mean(skipna=False)
    )
    wide = mean.unstack("strategy").reindex(columns=STRATEGIES)
    gains = (wide["mixed"] - wide["pure"]).rename("gain").dropna().reset_index()
    # A volume of 0 is no small tumour.
    return gains.assign(tumour_ml=gains["tumour_ml"].where(gains["tumour_ml"] > 0))


def subgroups_of(units: pd.DataFrame) -> pd.DataFrame:
    """Units once for each way to group them: ``grouping`` (size of the organ, of the tumour, side) and ``group``."""
    sizes = {"organ volume": units["volume_reference_ml"], "tumour volume": units["tumour_ml"]}
    parts = []
    for grouping, volume in sizes.items():
        volume = volume.where(volume > 0)
        median = volume.groupby([units[column] for column in CELL], observed=True).transform("median")
        group = pd.Series(np.where(volume <= median, "smaller half", "larger half"), units.index)
        parts.append(units.assign(grouping=grouping, group=group.where(volume.notna())).dropna(subset="group"))
    sided = units[units["side"].isin(["right", "left"])]
    parts.append(sided.assign(grouping="side", group=sided["side"].astype(str)))
    return pd.concat(parts, ignore_index=True)


def curves_of(units: pd.DataFrame, scores: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Learning curves with and without assistance: the units, and the assisting modality alone as mixed with amount 0.

    Only sites of the modality that is annotated in growing amounts: elsewhere more of it need not help.
    """
    graded = _graded_modality(scores, plan)
    sites = scores.loc[scores["modality"].isin(graded), "site"].astype(str).unique()
    alone = scores.merge(plan.arm_table(), on="arm", how="inner")
    alone = alone[alone["strategy"] == "ct"]
    if units.empty or alone.empty:
        return units[units["site"].isin(sites)]
    alone = alone.assign(arm=alone["arm"].astype(str), strategy="mixed", amount=0)
    zero = _with_facts(_mean_over_seeds(alone, [*CELL, *UNIT, "strategy", "amount"]), scores)
    curves = pd.concat([units, zero], ignore_index=True)
    return curves[curves["site"].isin(sites)]


def _graded_modality(scores: pd.DataFrame, plan: Plan) -> set[str]:
    """Modality of the pool that is halved: that of the sites whose units belong to one half's models each."""
    own = [site for site, many in crossed_sites(scores, plan).items() if not many]
    chosen = scores[scores["site"].isin(own)] if own else scores
    return set(chosen["modality"])


def _with_facts(rows: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """The rows with what is known of their unit: ``setting`` and the volumes of organ and tumour."""
    facts = scores.drop_duplicates([*CELL, "subject"]).set_index([*CELL, "subject"])[FACTS]
    rows = rows.join(facts, on=[*CELL, "subject"])
    return rows.assign(setting=rows["region"].map(SETTINGS).astype(str))


def incomplete_of(units: pd.DataFrame, tests: list[str]) -> pd.DataFrame:
    """Every unit that lacks a cell, with the cells and the reason; ``tests`` are those that leave it out."""
    parts = [
        _incomplete(cell, ", ".join(tests)).assign(**dict(zip(CELL, key, strict=True)))
        for key, cell in units.groupby(CELL, observed=True)
    ]
    if not parts:
        return pd.DataFrame(columns=INCOMPLETE_COLUMNS)
    return pd.concat(parts, ignore_index=True).reindex(columns=INCOMPLETE_COLUMNS)


def _incomplete(cell: pd.DataFrame, tests: str) -> pd.DataFrame:
    gaps = cell[cell["dsc"].isna()]
    rows = [
        {
            **{"test": tests, "arm": "", "subject": subject, "patient": part["patient"].iloc[0]},
            "missing": "; ".join(f"{s} {a}" for s, a in zip(part["strategy"], part["amount"], strict=True)),
            "reason": "; ".join(dict.fromkeys(part["reason"])),
        }
        for subject, part in gaps.groupby("subject", sort=False)
    ]
    return pd.DataFrame(rows, columns=INCOMPLETE_COLUMNS)
