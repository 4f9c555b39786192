"""A study's tables and files as the report reads them: in the order of the design, with names for readers."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from crossmod.design.targets import groups_of
from crossmod.job import Plain, UserError, read_json
from crossmod.report.declared import Comparison, Declared
from crossmod.report.words import Words, as_words
from crossmod.tables import read_own

# Ids are text: a case called 001 is not 1, and one called NA is not missing. The study's own tables add its factors.
# fmt: off
TEXT = (
    "arm", "site", "target", "region", "metric", "case", "patient", "subject", "side", "part", "arms", "modality",
    "unit", "effect", "verdict", "note", "test", "missing", "reason", "source", "reference_error_source", "setting",
    "a", "b", "term", "method", "family", "rows", "grouping", "group", "rank_test", "rank_note", "normality_test",
    "mann_whitney_method", "outcome", "over", "located",
)
# What the report reads of a hypothesis; a test that ran in no cell leaves only its reasons.
TESTED = (
    "at", "n", "n_subjects", "n_dropped", "mean_difference", "estimate", "ci_low", "ci_high", "cohen_dz",
    "skewness", "normality_p", "p", "p_corrected", "verdict", "note", "rows", "tests_in_family", "effect", "F",
    "df1", "df2", "p_gg", "rank_p", "epsilon_gg", "mauchly_p", "eta_sq_generalised", "amount", "mean_assisted",
    "equivalent_unassisted", "saved", "extrapolates", "spearman_rho", "pearson_log_r", "r_ci_low", "r_ci_high",
    "r_p", "mean_small", "mean_large", "difference", "welch_p", "mann_whitney_p", "term", "n_rows", "n_patients",
    "margin", "grouping", "group", "a", "b", "rate_difference", "only_a", "only_b", "median_volume", "spearman_p",
    "rank_paired_p",
)
# fmt: on
AMOUNT = "amount"


@dataclass(frozen=True)
class Results:
    """The results folder of a study at one scale.

    Attributes:
        root: ``results/<study>/<scale>``, with the folders of the steps.
        study: the study's config; gives sites their titles, and names the study whose results are shared; may be empty.
    """

    root: Path
    study: Plain = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))

    def place(self, name: str) -> Path:
        """Where a file or folder of the results lies.

        It is in this study's folder, or in that of the study to which this one adds sites.
        """
        other = self.study.get("adds_to")
        own = self.root / name
        if other is None or own.exists():
            return own
        return self.root.parents[1] / other / self.root.name / name

    def table(self, name: str) -> pd.DataFrame:
        """A table of the analyse step, arms, sites and targets as ordered categories.

        Raises:
            UserError: if the analyse step has not written it.
        """
        table = self._read(f"analyse/{name}.csv")
        for column, order in (("arm", self.arms), ("site", self.sites), ("target", self.targets)):
            if column in table:
                table[column] = pd.Categorical(table[column], categories=order, ordered=True)
        return table

    def tested(self, hypothesis: Plain | None) -> pd.DataFrame:
        """The rows of a hypothesis; none where it is not declared or ran in no cell.

        Columns that no cell has are empty.
        """
        name = hypothesis["name"] if hypothesis else ""
        written = bool(name) and (self.root / "analyse" / f"{name}.csv").is_file()
        labels = list(dict.fromkeys(["site", "target", "region", *(hypothesis or {}).get("each", [])]))
        table = self.table(name) if written else pd.DataFrame(columns=labels)
        absent = {column: "" if column in TEXT else math.nan for column in TESTED if column not in table}
        return table.assign(**absent)

    @cached_property
    def words(self) -> Words:
        """What the study's names are called for readers."""
        return Words(self.study)

    @cached_property
    def declared(self) -> Declared:
        """The study's hypotheses."""
        return Declared.of(self.study)

    @property
    def comparison(self) -> Comparison | None:
        """The comparison of units that the study is about, or None."""
        return self.declared.main_comparison(self.words.contrast)

    @cached_property
    def notes(self) -> Plain:
        """What the analyse step wants a reader to know."""
        return self._json("analyse/notes.json")

    @cached_property
    def record(self) -> Plain:
        """Hash of the plan of analysis, its level, correction and families."""
        return self._json("analyse/record.json")

    @cached_property
    def splits(self) -> Plain:
        """Which cases train and validate each arm."""
        return self._json("split/splits.json")

    @cached_property
    def factors(self) -> list[str]:
        """What arms differ by: the columns of the table of scores between the arm and the site."""
        columns = list(self._header)
        return columns[columns.index("arm") + 1 : columns.index("site")]

    @cached_property
    def design(self) -> pd.DataFrame:
        """One row per arm in the order of the design: ``arm``, then its factors."""
        return self._dsc[["arm", *self.factors]].drop_duplicates().reset_index(drop=True)

    @cached_property
    def arms(self) -> list[str]:
        """Arms that have scores, in the order of the design."""
        return self.design["arm"].tolist()

    @property
    def declared_arms(self) -> int:
        """How many arms the study declares: those with scores and those without."""
        return len(self.arms) + len(self.notes.get("arms_without_scores", []))

    @cached_property
    def sites(self) -> list[str]:
        """Sites that have scores, in the order of the design."""
        # The analyse step keeps the order of the design; plain JSON does not.
        return list(dict.fromkeys([*self._dsc["site"], *self.study.get("sites", {})]))

    def sites_of(self, arm: str) -> list[str]:
        """Sites at which an arm has scores, in the order of the design."""
        scored = set(self._dsc.loc[self._dsc["arm"] == arm, "site"])
        return [site for site in self.sites if site in scored]

    @cached_property
    def targets(self) -> list[str]:
        """Targets that have scores, in the order of the config; those it does not name in the order of the table."""
        scored = list(dict.fromkeys(self._dsc["target"]))
        return [name for name in dict.fromkeys([*self.study.get("targets", []), *scored]) if name in scored]

    @cached_property
    def class_groups(self) -> dict[str, list[str]]:
        """Declared target of each class of a stage → those of its classes that have scores."""
        targets = self.study.get("targets")
        if not isinstance(targets, dict) or not any(target.get("each_class") for target in targets.values()):
            return {}
        found = {group: [t for t in self.targets if t in own] for group, own in groups_of(self.study).items()}
        return {group: own for group, own in found.items() if own}

    @cached_property
    def metrics(self) -> list[str]:
        """The metrics that have scores, in the order of the table."""
        return list(dict.fromkeys(self._dsc["metric"]))

    @property
    def metric(self) -> str:
        """The metric that findings speak of: DSC, or the first where it is not measured."""
        return "dsc" if "dsc" in self.metrics else self.metrics[0]

    @cached_property
    def unit_of(self) -> dict[str, str]:
        """Target → the unit that it is scored in: ``image``, or a name of the config's units."""
        pairs = self.table("scores")[["target", "unit"]].drop_duplicates("target")
        return dict(zip(pairs["target"].astype(str), pairs["unit"].astype(str), strict=True))

    @property
    def colour_factor(self) -> str | None:
        """The factor that figures tell apart by colour: that of the contrast, else the first with several levels."""
        contrast = self.words.contrast
        if contrast and contrast["factor"] in self.factors:
            return contrast["factor"]
        return next((name for name in self.factors if self.design[name].nunique() > 1), None)

    def levels(self, factor: str) -> list[str]:
        """The levels of a factor that have scores, in the order of the config, else in that of the design."""
        scored = list(dict.fromkeys(self.design[factor].map(str)))
        order = [*((self.study.get("factors") or {}).get(factor) or {}), *scored]
        return [level for level in dict.fromkeys(order) if level in scored]

    @cached_property
    def deployed(self) -> pd.DataFrame:
        """The arms a user would choose; see :func:`deployed_arms`."""
        return deployed_arms(self.design, self.study.get("analyse", {}), self.levels)

    @property
    def most(self) -> str:
        """The deployed models' dose as a suffix: ``, 120 MR patients``; nothing in a study without a dose."""
        dose = self.words.dose
        return f", {self.words.doses([self.deployed[dose].max()])}" if dose in self.factors else ""

    @property
    def level(self) -> str:
        """The level of intervals in per cent."""
        return f"{100 * self.study.get('analyse', {}).get('confidence', 0.95):g}"

    @cached_property
    def parts(self) -> dict[str, set[tuple[str, str]]]:
        """The parts (subsets, folds) of pools that are drawn in several → their (cohort, case)."""
        pools = self.study.get("pools") or {}
        found: dict[str, set[tuple[str, str]]] = {}
        for pool, parts in self.splits["parts"].items():
            cohort = pools.get(pool, {}).get("cohort", pool)
            for part, cases in parts.items() if len(parts) > 1 else ():
                found.setdefault(part, set()).update((cohort, case) for case in cases)
        return found

    def site_title(self, site: str) -> str:
        """The name of a site for readers; says so where its patients are simulated."""
        title = self.words.site(site)
        return f"{title} (simulated)" if self.notes["simulated"].get(site) else title

    def site_name(self, site: str) -> str:
        """The title of a site for tables whose caption already says that all patients are simulated."""
        title = self.site_title(site)
        return title.removesuffix(" (simulated)") if all(self.notes["simulated"].values()) else title

    @cached_property
    def simulated(self) -> bool:
        """Whether any number of the study comes from simulated patients."""
        return any(self.notes["simulated"].values())

    @cached_property
    def provenance(self) -> str:
        """One sentence for every caption: whose numbers these are."""
        flags = self.notes["simulated"]
        if all(flags.values()):
            return "All patients are simulated."
        real = ", ".join(self.site_title(site) for site, simulated in flags.items() if not simulated)
        return f"Simulated patients, except at {real}." if any(flags.values()) else "Real patients."

    @cached_property
    def _header(self) -> pd.Index:
        return read_own(self._existing("analyse/dsc.csv")).columns

    @cached_property
    def _dsc(self) -> pd.DataFrame:
        return self._read("analyse/dsc.csv")

    def _read(self, name: str) -> pd.DataFrame:
        # ASSUME: levels are words, but for those of the dose, which are numbers.
        words = [factor for factor in self.factors if factor not in (self.words.dose, AMOUNT)]
        return read_own(self._existing(name), (*TEXT, *words))

    def _json(self, name: str) -> Plain:
        return read_json(self._existing(name))

    def _existing(self, name: str) -> Path:
        path = self.place(name)
        if not path.is_file():
            raise UserError(f"{path}: no such file; run the step '{name.split('/')[0]}' of this study first.")
        return path


