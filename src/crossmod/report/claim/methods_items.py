"""Items 1 to 31 as far as the study's config answers them: title, aims, methods."""

import pandas as pd

from crossmod.job import Plain
from crossmod.report import provenance
from crossmod.report.claim.items import AUTHORS, NOT_APPLICABLE, PARTLY, REPORTED, Answer, answers
from crossmod.report.claim.run import Run, span, values
from crossmod.report.methods import DESIGN
from crossmod.report.words import listed


def methods_items(run: Run) -> dict[int, Answer]:
    """Number → answer."""
    return {4: _aim(run), 20: _apart(run), 30: _robustness(run)} | _question(run) | _networks(run)


def _aim(run: Run) -> Answer:
    aim, hypotheses = f"Aim: {run.study['title']}, after {run.study['source']}.", run.study["analyse"]["hypotheses"]
    tables = [
        f"{', '.join(h['name'] for h in declared)} (on {table})" for table, declared in hypotheses.items() if declared
    ]
    if not tables:
        return Answer(PARTLY, f"{aim} The config declares no hypothesis: the authors must say what they expected.")
    return Answer(
        REPORTED,
        f"{aim} Hypotheses declared in the config of the run: {'; '.join(tables)}; SHA-256 "
        f"{run.results.record['plan_sha256']}. No hypothesis is marked as primary; tests and margins are in item 29.",
    )


def _question(run: Run) -> dict[int, Answer]:
    """What was asked, and of which cases."""
    regions = listed(f"{_region(stage)} ({name})" for name, stage in run.study["stages"].items())
    targets = ", ".join(map(run.results.words.target_in_text, run.results.targets))
    cases = pd.concat([cohort.cases for cohort in run.cohorts])
    methodical = " A study of methods on simulated patients, without a clinical claim." if run.simulated else ""
    return answers(
        {
            REPORTED: {
                6: f"To compare {len(run.trained)} {run.arm}s for segmentation. {_varied(run)}{methodical}",
                9: f"{run.told['Data']} Grids: item 22. Predictions were resampled back to the scan's own grid.",
                10: f"Of each scan {regions}. Of {len(cases)} cases, {(cases['label'] != '').sum()} have a reference "
                "and could be used.",
                12: _missing(run),
                19: f"{run.told[DESIGN]} There is no tuning set: no score changes a training.",
            },
            PARTLY: {
                1: f"Deep learning: one network per stage ({', '.join(run.study['stages'])}) that segments {targets}. "
                "The authors must name the technology in title or abstract.",
                2: f"Facts for it: {len(run.trained)} {run.arm}s, {len(run.validated)} validation sites (item 21). "
                f"{run.results.provenance} The authors must write the abstract.",
                21: f"Validated: {'; '.join(map(run.sizes, run.results.sites))}. No calculation of these numbers is "
                "part of the run: the authors must justify them.",
            },
            AUTHORS: {
                3: "The scientific and clinical background; who would use the segmentation, for which decision, and "
                "what it would replace or assist.",
            },
        }
    )


def _region(stage: Plain) -> str:
    return (
        "the whole image"
        if stage.get("region", "image") == "image"
        else f"the box of what stage {stage['region']} found"
    )


def _varied(run: Run) -> str:
    """The factors with their levels: ``Varied: Training (CT only, MR only (pure)).``"""
    words, results = run.results.words, run.results
    # Arms without a graded pool have the subset none and the amount 0.
    factors = [
        f"{words.factor(factor)} "
        f"({', '.join(words.level(factor, n) for n in results.levels(factor) if n not in ('none', '0'))})"
        for factor in results.factors
        if results.design[factor].nunique() > 1
    ]
    return f"Varied: {listed(factors)}." if factors else "One arm is described."


def _missing(run: Run) -> str:
    notes, people = run.results.notes, pd.concat([c.cases.drop_duplicates("patient") for c in run.cohorts])
    sex, age = (people["sex"] == "unknown").sum(), people["age"].isna().sum()
    text = (
        f"Cases without a reference neither train nor validate. Entries of units left out of tests: {notes['dropped']} "
        "(each is listed with its reason). A missed organ counts as DSC 0 and an infinite distance, not as missing. "
        f"Sex is unknown in {sex} and age in {age} of {len(people)} patients; neither enters a test."
    )
    for row in notes["skipped"]:
        text += (
            f" {run.results.site_title(row['site'])} has no scores of "
            f"{run.results.words.target_in_text(row['target'])}."
        )
    return text


