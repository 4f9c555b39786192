"""The tables of the study's hypotheses: every test beside its assumptions and its alternatives, every p with its rows."""

import math
from collections.abc import Iterable

import pandas as pd

from crossmod.report.results import CORRECTIONS, END_TO_END, STRATEGIES, Results
from crossmod.report.tables import Cell, Table, number, p_value, place, signed, signed_interval, span, where

UNIT = "unit: the image (kidney) or the kidney (parenchyma)"
Row = dict


def mixed_against_pure(results: Results, regions: Iterable[str] = END_TO_END) -> Table:
    """Mixed minus pure at every amount, site and target: by t, by ranks, by a mixed model, and held against a margin."""
    main = _in_regions(results.tested("pairwise"), regions)
    beside = {name: _by_place(results.tested(name)) for name in ("ranks", "mixed_model", "noninferiority")}
    rows = []
    for row in main.to_dict("records"):
        ranks, model, claim = (found.get(_place_of(row), {}) for found in beside.values())
        rows.append(
            [
                *place(results, row["site"], row["target"]),
                number(row["at"], "g"),
                number(row["n"], "d"),
                signed_interval(row["mean_difference"], row["ci_low"], row["ci_high"], 4),
                _p(row),
                _p(ranks, "ranks"),
                _p(model, "mixed_model"),
                number(row["skewness"], ".1f"),
                _p(row, column="normality_p"),
                number(row["cohen_dz"], ".2f"),
                Cell(row["verdict"] or row["note"]),
                _p(claim, "noninferiority"),
                Cell(claim.get("verdict", "") or claim.get("note", "") or "–"),
            ]
        )
    margin = results.study.get("analyse", {}).get("margin_dsc")
    return Table(
        name=f"Mixed against pure training, {where(regions)}",
        caption="Difference of mean DSC, mixed − pure, paired by unit, with its interval (patients as clusters). p three times: "
        "paired t, Wilcoxon's signed ranks, and a linear mixed model of every row; t takes the differences for normal "
        "(p of Shapiro and Wilk), ranks for symmetric (skewness); nothing is chosen by these. “equal” means no "
        f"significant difference, not equivalence; “non-inferior” is shown against a margin of {margin:g} DSC (p two-sided, "
        f"twice the one-sided). {_facts(results, main, 'n')} {results.provenance}",
        source="analyse/pairwise.csv",
        columns=[
            *("Site", "Target", "MR patients", "n", "Difference", "p (t)", "p (ranks)", "p (model)", "skewness"),
            *("p (normal)", "dz", "Verdict", "p (margin)", "Margin"),
        ],
        rows=rows,
        groups=[("", 4), ("Mixed − pure", 1), ("Corrected p", 3), ("Of the differences", 3), ("", 1), ("Not worse", 2)],
    )


def effects(results: Results, name: str = "rm_anova", regions: Iterable[str] = END_TO_END) -> Table:
    """A repeated-measures ANOVA of every site and target, rank tests and assumptions beside it.

    Args:
        results: of the study.
        name: ``rm_anova`` (strategy × amount) or ``three_way`` (with the subset as a third factor).
        regions: of the rows to show.
    """
    table = _in_regions(results.tested(name), regions)
    rows = []
    for row in table.to_dict("records"):
        untested = math.isnan(row["F"])
        rows.append(
            [
                *place(results, row["site"], row["target"]),
                Cell(row["effect"].replace(":", " × ")),
                number(row["F"], ".2f"),
                Cell(row["note"]) if untested else Cell(f"{row['df1']:g},\N{NO-BREAK SPACE}{row['df2']:g}"),
                _p(row, column="p_gg"),
                _p(row),
                _p(row, column="rank_p"),
                number(row["epsilon_gg"], ".3f"),
                _p(row, column="mauchly_p"),
                _p(row, column="normality_p"),
                number(row["eta_sq_generalised"], ".3f"),
                number(row["n_subjects"], "d"),
                number(row["n_dropped"], "d"),
            ]
        )
    what = "strategy (pure, mixed) and amount of annotated MR patients"
    if name == "three_way":
        what = (
            "subset (the two halves of the pool, two replicates of the training), strategy (pure, mixed) and amount, at the "
            "sites whose units the models of both halves score"
        )
    ways = {"rm_anova": "Two-way", "three_way": "Three-way"}[name]
    return Table(
        name=f"{ways} repeated-measures ANOVA, {where(regions)}",
        caption=f"DSC by {what}, within units; a patient's two kidneys are averaged. p with the correction of Greenhouse and "
        "Geisser (ε); beside it rank tests (Wilcoxon for two levels, Friedman for more; interactions as differences), "
        "Mauchly's test of sphericity and the normality of the contrasts (Shapiro–Wilk, Henze–Zirkler); η² "
        f"generalised. {_facts(results, table, 'n_subjects')} {results.provenance}",
        source=f"analyse/{name}.csv",
        columns=[
            *("Site", "Target", "Effect", "F", "df", "p", "p corrected", "p (ranks)", "ε", "p (sphericity)"),
            *("p (normal)", "η²", "n", "left out"),
        ],
        rows=rows,
    )