def deployed_arms(design: pd.DataFrame, analyse: Plain, levels: Callable[[str], list[str]]) -> pd.DataFrame:
    """The arms a user would deploy.

    They have the contrast's level ``a`` and the largest dose, and of every other factor the first level. All replicates
    count.

    Args:
        design: one row per arm: ``arm``, then its factors.
        analyse: the section of the config with ``contrast``, ``dose`` and ``replicate``.
        levels: gives a factor's levels in order.

    Returns:
        The rows of these arms; the first arm alone in a study without a contrast.
    """
    contrast, dose = analyse.get("contrast"), (analyse.get("dose") or {}).get("factor")
    if not contrast or contrast["factor"] not in design:
        return design.iloc[:1]
    chosen = design[design[contrast["factor"]] == contrast["a"]]
    if dose in design:
        chosen = chosen[chosen[dose] == chosen[dose].max()]
    for factor in design.columns[1:]:
        if factor not in (contrast["factor"], dose, analyse.get("replicate")):
            first = next((level for level in levels(factor) if (chosen[factor].map(str) == level).any()), None)
            chosen = chosen[chosen[factor].map(str) == first]
    return chosen if len(chosen) else design.iloc[:1]


def unit_words(row: pd.Series, unit: str) -> str:
    """Which unit of a case a row of scores is of: ``left kidney``, ``lesion 2``; nothing for the whole image."""
    side = str(row["side"]) if row["side"] not in ("both", "") else ""
    part = str(row.get("part", "")) if row.get("part", "") not in ("", "both", "none") else ""
    if not side and not part:
        return ""
    return " ".join(word for word in (side, as_words(unit), part) if word)
