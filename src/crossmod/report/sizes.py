"""The tables that ask why.

Does size explain a score or a gain, does a fact explain it at equal volume, and what does assisting save?
"""

import math
from collections.abc import Iterable

import pandas as pd

from crossmod.job import Plain
from crossmod.report.columns import Column, Row, built, facts, in_regions, places, test_p
from crossmod.report.declared import outcome_of
from crossmod.report.results import Results
from crossmod.report.tables import Cell, Table, number, place, signed, signed_interval
from crossmod.report.words import END_TO_END, as_words, capital, metric_name, short, small, volume_name, where


def size(results: Results, regions: Iterable[str] = END_TO_END) -> Table | None:
    """Whether scores, and what the contrast adds to them, depend on a size.

    None where no such hypothesis is declared.
    """
    regions = tuple(regions)
    if not results.declared.sizes:
        return None
    shown = [
        (hypothesis, _question(results, table, hypothesis), in_regions(_of_deployed(results, hypothesis), regions))
        for table, hypothesis in results.declared.sizes
    ]
    rows = [
        _sized(results, hypothesis, question, row)
        for hypothesis, question, table in shown
        for row in table.to_dict("records")
    ]
    counts = ["n", "n_dropped", "tests_in_family", "target"]
    counted = pd.concat([table.reindex(columns=counts) for *_, table in shown], ignore_index=True)
    return Table(
        name=f"Does size explain it? {where(regions).capitalize()}",
        caption="Spearman's ρ against the reference volume, Pearson's r against its logarithm, and means of the "
        f"smaller and larger half with their difference (Welch; Mann–Whitney beside it). {_confounding(results)}A "
        f"patient's units are averaged. {facts(results, counted, 'n')} Only Spearman's p is corrected, each question "
        f"by itself. {results.provenance}",
        source=f"analyse/{shown[0][0]['name']}.csv",
        columns=[
            "Site",
            "Target",
            "Question",
            "n",
            "ρ",
            "p (ρ)",
            "r (log)",
            "p (r)",
            "Smaller half",
            "Larger half",
            "Difference",
            "p (Welch)",
            "p (Mann–Whitney)",
        ],
        rows=rows,
    )


def fixed_effects(results: Results, regions: Iterable[str] = END_TO_END) -> list[Table]:
    """Every mixed model of fixed effects on units.

    The same model at equal volume stands beside it where that is declared.
    """
    return [_fixed(results, model, partner, tuple(regions)) for model, partner in results.declared.fixed_effects]


def savings(results: Results, regions: Iterable[str] = END_TO_END) -> list[Table]:
    """How many annotated patients the assisting training stands for, one table for each hypothesis."""
    return [
        _savings(results, hypothesis, tuple(regions))
        for hypothesis in results.declared.on("curves", "annotation_savings")
    ]


def _fixed(results: Results, model: Plain, partner: Plain | None, regions: tuple[str, ...]) -> Table:
    first = model["fixed"][0]
    table = of_largest_dose(results, model)
    effects = in_regions(table[_is_level(table["term"], first)], regions)
    columns = places(results, model, hidden=[results.words.dose or ""])
    if effects["term"].nunique() > 1:
        columns.append(Column("Effect", lambda row: Cell(_term_in_words(results, row["term"]))))
    columns += [
        Column("units", lambda row: number(row["n_rows"], "d")),
        Column("patients", lambda row: number(row["n_patients"], "d")),
        Column("Difference", lambda row: signed_interval(row["estimate"], row["ci_low"], row["ci_high"], 4)),
        Column("p", test_p),
    ]
    if partner:
        columns += _at_equal_volume(results, partner)
    beside = f", first as it is, then with the {_volumes_of(partner, model)} as a covariate" if partner else ""
    dose = results.most if results.words.dose in model["each"] else ""
    return built(
        name=f"{_effect_in_words(results, model)}, {where(regions)}",
        caption=f"Difference of the {metric_name(outcome_of('units', model))}{dose}: linear mixed model with patients "
        f"as random intercepts{beside}. {facts(results, effects, 'n_rows', _targets(model))} {results.provenance}",
        source=f"analyse/{model['name']}.csv",
        columns=columns,
        rows=effects.to_dict("records"),
    )


def _at_equal_volume(results: Results, partner: Plain) -> list[Column]:
    table = of_largest_dose(results, partner)
    keys = [*partner["each"], "term"]
    found = {tuple(row[key] for key in keys): row for row in table.to_dict("records")}

    def estimate(row: Row) -> Cell:
        other = found.get(tuple(row[key] for key in keys))
        if other is None:
            return Cell("–")
        return signed_interval(other["estimate"], other["ci_low"], other["ci_high"], 4).of(
            f"analyse/{partner['name']}.csv"
        )

    def p(row: Row) -> Cell:
        return test_p(found.get(tuple(row[key] for key in keys), {}), partner)

    return [Column("At equal volume", estimate), Column("p (equal volume)", p)]


