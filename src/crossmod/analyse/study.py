"""The study's own analysis: from all score files to the tables of the report."""

from pathlib import Path
from typing import Any

import pandas as pd

from crossmod import job as jobs
from crossmod.analyse.scores import CELL, COLUMNS, Plan, read_scores
from crossmod.analyse.strategies import INCOMPLETE_COLUMNS, compare_strategies, crossed_sites, units_of
from crossmod.analyse.summary import summarise
from crossmod.analyse.volume import compare_volumes, reference_errors


def run(job: jobs.Job) -> None:
    """Analyse all scores of a study; the folder of tables appears whole or not at all.

    Inputs: ``scores``, CSV files of the evaluate step. Outputs: ``folder``. Settings: see
    :class:`crossmod.analyse.scores.Plan`.

    Written: ``scores.csv`` (all rows in order), ``dsc.csv`` (:func:`summarise`), ``units.csv`` (:func:`units_of`),
    ``rm_anova.csv`` and ``pairwise.csv`` (:func:`compare_strategies`), ``incomplete.csv`` (every unit left out of a test,
    with the missing cells and the reason), ``volumes.csv`` (:func:`compare_volumes`), ``reference_error.csv``
    (:func:`reference_errors`), ``notes.json`` (what a reader must know).

    Raises:
        IncompleteDesignError: duplicate score rows.
        UserError: scores or settings that do not fit each other.
    """
    plan = Plan.of(job.settings)
    scores = read_scores(job.inputs["scores"], plan)
    units = units_of(scores, plan)
    anova, pairwise, incomplete = compare_strategies(units, plan)
    errors = reference_errors(scores, plan)
    volumes, left_out = compare_volumes(scores, errors, plan)
    incomplete = pd.concat([incomplete, left_out], ignore_index=True).reindex(columns=INCOMPLETE_COLUMNS)
    tables = {
        **{"scores": scores[COLUMNS], "dsc": summarise(scores, plan), "units": units.drop(columns="person")},
        **{"rm_anova": anova, "pairwise": pairwise, "incomplete": incomplete},
        **{"volumes": volumes, "reference_error": errors},
    }
    with jobs.whole(job.outputs["folder"]) as folder:
        folder.mkdir()
        for name, table in tables.items():
            _write(table, folder / f"{name}.csv")
        jobs.write_json(folder / "notes.json", notes(scores, tables, plan))


def notes(scores: pd.DataFrame, tables: dict[str, pd.DataFrame], plan: Plan) -> dict[str, Any]:
    """What a reader must know beside the tables: seeds, halves, what was skipped, what could not be tested and why."""
    crossed = crossed_sites(scores, plan)
    halves = {
        True: "models of every subset score each unit; their mean enters the tests",
        False: "each unit is scored by the models of the complementary half, which never saw it",
    }
    seeds = scores.groupby("arm", observed=True)["seed"].agg(lambda s: sorted(int(k) for k in s.unique()))
    seen = scores.groupby(CELL[:2], observed=True).size()
    return {
        "alpha": plan.alpha,
        "correction": f"{plan.correction} over the amounts of one site, target and region; "
        "Bonferroni over the sites and targets of one arm and region for volumes",
        "equal": "no significant difference, not equivalence",
        "seeds": seeds.to_dict(),
        "arms_without_scores": [arm["name"] for arm in plan.arms if arm["name"] not in seeds.index],
        "subsets": {site: halves[many] for site, many in crossed.items()},
        "simulated": scores.groupby("site", observed=True)["simulated"].all().map(bool).to_dict(),
        "independence": _independence(tables["rm_anova"]),
        "reference_error": sorted(tables["reference_error"]["source"].dropna().unique()),
        "skipped": [
            {"site": site, "target": target, "reason": "no scores"}
            for site in plan.sites
            for target in plan.targets
            if (site, target) not in seen.index
        ],
        "untested": _untested(tables),
        "dropped": len(tables["incomplete"]),
    }


def _independence(anova: pd.DataFrame) -> list[str]:
    """Cells in which patients contribute more than one unit to the ANOVA."""
    several = anova[anova["n_patients"] < anova["n_subjects"]].drop_duplicates(CELL)
    return [
        f"{row.site}/{row.target}/{row.region}: {int(row.n_subjects)} units of {int(row.n_patients)} patients; "
        "rm_anova and pairwise take units as independent subjects, intervals and volume tests resample or cluster patients"
        for row in several.itertuples()
    ]


def _untested(tables: dict[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """Cells of the test tables without a number: where, and why (dsc.csv has a note of its own in each row)."""
    found: dict[tuple[str, str], list[str]] = {}
    for name in ("rm_anova", "pairwise", "volumes"):
        table = tables[name]
        labels = [c for c in ("arm", *CELL, "at") if c in table]
        for row in table[table["note"].fillna("") != ""].drop_duplicates([*labels, "note"]).itertuples():
            where = "/".join(str(getattr(row, label)) for label in labels)
            found.setdefault((f"{name}.csv", row.note), []).append(where)
    return [{"table": name, "reason": reason, "where": where} for (name, reason), where in found.items()]


def _write(table: pd.DataFrame, path: Path) -> None:
    table.to_csv(path, index=False, lineterminator="\n")
