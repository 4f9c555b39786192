"""The hypotheses that a study declares, found by what they test and never by their names."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from crossmod.job import Plain

TABLES = ("units", "crossed", "replicates", "gains", "subgroups", "curves")
# Labels that every table of a report has columns of its own for.
PLACES = ("site", "target", "region", "setting")


@dataclass(frozen=True)
class Comparison:
    """Tests of the same levels in the same cells, to be shown side by side.

    Attributes:
        table: that they are tested on.
        factor: whose levels are compared.
        each: columns of their cells.
        at: factor at each of whose levels they are compared, or None.
        levels: those compared, the first minus the next ones; none: all of the factor.
        t, ranks, model, margin: the hypothesis of each test, or None where it is not declared.
    """

    table: str
    factor: str
    each: list[str]
    at: str | None
    levels: list[str]
    t: Plain | None = None
    ranks: Plain | None = None
    model: Plain | None = None
    margin: Plain | None = None

    @property
    def main(self) -> Plain:
        """The test whose differences are shown: t, or what there is."""
        return next(test for test in (self.t, self.ranks, self.model, self.margin) if test is not None)

    @property
    def all(self) -> list[Plain]:
        """The tests that are declared, in the order of their columns."""
        return [test for test in (self.t, self.ranks, self.model, self.margin) if test is not None]


@dataclass(frozen=True)
class Declared:
    """The hypotheses of a study by the table that they are tested on.

    Attributes:
        tables: the section ``analyse.hypotheses`` of the config.
    """

    tables: dict[str, list[Plain]] = field(default_factory=dict)

    @classmethod
    def of(cls, study: Plain) -> "Declared":
        """The hypotheses of a config, which may have none."""
        return cls(study.get("analyse", {}).get("hypotheses") or {})

    def on(self, table: str, test: str | None = None) -> list[Plain]:
        """The hypotheses on a table, of one kind of test where it is named."""
        return [hypothesis for hypothesis in self.tables.get(table) or [] if test in (None, hypothesis["test"])]

    def __iter__(self) -> Iterator[tuple[str, Plain]]:
        """Every (table, hypothesis), tables in one order whatever the order of the config's text."""
        names = [*TABLES, *(name for name in self.tables if name not in TABLES)]
        return ((table, hypothesis) for table in names for hypothesis in self.on(table))

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """Every comparison of levels on any table; tests of the same levels in the same cells stand together."""
        groups: dict[str, tuple[str, Plain, dict[str, Plain]]] = {}
        for table, hypothesis in self:
            kind = _kind(hypothesis)
            if kind is None:
                continue
            key, number = _key(table, hypothesis), 2
            # A second test of the same kind gets a table of its own.
            while kind in groups.get(key, ("", {}, {}))[2]:
                key, number = f"{_key(table, hypothesis)} {number}", number + 1
            groups.setdefault(key, (table, hypothesis, {}))[2][kind] = hypothesis
        return [
            Comparison(table, first["within"], first["each"], first.get("at"), compared(first), **tests)
            for table, first, tests in groups.values()
        ]

    def compared_on(self, table: str) -> list[Comparison]:
        """The comparisons on one table."""
        return [comparison for comparison in self.comparisons if comparison.table == table]

    def main_comparison(self, contrast: Plain | None) -> Comparison | None:
        """The comparison of units that the study is about: that of its contrast, else the first."""
        found = self.compared_on("units")
        if contrast:
            pair = {contrast["a"], contrast["b"]}
            asked = [c for c in found if c.factor == contrast["factor"] and (not c.levels or pair <= set(c.levels))]
            found = sorted(asked, key=lambda c: (len(set(c.each) - set(PLACES)), c.t is None))
        return found[0] if found else None

    @cached_property
    def fixed_effects(self) -> list[tuple[Plain, Plain | None]]:
        """Mixed models of fixed effects on units.

        Each stands with the same model at equal volume, where that is declared too.
        """
        models = [h for h in self.on("units", "mixed_model") if h.get("fixed")]
        found, taken = [], set()
        for model in models:
            partner = next((other for other in models if _adds_volume(model, other)), None)
            if model["name"] not in taken:
                found.append((model, partner))
            taken |= {partner["name"]} if partner else set()
        partners = {partner["name"] for _, partner in found if partner}
        return [(model, partner) for model, partner in found if model["name"] not in partners]

    @cached_property
    def sizes(self) -> list[tuple[str, Plain]]:
        """(Table, hypothesis) of every dependence on size."""
        return [(table, hypothesis) for table, hypothesis in self if hypothesis["test"] == "size_dependence"]

    @cached_property
    def halves(self) -> list[Plain]:
        """Comparisons of small with large units."""
        return [hypothesis for _, hypothesis in self if hypothesis["test"] == "size_halves"]

    @cached_property
    def localisations(self) -> list[Plain]:
        """Comparisons of how often something was found."""
        return [hypothesis for _, hypothesis in self if hypothesis["test"] == "localisation"]

    @cached_property
    def others(self) -> list[Plain]:
        """Hypotheses of the kinds that have no table made for them."""
        return [hypothesis for _, hypothesis in self if hypothesis["test"] == "agreement"]


def compared(hypothesis: Plain) -> list[str]:
    """The levels that a comparison names."""
    if hypothesis["test"] == "pairwise":
        return [str(level) for level in hypothesis.get("compare") or []]
    return [hypothesis["a"], hypothesis["b"]]


def outcome_of(table: str, hypothesis: Plain) -> str:
    """The metric that a hypothesis tests."""
    return hypothesis.get("outcome") or ("gain" if table == "gains" else "dsc")


def _kind(hypothesis: Plain) -> str | None:
    """The column that a comparison of levels stands in."""
    test = hypothesis["test"]
    if test == "pairwise":
        return "ranks" if hypothesis.get("method") == "wilcoxon" else "t"
    if test == "mixed_model":
        return None if hypothesis.get("fixed") else "model"
    return "margin" if test == "noninferiority" else None


def _key(table: str, hypothesis: Plain) -> str:
    cell = [hypothesis["within"], compared(hypothesis), hypothesis.get("at"), hypothesis["each"]]
    return json.dumps([table, *cell, hypothesis.get("where") or {}, hypothesis.get("outcome") or ""], sort_keys=True)


def _adds_volume(model: Plain, other: Plain) -> bool:
    """Whether another model is the same but for volumes among its fixed effects."""
    same = all(model.get(key) == other.get(key) for key in ("each", "where", "outcome"))
    added = [term for term in other["fixed"] if term not in model["fixed"]]
    kept = [term for term in other["fixed"] if term in model["fixed"]]
    return same and kept == model["fixed"] and bool(added) and all(term.endswith("_ml") for term in added)