def subsets(results: Results, regions: Iterable[str] = END_TO_END) -> Table:
    """Mixed minus pure for each half of the pool by itself: two replicates of the training."""
    return _apart(
        results,
        "by_subset",
        ("Subset", "{subset}"),
        f"Mixed against pure training, each subset by itself, {where(regions)}",
        "The models of each half of the pool are a replicate of the training: where the two disagree, the luck of one "
        "training is larger than the effect. Units of the pool's own site are scored by the models of the other half only.",
        regions,
    )


def subgroups(results: Results, regions: Iterable[str] = END_TO_END) -> Table:
    """Mixed minus pure in smaller and larger organs and tumours, and on either side."""
    return _apart(
        results,
        "subgroups",
        ("Subgroup", "{grouping}: {group}"),
        f"Mixed against pure training in subgroups, {where(regions)}",
        "Units split at the median volume of the organ or the tumour of their site and target, and by side.",
        regions,
    )


def savings(results: Results, regions: Iterable[str] = END_TO_END) -> Table:
    """How many annotated patients of the graded modality the assisting one stands for."""
    table = _in_regions(results.tested("savings"), regions)
    pure = results.design.loc[results.design["strategy"] == "pure", "amount"]
    rows = [_saved(results, row, pure.min(), pure.max()) for row in table.to_dict("records")]
    return Table(
        name=f"Annotations that CT stands for, {where(regions)}",
        caption="MR patients that training on MR alone would need for the mean DSC that CT reaches together with so many MR "
        "patients: read off the curve mean DSC = a + b ln(amount) of pure training, with a jackknife interval over patients, "
        "no test. Beyond the amounts the curve was fitted on nothing is read off: CT and those MR then score worse than the "
        f"fewest, or better than the most MR alone. {_facts(results, table, 'n')} {results.provenance}",
        source="analyse/savings.csv",
        columns=["Site", "Target", "MR patients with CT", "n", "Mean DSC", "MR alone for the same", "Saved"],
        rows=rows,
    )


def size(results: Results, regions: Iterable[str] = END_TO_END) -> Table:
    """Whether scores, and what mixed training adds to them, hang on the size of organ or tumour."""
    most = results.deployed["amount"].max()
    scores = results.tested("size")
    scores = scores[(scores["strategy"] == "mixed") & (scores["amount"] == most)]
    parts = {
        ("size", f"DSC of mixed, {most} MR, by organ volume"): scores,
        ("gain_by_size", "mixed − pure by organ volume"): results.tested("gain_by_size"),
        ("gain_by_tumour", "mixed − pure by tumour volume"): results.tested("gain_by_tumour"),
    }
    shown = {key: _in_regions(part, regions) for key, part in parts.items()}
    rows = [
        _sized(results, name, question, row)
        for (name, question), part in shown.items()
        for row in part.to_dict("records")
    ]
    counted = pd.concat([part.reindex(columns=["n", "n_dropped", "tests_in_family"]) for part in shown.values()])
    return Table(
        name=f"Does size explain it? {where(regions).capitalize()}",
        caption="Spearman's ρ against the reference volume, Pearson's r against its logarithm, and means of the smaller and "
        "larger half with their difference (Welch; Mann–Whitney beside it). The same units are scored by every training "
        "set, so size cannot confound mixed − pure; it can decide for whom it helps. A patient's kidneys are averaged. "
        f"{_facts(results, counted, 'n')} Only Spearman's p is corrected, each question by itself. {results.provenance}",
        source="analyse/size.csv",
        columns=[
            *("Site", "Target", "Question", "n", "ρ", "p (ρ)", "r (log)", "p (r)", "Smaller half", "Larger half"),
            *("Difference", "p (Welch)", "p (Mann–Whitney)"),
        ],
        rows=rows,
    )


def tumour(results: Results, regions: Iterable[str] = ("predicted_box",)) -> Table:
    """Kidneys without tumour against kidneys with one, as they are and at equal volume."""
    most = results.deployed["amount"].max()
    shown = {}
    for name in ("tumour", "tumour_by_size"):
        table = _in_regions(results.tested(name), regions)
        shown[name] = table[(table["amount"] == most) & table["term"].str.startswith("target=")]
    keys = ["site", "region", "strategy"]
    at_equal_volume = {tuple(row[key] for key in keys): row for row in shown["tumour_by_size"].to_dict("records")}
    rows = []
    for row in shown["tumour"].to_dict("records"):
        adjusted = at_equal_volume.get(tuple(row[key] for key in keys), {})
        rows.append(
            [
                Cell(results.site_name(row["site"])),
                Cell(STRATEGIES[row["strategy"]]),
                number(row["n_rows"], "d"),
                number(row["n_patients"], "d"),
                signed_interval(row["estimate"], row["ci_low"], row["ci_high"], 4),
                _p(row),
                _interval_of(adjusted, "tumour_by_size"),
                _p(adjusted, "tumour_by_size"),
            ]
        )
    return Table(
        name=f"Parenchyma without tumour − with tumour, {where(regions)}",
        caption=f"Difference of DSC between kidneys without and with tumour, {most} MR patients: linear mixed model with patients "
        "as random intercepts, first as it is, then with the parenchyma's volume as a covariate. "
        f"{_facts(results, shown['tumour'], 'n_rows')} {results.provenance}",
        source="analyse/tumour.csv",
        columns=["Site", "Training", "kidneys", "patients", "Difference", "p", "At equal volume", "p (equal volume)"],
        rows=rows,
    )