def _savings(results: Results, hypothesis: Plain, regions: tuple[str, ...]) -> Table:
    table = in_regions(results.tested(hypothesis), regions)
    factor, dose = hypothesis["within"], hypothesis["amount"]
    alone = results.design.loc[results.design[factor] == hypothesis["unassisted"], dose]
    rows = [_saved(results, row, alone.min(), alone.max()) for row in table.to_dict("records")]
    assisted, unassisted = (results.words.level(factor, hypothesis[key]) for key in ("assisted", "unassisted"))
    title, metric = results.words.factor(dose), metric_name(outcome_of("curves", hypothesis))
    return Table(
        name=f"What {assisted} saves, {where(regions)}",
        caption=f"The {title} that {unassisted} would need for the mean {metric} that {assisted} reaches with so many: "
        f"read off the curve mean {metric} = a + b ln(amount) of {unassisted}, with a jackknife interval over "
        f"patients, no test. Beyond the amounts that the curve was fitted on nothing is read off: {assisted} then "
        f"scores worse than {unassisted} with the fewest, or better than with the most. {facts(results, table, 'n')} "
        f"{results.provenance}",
        source=f"analyse/{hypothesis['name']}.csv",
        columns=["Site", "Target", capital(title), "n", f"Mean {metric}", f"{unassisted} for the same", "Saved"],
        rows=rows,
    )


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


def _of_deployed(results: Results, hypothesis: Plain) -> pd.DataFrame:
    """The rows of a size dependence on the deployed models' level and dose, where its cells tell these apart."""
    contrast = results.words.contrast
    table = of_largest_dose(results, hypothesis)
    if contrast and contrast["factor"] in hypothesis["each"]:
        table = table[table[contrast["factor"]].map(str) == contrast["a"]]
    return table


def of_largest_dose(results: Results, hypothesis: Plain) -> pd.DataFrame:
    """The rows of a hypothesis at the largest dose; all of them where its cells do not tell doses apart."""
    table, dose = results.tested(hypothesis), results.words.dose
    if dose not in hypothesis["each"] or dose not in results.factors or table.empty:
        return table
    return table[table[dose] == results.deployed[dose].max()]


def _question(results: Results, table: str, hypothesis: Plain) -> str:
    """``DSC of mixed, 6 MR patients, by organ volume``, or ``mixed − pure by organ volume``."""
    contrast = results.words.contrast
    by = f"by {volume_name(hypothesis['volume'])}"
    if table == "gains" and contrast:
        return f"{short(contrast['a'])} − {short(contrast['b'])} {by}"
    metric = metric_name(outcome_of(table, hypothesis))
    level = f" of {short(contrast['a'])}" if contrast and contrast["factor"] in hypothesis["each"] else ""
    dose = results.most if results.words.dose in hypothesis["each"] else ""
    return f"{metric}{level}{dose}{',' if dose else ''} {by}"


def _sized(results: Results, hypothesis: Plain, question: str, row: Row) -> list[Cell]:
    source = f"analyse/{hypothesis['name']}.csv"
    shown = {"site", "target", "region", "setting", results.words.dose, (results.words.contrast or {}).get("factor")}
    further = [results.words.level(name, row[name]) for name in hypothesis["each"] if name not in shown]
    untested = math.isnan(row.get("spearman_rho", math.nan))
    cells = [
        number(row["n"], "d"),
        number(row["spearman_rho"], ".2f"),
        test_p(row, hypothesis),
        signed_interval(row["pearson_log_r"], row["r_ci_low"], row["r_ci_high"], 2, plus=False),
        test_p(row, hypothesis, "r_p"),
        number(row["mean_small"], ".3f"),
        number(row["mean_large"], ".3f"),
        signed_interval(row["difference"], row["ci_low"], row["ci_high"], 3),
        test_p(row, hypothesis, "welch_p"),
        test_p(row, hypothesis, "mann_whitney_p"),
    ]
    asked = Cell(", ".join([question, *further]), detail=row["note"] if untested else "")
    return [*place(results, row.get("site"), row.get("target")), asked, *(cell.of(source) for cell in cells)]


def _confounding(results: Results) -> str:
    contrast = results.words.contrast
    if not contrast or not any(table == "gains" for table, _ in results.declared.sizes):
        return ""
    pair = f"{short(contrast['a'])} − {short(contrast['b'])}"
    return (
        f"The same units are scored by every {results.words.arm}, so size cannot confound {pair}; it can decide for "
        "whom the difference is large. "
    )


def _effect_in_words(results: Results, model: Plain) -> str:
    """What a model's first fixed effect compares."""
    first, values = model["fixed"][0], model.get("where", {}).get(model["fixed"][0])
    if first == "target" and isinstance(values, list) and len(values) == 2:
        reference, other = (results.words.target(name) for name in values)
        return f"{other}: difference from {small(reference)}"
    return f"Effect of {results.words.factor(first)}"


def _targets(model: Plain) -> list[str]:
    """The targets that a model's rows are of, where it says so."""
    values = (model.get("where") or {}).get("target") or []
    return values if isinstance(values, list) else [values]


def _term_in_words(results: Results, term: str) -> str:
    factor, _, level = term.partition("=")
    if not level:
        return as_words(term)
    return results.words.target(level) if factor == "target" else results.words.level(factor, level)


def _is_level(terms: pd.Series, factor: str) -> pd.Series:
    """Terms of a factor's levels, or of a covariate itself."""
    terms = terms.astype(str)
    return terms.str.startswith(f"{factor}=") | (terms == factor)


def _volumes_of(partner: Plain, model: Plain) -> str:
    return " and ".join(volume_name(term) for term in partner["fixed"] if term not in model["fixed"])
