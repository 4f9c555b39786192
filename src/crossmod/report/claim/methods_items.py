"""Items 1 to 31 as far as the study's config answers them: title, aims, methods."""

import pandas as pd

from crossmod.report import provenance
from crossmod.report.claim.items import AUTHORS, NOT_APPLICABLE, PARTLY, REPORTED, Answer, answers
from crossmod.report.claim.run import Run, listed, span, target_name


def methods_items(run: Run) -> dict[int, Answer]:
    """Number → answer."""
    return {4: _aim(run), 20: _apart(run), 30: _robustness(run)} | _question(run) | _networks(run)


def _aim(run: Run) -> Answer:
    aim, hypotheses = f"Aim: {run.study['title']}, after {run.study['source']}.", run.study["analyse"]["hypotheses"]
    tables = [f"{', '.join(h['name'] for h in declared)} (on {table})" for table, declared in hypotheses.items()]
    if not tables:
        return Answer(PARTLY, f"{aim} The config declares no hypothesis: the authors must say what they expected.")
    return Answer(
        REPORTED,
        f"{aim} Hypotheses declared in the config of the run: {'; '.join(tables)}; SHA-256 "
        f"{run.results.record['plan_sha256']}. No hypothesis is marked as primary; tests and margins are in item 29.",
    )


def _question(run: Run) -> dict[int, Answer]:
    """What was asked, and of which cases."""
    assist, graded = run.study["arms"]["assist"], run.study["arms"]["graded"]
    regions = " and ".join(
        f"{'the whole image' if stage['region'] == 'image' else 'the box of each kidney'} ({name})"
        for name, stage in run.study["stages"].items()
    )
    cases = pd.concat([cohort.cases for cohort in run.cohorts])
    methodical = " A study of methods on simulated patients, without a clinical claim." if run.simulated else ""
    return answers(
        {
            REPORTED: {
                6: f"To compare training sets for segmentation: {assist['patients']} patients of cohort {assist['cohort']} "
                f"alone, {span(graded['amounts'])} of cohort {graded['cohort']} alone, and both together.{methodical}",
                9: f"{run.told['Data']} Grids: item 22. Predictions were resampled back to the scan's own grid.",
                10: f"Of each scan {regions}. Of {len(cases)} cases, {(cases['label'] != '').sum()} have a reference and "
                "could be used.",
                12: _missing(run),
                19: f"{run.told['Training sets and sites']} There is no tuning set: no score changes a training.",
            },
            PARTLY: {
                1: f"Deep learning: one network per stage of a cascade ({', '.join(run.study['stages'])}) that segments "
                f"{', '.join(map(target_name, run.results.targets))}. The authors must name the technology in title or "
                "abstract.",
                2: f"Facts for it: {len(run.trained)} training sets, {len(run.validated)} validation sites (item 21). "
                f"{run.results.provenance} The authors must write the abstract.",
                21: f"Validated: {'; '.join(map(run.sizes, run.results.sites))}. No calculation of these numbers is part of "
                "the run: the authors must justify them.",
            },
            AUTHORS: {
                3: "The scientific and clinical background; who would use the segmentation, for which decision, and what it "
                "would replace or assist.",
            },
        }
    )


def _missing(run: Run) -> str:
    notes, people = run.results.notes, pd.concat([c.cases.drop_duplicates("patient") for c in run.cohorts])
    sex, age = (people["sex"] == "unknown").sum(), people["age"].isna().sum()
    text = (
        f"Cases without a reference neither train nor validate. Entries of units left out of tests: {notes['dropped']} (each "
        "is listed with its reason). A missed organ counts as DSC 0 and an infinite distance, not as missing. Sex is unknown "
        f"in {sex} and age in {age} of {len(people)} patients; neither enters a test."
    )
    for row in notes["skipped"]:
        text += f" {run.results.site_title(row['site'])} has no scores of {target_name(row['target'])}."
    return text


def _apart(run: Run) -> Answer:
    audit = run.table_if_any("split/audit.csv")
    if audit is None:
        return Answer(PARTLY, "Patients; split/audit.csv is missing: run the step split before this is claimed.")
    return Answer(
        REPORTED,
        f"Patients: all scans of one are on one side of a training set. Audit of {len(audit)} pairs of training set and "
        f"site: {audit['shared_patients'].sum()} shared patients, {audit['shared_images'].sum()} shared images (by SHA-256 of "
        "their voxels). A patient may train one set and validate another that never saw them.",
    )


def _networks(run: Run) -> dict[int, Answer]:
    """Networks, training, evaluation."""
    study, stages, told = run.study, run.study["stages"], run.told
    overlaps = ", ".join(f"{stage['overlap']:g} ({name})" for name, stage in stages.items())
    software = ", ".join(f"{name} {version}" for name, version in provenance.versions())
    return answers(
        {
            REPORTED: {
                22: f"{told['Networks']} Arguments: {listed(study['model'], without=('_target_',))}. Output: probability of "
                f"foreground, a mask from 0.5 on. In inference, windows of a patch overlap by {overlaps} and are blended by "
                "a Gaussian.",
                23: f"{software}; as installed when this was written.",
                24: f"Random, as the network's class draws them, from seed {' or '.join(map(str, study['seeds']))}; with the "
                "same seed every training set starts from the same weights. Nothing was pretrained.",
                25: f"{told['Training']} Precision: {study['training']['precision']}. {sum(run.seeds) * len(stages)} "
                f"networks: {len(run.seeds)} training sets × {len(stages)} stages × seeds.",
                28: told["Evaluation"],
                29: told["Statistics"],
            },
            PARTLY: {
                26: "By no score; see item 25. The authors must say how the settings themselves were chosen, and whether any "
                "score of a validation site was seen before.",
            },
            NOT_APPLICABLE: {
                27: "No ensemble: each mask comes from one network per stage. Scores are averaged over seeds and, where "
                "models of both subsets score a unit, over these; masks never.",
                31: "No saliency or other method: the output is a mask, shown over the scan for the worst, median and best.",
            },
        }
    )


def _robustness(run: Run) -> Answer:
    graded, several = run.study["arms"]["graded"], max(run.seeds) > 1
    varied = (
        f"Varied: the amount of training ({', '.join(map(str, graded['amounts']))} patients of {graded['cohort']}), its "
        f"patients (subsets {' and '.join(graded['subsets'])}), and the site of validation ({len(run.results.sites)}). Noise, "
        "artefacts and other settings were not varied."
    )
    if several:
        return Answer(REPORTED, f"{varied} Each set was trained with {span(run.seeds)} seeds.")
    once = "Each set was trained once: the authors must state that the spread of trainings is unknown, or add seeds."
    return Answer(PARTLY, f"{varied} {once}")