def _sized(results: Results, name: str, question: str, row: Row) -> list[Cell]:
    source = f"analyse/{name}.csv"
    untested = math.isnan(row.get("spearman_rho", math.nan))
    cells = [
        number(row["n"], "d"),
        number(row["spearman_rho"], ".2f"),
        _p(row, name),
        signed_interval(row["pearson_log_r"], row["r_ci_low"], row["r_ci_high"], 2, plus=False),
        _p(row, name, "r_p"),
        number(row["mean_small"], ".3f"),
        number(row["mean_large"], ".3f"),
        signed_interval(row["difference"], row["ci_low"], row["ci_high"], 3),
        _p(row, name, "welch_p"),
        _p(row, name, "mann_whitney_p"),
    ]
    asked = Cell(question, detail=row["note"] if untested else "")
    return [*place(results, row["site"], row["target"]), asked, *(cell.of(source) for cell in cells)]


def _saved(results: Results, row: Row, least: int, most: int) -> list[Cell]:
    equal, note = row["equivalent_unassisted"], row["note"]
    if math.isnan(row["mean_assisted"]):
        cells = [Cell("–"), Cell(note), Cell("–")]
    elif row["extrapolates"]:
        beyond = f"fewer than {least}" if equal < least else f"more than {most}"
        amount = row["amount"]
        known = amount >= least if equal < least else amount <= most
        saved = ("none" if equal < least else f"more than {most - amount:g}") if known else "–"
        cells = [number(row["mean_assisted"], ".3f"), Cell(beyond), Cell(saved)]
    else:
        detail = "" if math.isnan(row["ci_low"]) else f"{row['ci_low']:.0f} to {row['ci_high']:.0f}"
        cells = [
            number(row["mean_assisted"], ".3f"),
            Cell(f"{equal:.0f}", equal, detail or note),
            Cell(signed(row["saved"], 0), row["saved"]),
        ]
    return [*place(results, row["site"], row["target"]), number(row["amount"], "g"), number(row["n"], "d"), *cells]


def _apart(
    results: Results, hypothesis: str, part: tuple[str, str], name: str, what: str, regions: Iterable[str]
) -> Table:
    """Mixed minus pure in parts of the units; ``part`` is the header of their column and how a row names its own."""
    head, words = part
    table = _in_regions(results.tested(hypothesis), regions)
    rows = [
        [
            *place(results, row["site"], row["target"]),
            Cell(words.format(**row)),
            number(row["at"], "g"),
            number(row["n"], "d"),
            signed_interval(row["mean_difference"], row["ci_low"], row["ci_high"], 4),
            _p(row),
            Cell(row["verdict"] or row["note"]),
        ]
        for row in table.to_dict("records")
    ]
    return Table(
        name=name,
        caption=f"{what} Paired t with patients as clusters. {_facts(results, table, 'n')} {results.provenance}",
        source=f"analyse/{hypothesis}.csv",
        columns=["Site", "Target", head, "MR patients", "n", "Difference", "p", "Verdict"],
        rows=rows,
    )


def _interval_of(row: Row, name: str) -> Cell:
    if not row:
        return Cell("–")
    return signed_interval(row["estimate"], row["ci_low"], row["ci_high"], 4).of(f"analyse/{name}.csv")


def _p(row: Row, name: str = "", column: str = "p_corrected") -> Cell:
    """A p-value with the file of the rows it came from; of another table where one is named."""
    cell = p_value(row.get(column, math.nan), row.get("rows", ""))
    return cell.of(f"analyse/{name}.csv") if name else cell


def _place_of(row: Row) -> tuple:
    return (row["site"], row["target"], row["region"], row["at"])


def _by_place(table: pd.DataFrame) -> dict[tuple, Row]:
    return {_place_of(row): row for row in table.to_dict("records")}


def _in_regions(table: pd.DataFrame, regions: Iterable[str]) -> pd.DataFrame:
    return table[table["region"].isin(list(regions))]


def _facts(results: Results, table: pd.DataFrame, count: str) -> str:
    """Unit, n, who is left out and the correction, as every caption says them."""
    sizes = span(table[count])
    left = table["n_dropped"].max() if "n_dropped" in table else 0
    dropped = "none left out" if not left > 0 else f"up to {left:.0f} incomplete ones left out (listed below)"
    words = f"{UNIT[0].upper()}{UNIT[1:]}; {sizes}, {dropped}"
    tests = sorted({int(tests) for tests in table["tests_in_family"]} - {0})
    if not tests:
        return f"{words}; nothing corrected."
    correction = CORRECTIONS.get(results.record["correction"], results.record["correction"])
    return f"{words}; correction: {correction} over {' or '.join(map(str, tests))} tests."