def _apart(run: Run) -> Answer:
    audit = run.table_if_any("split/audit.csv")
    if audit is None:
        return Answer(PARTLY, "Patients; split/audit.csv is missing: run the step split before this is claimed.")
    return Answer(
        REPORTED,
        f"Patients: all scans of one are on one side of a {run.arm}. Audit of {len(audit)} pairs of {run.arm} and "
        f"site: {audit['shared_patients'].sum()} shared patients, {audit['shared_images'].sum()} shared images (by "
        f"SHA-256 of their voxels). A patient may train one arm and validate another that never saw them.",
    )


def _networks(run: Run) -> dict[int, Answer]:
    """Networks, training, evaluation."""
    study, stages, told = run.study, run.study["stages"], run.told
    overlaps = ", ".join(f"{stage['overlap']:g} ({name})" for name, stage in stages.items())
    software = ", ".join(f"{name} {version}" for name, version in provenance.versions())
    return answers(
        {
            REPORTED: {
                22: f"{told['Networks']} Arguments: {values(study['model'], without=('_target_',))}. Output: "
                f"{_output(study)}. In inference, windows of a patch overlap by {overlaps} and are blended by "
                "a Gaussian.",
                23: f"{software}; as installed when this was written.",
                24: _initial(run),
                25: f"{told['Training']} Precision: {study['training']['precision']}.{_trained(run)}",
                28: told["Evaluation"],
                29: told["Statistics"],
            },
            PARTLY: {
                26: "By no score; see item 25. The authors must say how the settings themselves were chosen, and "
                "whether any score of a validation site was seen before.",
            },
            NOT_APPLICABLE: {
                27: f"No ensemble: each mask comes from one network per stage{_folds(study)}. Scores are averaged over "
                "seeds and, where the models of several replicates score a unit, over these; masks never.",
                31: "No saliency or other method: the output is a mask, shown over the scan for the worst, median and "
                "best.",
            },
        }
    )


def _trained(run: Run) -> str:
    """How many networks the predictions came from; arms may share them. Nothing where that is not on record."""
    count = len({link.href for walk in provenance.walks(run.results) for link in walk.weights if link.href})
    return f" {count} networks were trained." if count else ""


def _output(study: Plain) -> str:
    """What the networks give, and how a mask comes of it."""
    several = any(len(stage.get("classes") or {}) > 1 for stage in study["stages"].values())
    binary = "the probability of foreground, a mask from 0.5 on"
    return (
        f"the probability of each class, the most probable one taken; of a single class {binary}" if several else binary
    )


def _initial(run: Run) -> str:
    study = run.study
    recipes = [recipe or {} for levels in study["factors"].values() for recipe in levels.values()]
    started = any(recipe.get("start") is not None for recipe in recipes)
    drawn = (
        f"Random, as the network's class draws them, from seed {' or '.join(map(str, study['seeds']))}; with the same "
        "seed every training of one network starts from the same weights."
    )
    return f"{drawn} {'Levels that start from another training: item 19.' if started else 'Nothing was pretrained.'}"


def _folds(study: Plain) -> str:
    folds = any(pool.get("folds") for pool in study["pools"].values())
    return (
        ", of the fold that has not seen the case; at other sites the folds' probabilities are pooled" if folds else ""
    )


def _robustness(run: Run) -> Answer:
    several, sites = max(run.seeds) > 1, len(run.results.sites)
    treated = bool(run.study.get("treatments"))
    rest = "" if treated else " Noise, artefacts and other settings were not varied."
    varied = f"{_varied(run)} Sites of validation: {sites}.{rest}"
    if several:
        return Answer(REPORTED, f"{varied} Each {run.arm} was trained with {span(run.seeds)} seeds.")
    once = (
        f"Each {run.arm} was trained once: the authors must state that the spread of trainings is unknown, or add "
        "seeds."
    )
    return Answer(PARTLY, f"{varied} {once}")
