"""A study's tables and files as the report reads them: in the order of the design, with names for readers."""

import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from crossmod.job import Plain, UserError, read_json
from crossmod.tables import read_own

# Ids are text: a case called 001 is not 1, and one called NA is not missing.
TEXT = (
    *("arm", "strategy", "subset", "site", "target", "region", "metric", "case", "patient", "subject", "side", "arms"),
    *("modality", "unit", "effect", "verdict", "note", "test", "missing", "reason", "source", "reference_error_source"),
    *("setting", "a", "b", "term", "method", "family", "rows", "grouping", "group"),
    *("rank_test", "rank_note", "normality_test", "mann_whitney_method"),
)

# What the report reads of a hypothesis; a test that could be made nowhere leaves only its reasons.
TESTED = (
    *(
        "at",
        "n",
        "n_subjects",
        "n_dropped",
        "mean_difference",
        "ci_low",
        "ci_high",
        "cohen_dz",
        "skewness",
        "normality_p",
    ),
    *(
        "p_corrected",
        "verdict",
        "note",
        "rows",
        "effect",
        "F",
        "df1",
        "df2",
        "p_gg",
        "rank_p",
        "epsilon_gg",
        "mauchly_p",
    ),
    *("eta_sq_generalised", "amount", "strategy", "mean_assisted", "equivalent_unassisted", "saved", "extrapolates"),
    *("spearman_rho", "pearson_log_r", "r_ci_low", "r_ci_high", "r_p", "mean_small", "mean_large", "difference"),
    *("welch_p", "mann_whitney_p", "term", "estimate", "n_rows", "n_patients"),
    *("grouping", "group"),
)

TARGETS = {
    "kidney": "Kidney",
    "parenchyma_with_tumour": "Parenchyma, with tumour",
    "parenchyma_without_tumour": "Parenchyma, without tumour",
}
REGIONS = {
    "image": "whole image",
    "predicted_box": "end to end",
    "reference_box": "in reference boxes",
}
# What the figures show: the cascade as a user gets it, each stage fed by the one before.
END_TO_END = ("image", "predicted_box")
CORRECTIONS = {
    **{"holm": "Holm", "bonferroni": "Bonferroni", "hochberg": "Hochberg"},
    **{"BH": "Benjamini–Hochberg", "BY": "Benjamini–Yekutieli"},
}
STRATEGIES = {"ct": "CT only", "pure": "MR only (pure)", "mixed": "CT + MR (mixed)"}


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
        """Where a file or folder of the results lies: in this study's folder, or in that of the study it adds sites to."""
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

    def tested(self, name: str) -> pd.DataFrame:
        """The rows of a hypothesis; none where the study does not declare it. Columns that no cell has are empty."""
        declared = (self.root / "analyse" / f"{name}.csv").is_file()
        table = self.table(name) if declared else pd.DataFrame(columns=["site", "target", "region", "tests_in_family"])
        absent = {column: "" if column in TEXT else math.nan for column in TESTED if column not in table}
        return table.assign(**absent)

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
    def design(self) -> pd.DataFrame:
        """One row per arm in the order of the design: arm, strategy, amount, subset."""
        columns = ["arm", "strategy", "amount", "subset"]
        return self._dsc[columns].drop_duplicates().reset_index(drop=True)

    @cached_property
    def arms(self) -> list[str]:
        """Arms that have scores, in the order of the design."""
        return self.design["arm"].tolist()

    @cached_property
    def sites(self) -> list[str]:
        """Sites that have scores, in the order of the design."""
        # The analyse step keeps the order of the design; plain JSON does not.
        return list(dict.fromkeys([*self._dsc["site"], *self.study.get("sites", {})]))

    @cached_property
    def targets(self) -> list[str]:
        """Targets that have scores, in the order of the design."""
        return [target for target in TARGETS if target in set(self._dsc["target"])]

    @cached_property
    def deployed(self) -> pd.DataFrame:
        """The arms a user would choose: mixed, with the most annotated patients, one per subset."""
        mixed = self.design[self.design["strategy"] == "mixed"]
        return mixed[mixed["amount"] == mixed["amount"].max()]

    def site_title(self, site: str) -> str:
        """The name of a site for readers; says so where its patients are simulated."""
        title = self.study.get("sites", {}).get(site, {}).get("title", site.replace("_", " "))
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
    def _dsc(self) -> pd.DataFrame:
        return self._read("analyse/dsc.csv")

    def _read(self, name: str) -> pd.DataFrame:
        return read_own(self._existing(name), TEXT)

    def _json(self, name: str) -> Plain:
        return read_json(self._existing(name))

    def _existing(self, name: str) -> Path:
        path = self.place(name)
        if not path.is_file():
            raise UserError(f"{path}: no such file; run the step '{name.split('/')[0]}' of this study first.")
        return path
