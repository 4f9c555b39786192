"""Which arms and which patients the figure of treatments shows."""

from dataclasses import dataclass

import pandas as pd

from crossmod.design.targets import targets_of
from crossmod.report.columns import in_regions
from crossmod.report.results import Results
from crossmod.report.rivals import Rivals, rivals_of
from crossmod.report.rows import each
from crossmod.report.words import END_TO_END


@dataclass(frozen=True)
class Shown:
    """What one figure of treatments shows: the masks of a stage, by arms that differ in their treatment."""

    stage: str
    rivals: Rivals

    @property
    def name(self) -> str:
        """Of the file."""
        return f"treatments_{self.stage}"


@dataclass(frozen=True)
class Patient:
    """A case of a site, and its mean DSC under each level."""

    site: str
    case: str
    seed: int
    dsc: dict[str, float]


def treated_factor(results: Results) -> str | None:
    """The factor whose levels treat scans: that of the contrast if it does, else the first one; None if none does."""
    factors, contrast = results.study.get("factors") or {}, results.words.contrast
    names = [*([contrast["factor"]] if contrast else []), *factors]
    treats = (name for name in names if any((recipe or {}).get("treat") for recipe in factors[name].values()))
    return next(treats, None)


def shown(results: Results) -> list[Shown]:
    """One figure for each stage whose masks are scored under several treatments, other factors at their first level."""
    factor = treated_factor(results)
    if factor is None:
        return []
    scores = results.table("scores")
    found = []
    for stage in results.study["stages"]:
        arms = set(scores.loc[scores["target"].isin(_targets(results, stage)), "arm"])
        rivals = next((one for one in rivals_of(results, factor, arms) if len(one.arms) > 1), None)
        found += [Shown(stage, rivals)] if rivals else []
    return found


def choose(results: Results, asked: Shown) -> list[Patient]:
    """The middle case of every site with several treatments, by its mean DSC under the level that the study is about.

    Of an even number it is the lower one, and ties go to the first case by name. It is the first seed that is shown.
    """
    scores = in_regions(results.table("scores"), END_TO_END)
    scores = scores[scores["target"].isin(_targets(results, asked.stage)) & scores["dsc"].notna()]
    level_of = {arm: level for level, arm in asked.rivals.arms.items()}
    scores = scores[scores["arm"].isin(list(level_of))]
    found = []
    for site, here in each(scores, "site"):
        seed = int(here["seed"].min())
        by_arm = here[here["seed"] == seed].astype({"arm": str}).groupby(["case", "arm"])["dsc"].mean().unstack()
        columns = [arm for arm in asked.rivals.arms.values() if arm in by_arm]
        whole = by_arm[columns].dropna()
        if len(columns) > 1 and len(whole):
            of_interest = asked.rivals.arms[level_of_interest(results, asked.rivals)]
            case = _middle(whole[of_interest if of_interest in columns else columns[-1]])
            found.append(Patient(site, case, seed, {level_of[arm]: float(whole[arm][case]) for arm in columns}))
    return found


def _targets(results: Results, stage: str) -> list[str]:
    """The targets of a stage that have scores."""
    stages = {name: target["stage"] for name, target in targets_of(results.study).items()}
    own = [name for name, one in stages.items() if stage in ([one] if isinstance(one, str) else one)]
    return [name for name in results.targets if name in own]


def level_of_interest(results: Results, rivals: Rivals) -> str:
    """The level that the study is about, the last one where its contrast is of another factor."""
    contrast = results.words.contrast
    of_contrast = contrast is not None and contrast["factor"] == rivals.factor and contrast["a"] in rivals.arms
    return contrast["a"] if contrast and of_contrast else list(rivals.arms)[-1]


def _middle(scores: pd.Series) -> str:
    """The case in the middle by score, the lower one of two."""
    ranked = scores.sort_index().sort_values(kind="stable")
    return str(ranked.index[(len(ranked) - 1) // 2])
