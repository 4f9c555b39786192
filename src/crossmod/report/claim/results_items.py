"""Items 35 to 44 that hang on what came out: numbers, performance, failures, limits."""

from importlib import metadata
from typing import Any

import pandas as pd

from crossmod.report.claim.items import AUTHORS, NOT_APPLICABLE, PARTLY, REPORTED, Answer, answers
from crossmod.report.claim.run import Run, span, union
from crossmod.report.overlays import choose
from crossmod.report.results import unit_words
from crossmod.report.rows import each, rows_of
from crossmod.report.tables import signed
from crossmod.report.words import metric_name

# ASSUME: with fewer patients an interval is wide enough to be named among the limits.
FEW_PATIENTS = 30


def results_items(run: Run) -> dict[int, Answer]:
    """Number → answer."""
    people = f"{_people(run)} {run.results.provenance} Other {run.arm}s are listed under Patients."
    unknown = "The authors must add what is unknown, and clinical characteristics of real patients."
    found = {
        36: Answer(REPORTED, people) if run.simulated else Answer(PARTLY, f"{people} {unknown}"),
        38: _volumes(run),
    }
    return found | answers(
        {
            REPORTED: {37: _performance(run)},
            PARTLY: {
                39: f"{_failures(run)} The authors must look at the failures and explain them.",
                40: f"Known to the run: {'; '.join(_limits(run))}. The authors must add those of their data and "
                "question: selection, scanners, reference, generality.",
                42: "The whole config of the run, and the job of every step (job.json), with which it can be repeated, "
                "lie beside the results. The authors must cite the protocol of the study, if there is one.",
            },
            AUTHORS: {44: "Sources of funding and other support, and what the funders had to do with the study."},
        }
    )


def published(scans: Answer) -> Answer:
    """Item 43: software and weights, and what holds of the scans."""
    licence = metadata.metadata("crossmod")["License-Expression"]
    return Answer(
        PARTLY,
        f"crossmod {metadata.version('crossmod')}, {licence}; weights of every network as safetensors beside the "
        f"results. {scans.text} The authors must give the addresses at which code, weights and results are published.",
    )


def _people(run: Run) -> str:
    parts = {f"training {arm}": run.trained[arm] for arm in run.shown}
    parts |= {f"validation {run.results.site_title(site)}": union(sets) for site, sets in run.validated.items()}
    texts = []
    for name, cases in parts.items():
        rows = [c.cases[[(c.name, case) in cases for case in c.cases["case"]]] for c in run.cohorts]
        texts.append(f"{name}: {_demographics(pd.concat(rows).drop_duplicates('patient'))}")
    return f"Age as median (quartiles). {'; '.join(texts)}."


def _demographics(part: pd.DataFrame) -> str:
    sexes, age = part["sex"].value_counts(), part["age"].dropna()
    unknown = f" ({sexes['unknown']} unknown)" if "unknown" in sexes else ""
    quartiles = f"{age.median():.0f} ({age.quantile(0.25):.0f}–{age.quantile(0.75):.0f})" if len(age) else "unknown"
    known = part.loc[part["tumour_side"] != "unknown", "tumour_side"]
    tumours = f"{(known != 'none').sum()} with a tumour" if len(known) else "tumours unknown"
    return f"{len(part)} patients, {sexes.get('female', 0)} female{unknown}, age {quartiles}, {tumours}"


def _performance(run: Run) -> str:
    results, target = run.results, run.results.targets[0]
    rows = run.quoted("dsc")
    rows = rows[(rows["metric"] == results.metric) & (rows["target"] == target)]
    means = [
        f"{results.site_title(site)} (n = {span(here['n'])}) {', '.join(map(_mean, rows_of(here)))}"
        for site, here in each(rows, "site")
    ]
    return (
        f"Mean {metric_name(results.metric)} of the {results.words.target_in_text(target)} with "
        f"{100 * run.study['analyse']['confidence']:g} % interval: {'; '.join(means)}. Other {run.arm}s, targets and "
        f"measures: tables under Scores; comparisons: under Comparison. {results.provenance}"
    )


def _mean(row: Any) -> str:
    if pd.isna(row.mean):
        return f"{row.arm} – ({row.note})"
    interval = "" if pd.isna(row.ci_low) else f" ({row.ci_low:.3f}–{row.ci_high:.3f})"
    return f"{row.arm} {row.mean:.3f}{interval}"


def _volumes(run: Run) -> Answer:
    """No diagnosis is made; what a reader would act on is the volume."""
    no_diagnosis = "The networks make no diagnosis: there is no sensitivity or specificity."
    parts = [
        f"{run.results.words.target_in_text(target)} from {signed(here['mean_difference'].min(), 1)} to "
        f"{signed(here['mean_difference'].max(), 1)} ml, limits of agreement within {signed(here['loa_low'].min(), 1)} "
        f"to {signed(here['loa_high'].max(), 1)} ml"
        for target, here in each(run.quoted("volumes").dropna(subset="mean_difference"), "target")
    ]
    if not parts:
        return Answer(NOT_APPLICABLE, f"{no_diagnosis} No volumes were compared.")
    return Answer(
        REPORTED,
        f"{no_diagnosis} Precision of the volumes, {' and '.join(run.shown)}, mean difference to the reference over "
        f"the sites: {'; '.join(parts)}. Intervals and tests: table under Volumes. {run.results.provenance}",
    )


def _failures(run: Run) -> str:
    """Units that were missed altogether, and the worst one of each target."""
    worst = []
    for target in run.results.targets:
        ranks = choose(run.results, target).values()
        if not ranks:
            continue
        unit = min((rank["worst"] for rank in ranks), key=lambda row: row["dsc"])
        which = unit_words(unit, unit["unit"])
        place = f"{unit['case']}{', ' * bool(which)}{which}, {run.results.site_title(unit['site'])}, {unit['arm']}"
        worst.append(f"{run.results.words.target_in_text(target)} {unit['dsc']:.3f} ({place})")
    scores = run.quoted("scores").dropna(subset="dsc")
    zero = scores[scores["dsc"] == 0]
    empty = (zero["volume_predicted_ml"] == 0) | (zero["volume_reference_ml"] == 0)
    return (
        f"{' and '.join(run.shown)}: {len(zero)} of {len(scores)} scores end to end are a DSC of 0, "
        f"{empty.sum()} of them with an empty mask. Lowest DSC: {'; '.join(worst)}. The worst of every site is "
        "shown with its reference."
    )


def _limits(run: Run) -> list[str]:
    results, notes = run.results, run.results.notes
    known = []
    if results.simulated:
        known += [results.provenance.removesuffix("."), "numbers on simulated patients are no evidence about patients"]
    if run.study["scale"] == "smoke":
        known.append("scale smoke: trained for a few steps only, the scores mean nothing")
    if max(run.seeds) == 1:
        known.append(f"every {run.arm} was trained once, so differences include the luck of a single training")
    elif once := run.seeds.count(1):
        known.append(
            f"{once} of {len(run.seeds)} {run.arm}s were trained once; what differs from them includes the luck of a "
            "single training"
        )
    known.append(f"“not shown to differ” means {notes['equal']}")
    patients = run.quoted("dsc").groupby("site", observed=True)["n_patients"].max()
    few = patients[patients < FEW_PATIENTS]
    known += [f"{results.site_title(str(site))} has {n} patients only" for site, n in few.items()]
    known += notes["independence"]
    if notes["untested"]:
        tables = ", ".join(dict.fromkeys(row["table"] for row in notes["untested"]))
        known.append(f"numbers are missing from {tables}, each with its reason in the notes")
    return known
