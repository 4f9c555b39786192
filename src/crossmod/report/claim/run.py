"""The facts of a finished study that several items of the checklist ask for."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from crossmod.cohort.table import Cohort
from crossmod.job import Plain
from crossmod.report.claim.items import OPTIONAL
from crossmod.report.cohorts import cohorts_of
from crossmod.report.methods import methods
from crossmod.report.results import TEXT, Results
from crossmod.report.words import END_TO_END
from crossmod.tables import read_own

# (cohort, case)
Cases = set[tuple[str, str]]


@dataclass(frozen=True)
class Run:
    """A study's results (with its whole config) and what several items ask of them."""

    results: Results

    @property
    def study(self) -> Plain:
        return self.results.study

    @cached_property
    def cohorts(self) -> list[Cohort]:
        return cohorts_of(self.results)

    @cached_property
    def told(self) -> dict[str, str]:
        """The page's paragraphs on methods."""
        return dict(methods(self.study, self.results.declared_arms))

    @property
    def arm(self) -> str:
        """What an arm is called."""
        return self.results.words.arm

    @property
    def sections(self) -> list[str]:
        """The sections that the page shows; all of them where the config does not list any."""
        return (self.study.get("report") or {}).get("sections", [place.removeprefix("#") for place in OPTIONAL])

    @cached_property
    def simulated(self) -> bool:
        """Whether all patients are."""
        return all(cohort.simulated for cohort in self.cohorts)

    @cached_property
    def shown(self) -> list[str]:
        """The arms whose numbers are quoted: those of the deployed models."""
        return self.results.deployed["arm"].tolist() or self.results.arms

    @cached_property
    def seeds(self) -> list[int]:
        """How many trainings each arm had."""
        return [len(seeds) for seeds in self.results.notes["seeds"].values()]

    @cached_property
    def trained(self) -> dict[str, Cases]:
        """Arm → the cases that it learned from."""
        return {arm: _pairs(parts["training"]) for arm, parts in self.results.splits["arms"].items()}

    @cached_property
    def validated(self) -> dict[str, list[Cases]]:
        """Site → the cases on which each arm is validated."""
        parts = self.results.splits["arms"].values()
        return {site: [_pairs(p["sites"][site]) for p in parts if site in p["sites"]] for site in self.results.sites}

    def sites_of(self, cohort: Cohort) -> list[str]:
        """Sites whose cases come from a cohort."""
        return [site for site, sets in self.validated.items() if any(cohort.name == name for name, _ in union(sets))]

    def used(self, cohort: Cohort) -> int:
        """How many cases of a cohort train or validate any set."""
        every = union([*self.trained.values(), *(union(sets) for sets in self.validated.values())])
        return sum(name == cohort.name for name, _ in every)

    def sizes(self, site: str) -> str:
        """``Internal MR 240 cases (120 to 240 per training set)``."""
        every, per_set = len(union(self.validated[site])), {len(cases) for cases in self.validated[site]}
        each = "" if per_set == {every} else f" ({span(per_set)} per {self.arm})"
        return f"{self.results.site_title(site)} {every} cases{each}"

    def quoted(self, table: str) -> pd.DataFrame:
        """The rows of a table on the deployed models, end to end."""
        rows = self.results.table(table)
        return rows[rows["arm"].isin(self.shown) & rows["region"].isin(END_TO_END)]

    def table_if_any(self, path: str) -> pd.DataFrame | None:
        """A CSV of the results, or None where there is none."""
        file = self.results.place(path)
        return read_own(file, TEXT) if file.is_file() else None


def _pairs(placed: dict[str, list[str]]) -> Cases:
    return {(cohort, case) for cohort, cases in placed.items() for case in cases}


def union(sets: Iterable[Cases]) -> Cases:
    """All cases of some sets."""
    return set().union(*sets)


def span(values: Collection[float]) -> str:
    """``2 to 6``, or ``2`` where all are the same."""
    return " to ".join(f"{value:g}" for value in sorted({min(values), max(values)}))


def values(given: Plain, without: tuple[str, ...] = ()) -> str:
    """``spacing_mm (2, 2, 5), orientation LPS``; empty values are left out."""
    return ", ".join(f"{key} {_plain(v)}" for key, v in given.items() if v is not None and key not in without)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return f"({values(value)})"
    if isinstance(value, list | tuple):
        return f"({', '.join(map(_plain, value))})"
    return f"{value:g}" if isinstance(value, float) else str(value)
