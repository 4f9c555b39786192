"""From scores to the tables that hypotheses are tested on: the levels of the declared factors on the same units."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from crossmod.analyse.declared import CELL, UNDEFINED, UNIT, WORDS, unit_columns
from crossmod.analyse.design import Design
from crossmod.analyse.scores import REGIONS, cells_of
from crossmod.analyse.stats.errors import some
from crossmod.job import Plain, UserError

# What a user gets, and a later stage by itself.
SETTINGS = {"image": "end to end", "predicted_box": "end to end", "reference_box": "reference boxes"}
INCOMPLETE_COLUMNS = ["test", *CELL, "arm", "subject", "patient", "missing", "reason"]


def comparable(scores: pd.DataFrame) -> pd.DataFrame:
    """The scores with one region for each target end to end, where arms differ in it.

    One arm segments a lesion on the whole image and another inside the box of the organ that it found: a user compares
    what comes out of both. Their rows get the region that comes first, the image.
    """
    for target, rows in scores[scores["region"] != "reference_box"].groupby("target", observed=True):
        regions = [name for name in REGIONS if name in set(rows["region"])]
        if len(regions) > 1 and rows.groupby("arm", observed=True)["region"].nunique().max() == 1:
            here = (scores["target"] == target) & (scores["region"] != "reference_box")
            scores = scores.assign(region=scores["region"].mask(here, regions[0]))
    return scores


def units_of(scores: pd.DataFrame, design: Design) -> pd.DataFrame:
    """The table that enters the tests: one outcome per unit and combination of the factors within it.

    Seeds are averaged per unit and arm. Where the models of every replicate score the units of a site, their mean
    enters; where each unit has the models of one alone (the other half of its pool's), that score stands.

    Returns:
        A full grid, one row per site, target, region, unit and combination of levels that any arm has: the factors,
        the outcomes (``dsc`` by default; empty where a part is missing, with the ``reason`` for the first of them),
        ``arms`` (whose mean it is), ``setting`` (end to end, or reference boxes), the reference volumes of the unit and
        of what it holds in ml. ``subject`` is ``site/case/side``, with the part where there is one, and ``person`` is
        ``site/patient``.

    Raises:
        UserError: single units were scored by the models of more replicates than the others of their site.
    """
    rows = _rows_of(scores, design.compared_arms())
    columns = unit_columns(design.factors, design.facts, design.outcomes, "part" in scores)
    if rows.empty:
        return pd.DataFrame(columns=columns)
    within, outcomes = design.factors.within, design.outcomes
    keys = [*CELL, *_unit(scores), *within]
    cells = _mean_over_arms(_mean_over_seeds(rows, keys, outcomes), keys, outcomes)
    grid = _grid(rows, design).merge(cells, on=keys, how="left")
    standing = standing_replicates(scores, design)
    designed = Counter(_combinations(design.compared_arms(), within))
    most = [designed[levels] for levels in _combinations(grid, within)]
    wanted = np.minimum(most, [standing.get(site, 1) for site in grid["site"]])
    short = grid["found"].notna() & (grid["found"] < wanted)
    grid.loc[grid["found"].isna(), "reason"] = "not scored"
    grid.loc[short, "reason"] = [_too_few(int(found), design) for found in grid.loc[short, "found"]]
    grid.loc[short, outcomes] = np.nan
    grid["arms"] = grid["arms"].fillna("")
    return _with_facts(grid, scores, design)[columns]


def _unit(scores: pd.DataFrame) -> list[str]:
    """Columns that describe a unit."""
    return [*UNIT, *(["part"] if "part" in scores else [])]


def _rows_of(scores: pd.DataFrame, arms: pd.DataFrame) -> pd.DataFrame:
    """Scores of some arms, with their levels."""
    rows = scores.merge(arms, on="arm", how="inner")
    return rows.assign(arm=rows["arm"].astype(str))


def _combinations(table: pd.DataFrame, names: Sequence[str]) -> list[tuple]:
    """The levels of each row, in the order of ``names``; as many empty ones where there are no names."""
    return list(zip(*(table[name] for name in names), strict=True)) if names else [()] * len(table)


def _mean_over_seeds(rows: pd.DataFrame, keys: list[str], outcomes: list[str]) -> pd.DataFrame:
    """One row per unit and arm; empty, with the reason, where a seed is absent or the outcome undefined."""
    seeds = rows.groupby("arm")["seed"].nunique()
    grouped = rows.groupby([*keys, "arm"], observed=True, sort=False)
    means = _averaged(grouped, outcomes)
    means = means.assign(scored=grouped.size()).reset_index()
    why = UNDEFINED.get(outcomes[0], "reference and prediction empty")
    means["reason"] = np.where(means[outcomes[0]].isna(), f"{outcomes[0].upper()} undefined: {why}", "")
    partial = means["scored"] < means["arm"].map(seeds)
    means.loc[partial, "reason"] = "not scored in every seed"
    means.loc[partial, outcomes] = np.nan
    return means


def _mean_over_arms(means: pd.DataFrame, keys: list[str], outcomes: list[str]) -> pd.DataFrame:
    """One row per unit and combination of levels; empty where any of the arms is."""
    grouped = means.groupby(keys, observed=True, sort=False)
    beside: dict[str, Any] = {
        "arms": grouped["arm"].agg(" ".join),
        "found": grouped.size(),
        "reason": grouped["reason"].max(),
    }
    return _averaged(grouped, outcomes).assign(**beside).reset_index()


def _averaged(grouped: Any, outcomes: list[str]) -> pd.DataFrame:
    """The mean of every score in each group, empty where one is; of words the one that most rows have."""
    numbers = [name for name in outcomes if name not in WORDS]
    words = {name: grouped[name].agg(most) for name in outcomes if name in WORDS}
    means = grouped[numbers].mean(skipna=False)
    return means.assign(**words) if words else means


def most(words: pd.Series) -> str | float:
    """The word that more than half of the trainings give a unit; ``incorrect`` where they do not agree so far.

    Empty where any of them is.

    # ASSUME: a lesion that some trainings find and others miss, none of both mostly, was not reliably found.
    """
    if words.isna().any() or (words == "").any():
        return np.nan
    counts = words.value_counts()
    return str(counts.index[0]) if 2 * counts.iloc[0] > len(words) else "incorrect"


def _too_few(found: int, design: Design) -> str:
    """Why a mean over replicates is missing."""
    return (
        f"scored by the models of {'one' if found == 1 else found} {design.factors.replicate}{'s' * (found > 1)} only"
    )


def standing_replicates(scores: pd.DataFrame, design: Design) -> dict[str, int]:
    """Site → the models of how many replicates score each of its units; empty where nothing is repeated.

    # ASSUME: what most units of a site have is the rule there.

    Raises:
        UserError: single units have the models of more replicates, which points to a leak between them.
    """
    replicate, arms = design.factors.replicate, repeated_arms(design)
    if replicate is None or arms.empty:
        return {}
    rows = scores.merge(arms, on="arm", how="inner")
    found = rows.groupby(["site", "subject"], observed=True)[replicate].nunique()
    standing: dict[Any, int] = {}
    for site, counts in found.groupby("site", observed=True):
        usual = counts.mode()
        standing[site] = int(usual.min())
        several = counts > standing[site]
        if several.any():
            raise UserError(
                f"Site {site}: {some(name for _, name in counts[several].index)} were scored by the models of more "
                f"{replicate}s than the other units: a case may have been in training. Check split/audit.csv."
            )
    return standing


def repeated_arms(design: Design) -> pd.DataFrame:
    """The compared arms whose levels, the replicate aside, other arms have too."""
    arms = design.compared_arms()
    levels = _combinations(arms, design.factors.within)
    designed = Counter(levels)
    return arms[[designed[each] > 1 for each in levels]]


def crossed_sites(scores: pd.DataFrame, design: Design) -> dict[str, bool]:
    """Site → whether the models of every replicate score each unit (else each unit belongs to some of them)."""
    standing = standing_replicates(scores, design)
    every = repeated_arms(design)[design.factors.replicate].nunique() if standing else 0
    return {site: count == every for site, count in standing.items()}


def _grid(rows: pd.DataFrame, design: Design) -> pd.DataFrame:
    """Every unit of a site, target and region × every combination of levels, in the order of the design.

    Levels whose arms never score a target and region are no gap there: the stages of such an arm do not segment it.
    Neither are levels that a site does not validate, nor arms whose program is not installed, which the page names. Any
    other arm without scores is a gap everywhere.
    """
    units = rows[[*CELL, *_unit(rows)]].drop_duplicates().sort_values([*CELL, *_order(rows)], kind="stable")
    arms, within, contrast = design.compared_arms(), design.factors.within, design.factors.contrast
    levels = arms.drop_duplicates(within) if within else arms[:1]
    if contrast:
        place = design.factors.compared.index
        levels = levels.sort_values(contrast["factor"], key=lambda s: s.map(place), kind="stable")
    grid = units.merge(levels[within], how="cross") if within else units
    silent = _combinations(arms[~arms["arm"].isin([*rows["arm"], *design.unavailable])], within)
    scored = set(zip(rows["target"], rows["region"], _combinations(rows, within), strict=True))
    known = zip(grid["target"], grid["region"], _combinations(grid, within), strict=True)
    grid = grid[[key in scored or key[2] in silent for key in known]]
    left_out = {
        (site, levels)
        for site, names in design.validated.items()
        for levels in set(_combinations(arms, within)) - set(_combinations(arms[arms["arm"].isin(names)], within))
    }
    return grid[[key not in left_out for key in zip(grid["site"], _combinations(grid, within), strict=True)]]


def _order(rows: pd.DataFrame) -> list[str]:
    """Columns by which the units of a cell are ordered."""
    return ["case", "side", *(["part"] if "part" in rows else [])]


def unsegmented(scores: pd.DataFrame, design: Design) -> list[dict]:
    """Target and region → compared arms that have scores, but nowhere there."""
    arms = [arm for arm in design.compared_arms()["arm"] if arm in set(scores["arm"])]
    found = []
    for (target, region), cell in scores.groupby(["target", "region"], observed=True):
        absent = [arm for arm in arms if arm not in set(cell["arm"])]
        if absent and len(absent) < len(arms):
            found.append({"target": target, "region": region, "arms": absent})
    return found


def replicates_of(scores: pd.DataFrame, design: Design) -> pd.DataFrame:
    """One outcome per unit and arm, seeds averaged: the replicates of a training stay apart.

    Columns as :func:`units_of`, with ``arm`` and the replicate; rows that are missing are simply absent.
    """
    rows = _rows_of(scores, design.compared_arms())
    keys = [*CELL, *_unit(scores), *design.factors.within, str(design.factors.replicate)]
    return _with_facts(_mean_over_seeds(rows, keys, design.outcomes), scores, design)


def _role(given: Plain | None, name: str) -> Plain:
    """The contrast or the dose, without which a table does not exist.

    Raises:
        UserError: if no factor has the role.
    """
    if given is None:
        raise UserError(f"The study names no {name}, which a table of its tests needs; name one in analyse.")
    return given


def gains_of(units: pd.DataFrame, design: Design) -> pd.DataFrame:
    """What level a adds to level b in each complete unit: ``gain``, the mean of a - b over the other factors.

    Levels of those factors that only one of a and b has play no part.
    """
    factors, outcome = design.factors, design.outcomes[0]
    factor, (b, a) = _role(factors.contrast, "contrast")["factor"], factors.compared[:2]
    arms = design.compared_arms()
    sides = [set(_combinations(arms[arms[factor] == level], factors.averaged)) for level in (b, a)]
    both = [levels in sides[0] & sides[1] for levels in _combinations(units, factors.averaged)]
    volumes = ["volume_reference_ml", *(f"{fact}_ml" for fact in design.facts)]
    keys = [*CELL, "setting", *_unit(units), *volumes]
    grouped = units[both].groupby([*keys, factor], observed=True, sort=False, dropna=False)[outcome]
    wide = grouped.agg(lambda x: x.mean(skipna=False)).unstack(factor).reindex(columns=[b, a])
    gains = (wide[a] - wide[b]).rename("gain").dropna().reset_index()
    # A volume of 0 is no small tumour.
    return gains.assign(**{name: gains[name].where(gains[name] > 0) for name in volumes[1:]})


def subgroups_of(units: pd.DataFrame, design: Design) -> pd.DataFrame:
    """Units once for each way to group them: ``grouping`` (size of the unit, of what it holds, side) and ``group``."""
    sizes = {"organ volume": "volume_reference_ml", **{f"{fact} volume": f"{fact}_ml" for fact in design.facts}}
    parts = []
    for grouping, column in sizes.items():
        volume = units[column].where(units[column] > 0)
        median = volume.groupby([units[column] for column in CELL], observed=True).transform("median")
        group = pd.Series(np.where(volume <= median, "smaller half", "larger half"), units.index)
        parts.append(units.assign(grouping=grouping, group=group.where(volume.notna())).dropna(subset="group"))
    sided = units[units["side"].isin(["right", "left"])]
    parts.append(sided.assign(grouping="side", group=sided["side"].astype(str)))
    return pd.concat(parts, ignore_index=True)


def curves_of(units: pd.DataFrame, scores: pd.DataFrame, design: Design) -> pd.DataFrame:
    """Learning curves of the levels of the contrast: the units, and the arms without a dose as level a with dose 0.

    Only sites of the modality that is annotated in growing amounts: elsewhere more of it need not help.
    """
    graded = _graded_modality(scores, design)
    sites = scores.loc[scores["modality"].isin(graded), "site"].astype(str).unique()
    alone = _rows_of(scores, design.zero_arms())
    if units.empty or alone.empty:
        return units[units["site"].isin(sites)]
    factors, outcomes = design.factors, design.outcomes
    contrast, dose = _role(factors.contrast, "contrast"), _role(factors.dose, "dose")
    alone = alone.assign(**{contrast["factor"]: contrast["a"], dose["factor"]: 0})
    keys = [*CELL, *_unit(scores), *factors.within]
    zero = _mean_over_arms(_mean_over_seeds(alone, keys, outcomes), keys, outcomes)
    curves = pd.concat([units, _with_facts(zero, scores, design)], ignore_index=True)
    return curves[curves["site"].isin(sites)]


def _graded_modality(scores: pd.DataFrame, design: Design) -> set[str]:
    """Modality of the graded pool: that of the sites whose units belong to the models of some replicates alone.

    All modalities where nothing is repeated, for then no site is known to be the pool's own.
    """
    own = [site for site, many in crossed_sites(scores, design).items() if not many]
    chosen = scores[scores["site"].isin(own)] if own else scores
    return set(chosen["modality"])


def _with_facts(rows: pd.DataFrame, scores: pd.DataFrame, design: Design) -> pd.DataFrame:
    """The rows with what is known of their unit: ``setting``, its volume and the volumes of what it holds."""
    volumes = ["volume_reference_ml", *(f"{fact}_ml" for fact in design.facts)]
    facts = scores.drop_duplicates([*CELL, "subject"]).set_index([*CELL, "subject"])[volumes]
    rows = rows.join(facts, on=[*CELL, "subject"])
    return rows.assign(setting=rows["region"].map(SETTINGS).astype(str))


def incomplete_of(units: pd.DataFrame, tests: list[str], design: Design) -> pd.DataFrame:
    """Every unit that lacks a cell, with the cells and the reason; ``tests`` are those that leave it out."""
    parts = [
        _incomplete(cell, ", ".join(tests), design).assign(**dict(zip(CELL, key, strict=True)))
        for key, cell in cells_of(units, CELL)
    ]
    if not parts:
        return pd.DataFrame(columns=INCOMPLETE_COLUMNS)
    return pd.concat(parts, ignore_index=True).reindex(columns=INCOMPLETE_COLUMNS)


def _incomplete(cell: pd.DataFrame, tests: str, design: Design) -> pd.DataFrame:
    gaps = cell[cell[design.outcomes[0]].isna()]
    rows = [
        {
            "test": tests,
            "arm": "",
            "subject": subject,
            "patient": part["patient"].iloc[0],
            "missing": "; ".join(" ".join(map(str, levels)) for levels in _combinations(part, design.factors.within)),
            "reason": "; ".join(dict.fromkeys(part["reason"])),
        }
        for subject, part in gaps.groupby("subject", sort=False)
    ]
    return pd.DataFrame(rows, columns=INCOMPLETE_COLUMNS)
