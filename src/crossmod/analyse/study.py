"""The study's own analysis: from all score files to the tables of the report."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from crossmod import job as jobs
from crossmod.analyse.classes import over_classes
from crossmod.analyse.declared import CELL
from crossmod.analyse.design import Design
from crossmod.analyse.detected import detected_of
from crossmod.analyse.located import rates_of
from crossmod.analyse.plan import AnalysisPlan, Tested, families_of, run_plan
from crossmod.analyse.pooled import pooled_of
from crossmod.analyse.scores import ADDED, cells_of, found_alone, read_scores
from crossmod.analyse.summary import summarise
from crossmod.analyse.tables import (
    INCOMPLETE_COLUMNS,
    comparable,
    crossed_sites,
    curves_of,
    gains_of,
    incomplete_of,
    repeated_arms,
    replicates_of,
    subgroups_of,
    units_of,
    unsegmented,
)
from crossmod.analyse.volume import compare_volumes, reference_errors


def run(job: jobs.Job) -> None:
    """Analyse all scores of a study; the folder of tables appears whole or not at all.

    Inputs: ``scores``, CSV files of the evaluate step. Outputs: ``folder``. Settings: see
    :class:`crossmod.analyse.design.Design`.

    Written: ``scores.csv`` (all rows in order), ``dsc.csv`` (:func:`summarise`), ``units.csv`` (:func:`units_of`),
    ``incomplete.csv`` (every unit left out of a test, with the missing cells and the reason), ``volumes.csv``
    (:func:`compare_volumes`), ``reference_error.csv`` (:func:`reference_errors`), and where the study declares them
    ``classes.csv`` (:func:`over_classes`), ``located.csv`` (:func:`rates_of`), ``pooled.csv`` (:func:`pooled_of`) and
    ``detected.csv`` (:func:`detected_of`); one CSV for each declared hypothesis (:class:`crossmod.analyse.plan.Tested`)
    and ``rows/``, the rows behind every p-value; ``notes.json`` (what a reader must know) and ``record.json`` (hash of
    the plan, families).

    Raises:
        IncompleteDesignError: duplicate score rows.
        UserError: scores or settings that do not fit each other.
    """
    design = Design.of(job.settings)
    found = analyse(read_scores(job.inputs["scores"], design), design)
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


def analyse(scores: pd.DataFrame, design: Design) -> Analysis:
    """Summaries, the declared hypotheses and the agreement of volumes, from the rows of :func:`read_scores`."""
    plans, true = design.plans(), scores[~found_alone(scores, design)]
    compared, summary = comparable(true), summarise(scores, design)
    units = units_of(compared, design)
    tested = _tested(compared, units, design, plans)
    errors = reference_errors(true, design)
    volumes, volume_rows, left_out = compare_volumes(true, errors, design)
    incomplete = [incomplete_of(units, _of_complete_units(design), design), left_out]
    tables = {
        "scores": scores.drop(columns=ADDED),
        "dsc": summary,
        "units": units,
        "incomplete": pd.concat(incomplete, ignore_index=True).reindex(columns=INCOMPLETE_COLUMNS),
        "reference_error": errors,
        **({"classes": over_classes(scores, design)} if design.groups else {}),
        **({"located": rates_of(scores, design)} if "located" in design.words else {}),
        **({"pooled": pooled_of(scores, summary, design)} if design.pooled else {}),
        **({"detected": detected_of(scores, design)} if design.components else {}),
    }
    tested["volumes"] = Tested({"volumes": volumes}, volume_rows)
    hypotheses = {name: table for found in tested.values() for name, table in found.tables.items()}
    record = {
        "plan_sha256": digest_of(design, plans),
        "correction": design.correction,
        "alpha": design.alpha,
        "families": families_of({name: table for name, table in hypotheses.items() if name != "volumes"}),
    }
    return Analysis(tables, tested, notes(scores, tables, hypotheses, design), record)


def digest_of(design: Design, plans: dict[str, AnalysisPlan]) -> str:
    """SHA-256 of what is tested and of what a family is made of.

    Another hypothesis, margin, arm, site, target or seed is another hash, and so is another choice of arms at a site.
    """
    family = {"arms": design.arms, "sites": design.sites, "targets": design.targets, "seeds": design.seeds}
    family |= {"validated": design.validated} if design.validated else {}
    tested = {table: analysis.model_dump(mode="json") for table, analysis in plans.items()}
    return jobs.digest({"plans": tested, "family": family}, 64)


def _of_complete_units(design: Design) -> list[str]:
    """Hypotheses on the first outcome of units that leave out whoever lacks a cell; a mixed model uses every row."""
    first = ("", design.outcomes[0])
    return [h.name for h in design.hypotheses.units if h.test != "mixed_model" and h.outcome in first]


def _tested(
    scores: pd.DataFrame, units: pd.DataFrame, design: Design, plans: dict[str, AnalysisPlan]
) -> dict[str, Tested]:
    """What the hypotheses of each table came to; nothing where no arm that is compared has scores."""
    if units.empty:
        return {}
    found = {}
    for name, analysis in plans.items():
        table = _table(name, scores, units, design)
        for factor, levels in analysis.levels.items():
            if factor in table:
                table = table.assign(**{factor: pd.Categorical(table[factor], categories=levels, ordered=True)})
        found[name] = run_plan(analysis, table, f"rows/{name}", strict=False)
    return found


def _table(name: str, scores: pd.DataFrame, units: pd.DataFrame, design: Design) -> pd.DataFrame:
    """One of the tables that hypotheses are tested on."""
    if name in ("replicates", "crossed"):
        replicates = replicates_of(scores, design)
        crossed = [site for site, many in crossed_sites(scores, design).items() if many]
        return replicates[replicates["site"].isin(crossed)] if name == "crossed" else replicates
    if name == "gains":
        return gains_of(units, design)
    if name == "subgroups":
        return subgroups_of(units, design)
    return curves_of(units, scores, design) if name == "curves" else units


def notes(
    scores: pd.DataFrame, tables: dict[str, pd.DataFrame], hypotheses: dict[str, pd.DataFrame], design: Design
) -> dict[str, Any]:
    """What a reader must know beside the tables: seeds, replicates, what was skipped, what was not tested and why."""
    scores = scores[~found_alone(scores, design)]
    absent = unsegmented(comparable(scores), design)
    seeds = {arm: sorted(int(seed) for seed in rows["seed"].unique()) for (arm,), rows in cells_of(scores, ["arm"])}
    seen = scores.groupby(CELL[:2], observed=True).size()
    return {
        "alpha": design.alpha,
        "correction": f"{design.correction} over each declared family; "
        "Bonferroni over the sites and targets of one arm and region for volumes",
        "equal": "no significant difference, not equivalence",
        "seeds": seeds,
        "arms_without_scores": [arm["name"] for arm in design.arms if arm["name"] not in seeds],
        "subsets": _replicates(scores, design),
        "simulated": scores.groupby("site", observed=True)["simulated"].all().map(bool).to_dict(),
        "independence": _independence(tables["units"]),
        "reference_error": sorted(map(str, tables["reference_error"]["source"].dropna().unique())),
        "skipped": [
            {"site": site, "target": target, "reason": "no scores"}
            for site in design.sites
            for target in design.targets
            if (site, target) not in seen.index
        ],
        "untested": _untested(hypotheses, design),
        "dropped": len(tables["incomplete"]),
        **({"not_segmented": absent} if absent else {}),
        **({"unavailable": design.unavailable} if design.unavailable else {}),
    }


def _replicates(scores: pd.DataFrame, design: Design) -> dict[str, str]:
    """Site → which replicates' models score its units, in words; empty where nothing is repeated."""
    name, repeated = design.factors.replicate, repeated_arms(design)
    if name is None:
        return {}
    others = "complementary half" if repeated[name].nunique() == 2 else f"other {name}s"
    words = {
        True: f"models of every {name} score each unit; their mean enters the tests",
        False: f"each unit is scored by the models of the {others}, which never saw it",
    }
    return {site: words[many] for site, many in crossed_sites(scores, design).items()}


