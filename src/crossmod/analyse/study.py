"""The study's own analysis: from all score files to the tables of the report."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from crossmod import job as jobs
from crossmod.analyse.declared import Hypotheses
from crossmod.analyse.plan import AnalysisPlan, Tested, families_of, run_plan
from crossmod.analyse.scores import CELL, COLUMNS, Plan, read_scores
from crossmod.analyse.strategies import (
    INCOMPLETE_COLUMNS,
    crossed_sites,
    curves_of,
    gains_of,
    incomplete_of,
    replicates_of,
    subgroups_of,
    units_of,
)
from crossmod.analyse.summary import summarise
from crossmod.analyse.volume import compare_volumes, reference_errors
from crossmod.schema import faults_of


def run(job: jobs.Job) -> None:
    """Analyse all scores of a study; the folder of tables appears whole or not at all.

    Inputs: ``scores``, CSV files of the evaluate step. Outputs: ``folder``. Settings: see
    :class:`crossmod.analyse.scores.Plan`.

    Written: ``scores.csv`` (all rows in order), ``dsc.csv`` (:func:`summarise`), ``units.csv`` (:func:`units_of`),
    ``incomplete.csv`` (every unit left out of a test, with the missing cells and the reason), ``volumes.csv``
    (:func:`compare_volumes`), ``reference_error.csv`` (:func:`reference_errors`); one CSV for each declared hypothesis
    (:class:`crossmod.analyse.plan.Tested`) and ``rows/``, the rows behind every p-value; ``notes.json`` (what a reader
    must know) and ``record.json`` (hash of the plan, families).

    Raises:
        IncompleteDesignError: duplicate score rows.
        UserError: scores or settings that do not fit each other.
    """
    plan = Plan.of(job.settings)
    found = analyse(read_scores(job.inputs["scores"], plan), plan)
    with jobs.whole(job.outputs["folder"]) as folder:
        folder.mkdir()
        found.write(folder)


@dataclass(frozen=True)
class Analysis:
    """Everything that the scores of a study say.

    Attributes:
        tables: name → table, ``tested`` apart.
        tested: table that hypotheses are tested on → what they came to.
        notes, record: for ``notes.json`` and ``record.json``.
    """

    tables: dict[str, pd.DataFrame]
    tested: dict[str, Tested]
    notes: dict[str, Any]
    record: dict[str, Any]

    def write(self, folder: Path) -> None:
        """Write all into an empty folder."""
        for name, table in self.tables.items():
            table.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
        for tested in self.tested.values():
            tested.write(folder)
        jobs.write_json(folder / "notes.json", self.notes)
        jobs.write_json(folder / "record.json", self.record)


def analyse(scores: pd.DataFrame, plan: Plan) -> Analysis:
    """Summaries, the declared hypotheses and the agreement of volumes, from the rows of :func:`read_scores`."""
    declared = declared_plans(plan)
    units = units_of(scores, plan)
    tested = _tested(scores, units, plan, declared)
    errors = reference_errors(scores, plan)
    volumes, volume_rows, left_out = compare_volumes(scores, errors, plan)
    tests = [h.name for h in declared["units"].hypotheses if h.test != "mixed_model"] if "units" in declared else []
    incomplete = [incomplete_of(units, tests), left_out]
    tables = {
        **{"scores": scores[COLUMNS], "dsc": summarise(scores, plan), "units": units},
        "incomplete": pd.concat(incomplete, ignore_index=True).reindex(columns=INCOMPLETE_COLUMNS),
        "reference_error": errors,
    }
    tested["volumes"] = Tested({"volumes": volumes}, volume_rows)
    hypotheses = {name: table for found in tested.values() for name, table in found.tables.items()}
    record = {
        **{"plan_sha256": digest_of(plan, declared), "correction": plan.correction, "alpha": plan.alpha},
        "families": families_of({name: table for name, table in hypotheses.items() if name != "volumes"}),
    }
    return Analysis(tables, tested, notes(scores, tables, hypotheses, plan), record)


def declared_plans(plan: Plan) -> dict[str, AnalysisPlan]:
    """Table → plan of the hypotheses declared for it.

    Raises:
        UserError: listing every fault with its key.
    """
    try:
        return Hypotheses.model_validate(plan.hypotheses).plans(plan)
    except ValidationError as error:
        lines = "\n".join(f"  {line}" for line in faults_of(Hypotheses, error, "hypotheses"))
        raise jobs.UserError(f"The study's hypotheses are not valid:\n{lines}") from error


def digest_of(plan: Plan, declared: dict[str, AnalysisPlan]) -> str:
    """SHA-256 of what is tested and of what a family is made of: another hypothesis, margin, arm, site, target or seed is another hash."""
    family = {"arms": plan.arms, "sites": plan.sites, "targets": plan.targets, "seeds": plan.seeds}
    plans = {table: analysis.model_dump(mode="json") for table, analysis in declared.items()}
    return jobs.digest({"plans": plans, "family": family}, 64)


def _tested(
    scores: pd.DataFrame, units: pd.DataFrame, plan: Plan, declared: dict[str, AnalysisPlan]
) -> dict[str, Tested]:
    """What the hypotheses of each table came to; nothing where no pure or mixed arm has scores."""
    if units.empty:
        return {}
    crossed = [site for site, many in crossed_sites(scores, plan).items() if many]
    replicates = replicates_of(scores, plan)
    tables = {
        **{"units": units, "replicates": replicates, "crossed": replicates[replicates["site"].isin(crossed)]},
        **{"gains": gains_of(units), "subgroups": subgroups_of(units), "curves": curves_of(units, scores, plan)},
    }
    found = {}
    for name, analysis in declared.items():
        table = tables[name]
        for factor, levels in analysis.levels.items():
            if factor in table:
                table = table.assign(**{factor: pd.Categorical(table[factor], categories=levels, ordered=True)})
        found[name] = run_plan(analysis, table, f"rows/{name}", strict=False)
    return found


def notes(
    scores: pd.DataFrame, tables: dict[str, pd.DataFrame], hypotheses: dict[str, pd.DataFrame], plan: Plan
) -> dict[str, Any]:
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
        "correction": f"{plan.correction} over each declared family; "
        "Bonferroni over the sites and targets of one arm and region for volumes",
        "equal": "no significant difference, not equivalence",
        "seeds": seeds.to_dict(),
        "arms_without_scores": [arm["name"] for arm in plan.arms if arm["name"] not in seeds.index],
        "subsets": {site: halves[many] for site, many in crossed.items()},
        "simulated": scores.groupby("site", observed=True)["simulated"].all().map(bool).to_dict(),
        "independence": _independence(tables["units"]),
        "reference_error": sorted(tables["reference_error"]["source"].dropna().unique()),
        "skipped": [
            {"site": site, "target": target, "reason": "no scores"}
            for site in plan.sites
            for target in plan.targets
            if (site, target) not in seen.index
        ],
        "untested": _untested(hypotheses),
        "dropped": len(tables["incomplete"]),
    }


def _independence(units: pd.DataFrame) -> list[str]:
    """Cells in which patients contribute more than one unit."""
    counts = units.groupby(CELL, observed=True)[["subject", "person"]].nunique()
    return [
        f"{'/'.join(key)}: {row.subject} units of {row.person} patients; the ANOVA tests patients' means, comparisons "
        "and volumes have cluster-robust intervals by patient"
        for key, row in zip(counts.index, counts.itertuples(), strict=True)
        if row.person < row.subject
    ]


def _untested(tables: dict[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """Cells of the tests' tables without a number: where, and why (dsc.csv has a note of its own in each row)."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, table in tables.items():
        labels = [c for c in ("arm", *CELL, "subset", "strategy", "grouping", "group", "at", "amount") if c in table]
        for row in table[table["note"].fillna("") != ""].drop_duplicates([*labels, "note"]).to_dict("records"):
            where = "/".join(str(row[label]) for label in labels if not pd.isna(row[label]))
            found.setdefault((f"{name}.csv", row["note"]), []).append(where)
    return [{"table": name, "reason": reason, "where": where} for (name, reason), where in found.items()]