def _independence(units: pd.DataFrame) -> list[str]:
    """Cells in which patients contribute more than one unit."""
    counts = {key: (cell["subject"].nunique(), cell["person"].nunique()) for key, cell in cells_of(units, CELL)}
    return [
        f"{'/'.join(key)}: {subjects} units of {persons} patients; the ANOVA tests patients' means, comparisons "
        "and volumes have cluster-robust intervals by patient"
        for key, (subjects, persons) in counts.items()
        if persons < subjects
    ]


def _untested(tables: dict[str, pd.DataFrame], design: Design) -> list[dict[str, Any]]:
    """Cells of the tests' tables without a number: where, and why (dsc.csv has a note of its own in each row)."""
    found: dict[tuple[str, str], list[str]] = {}
    factors = design.factors
    dose = factors.dose["factor"] if factors.dose else None
    divided = [name for name in factors.within if name != dose]
    order = ["arm", *CELL, factors.replicate, *divided, "grouping", "group", "at", dose]
    for name, table in tables.items():
        labels = [column for column in order if column in table]
        for row in table[table["note"].fillna("") != ""].drop_duplicates([*labels, "note"]).to_dict("records"):
            where = "/".join(str(row[label]) for label in labels if not pd.isna(row[label]))
            found.setdefault((f"{name}.csv", row["note"]), []).append(where)
    return [{"table": name, "reason": reason, "where": where} for (name, reason), where in found.items()]
