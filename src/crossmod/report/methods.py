"""The methods of a study in sentences, written from its config alone."""

from crossmod.job import Plain
from crossmod.report.results import CORRECTIONS

PARTS = {
    "other_half": "the half of the pool that a training set did not draw from",
    "held_out": "patients outside the pool",
    "all": "all patients",
}
SOURCES = {
    "simulated": "simulated patients",
    "folder": "scans of the user",
    "kits23": "KiTS23",
    "amos22": "AMOS22",
    "chaos": "CHAOS",
    "totalsegmentator": "TotalSegmentator",
}
WAYS = {1: "one-way", 2: "two-way", 3: "three-way"}


def methods(study: Plain) -> list[tuple[str, str]]:
    """Headings and paragraphs.

    Args:
        study: the whole validated config.
    """
    return [
        ("Data", _data(study)),
        ("Training sets and sites", _design(study)),
        ("Networks", _networks(study)),
        ("Training", _training(study)),
        ("Evaluation", _evaluation(study)),
        ("Statistics", _statistics(study["analyse"])),
    ]


def _data(study: Plain) -> str:
    parts = []
    for name, cohort in study["cohorts"].items():
        count = f"{cohort['cases']} " if cohort.get("cases") else ""
        drawn = f", seed {cohort['seed']}" if cohort.get("seed") is not None else ""
        title = f" ({cohort['title']})" if cohort.get("title") else ""
        parts.append(f"{name}{title}: {count}{SOURCES.get(cohort['source'], cohort['source'])}{drawn}")
    low, high = (f"{hu:g}".replace("-", "−") for hu in study["normalisation"]["ct_window_hu"])
    first, last = study["normalisation"]["mr_percentiles"]
    return (
        f"Cohorts: {'; '.join(parts)}. Scans were oriented to patient axes and resampled once per stage. CT was clipped to {low} to "
        f"{high} HU, MR to its percentiles {first:g} to {last:g}; each scan was then standardised. The networks see one "
        "grey-level channel and no modality flag."
    )


def _design(study: Plain) -> str:
    assist, graded = study["arms"]["assist"], study["arms"]["graded"]
    amounts = ", ".join(map(str, graded["amounts"]))
    subsets = " and ".join(graded["subsets"])
    sites = "; ".join(
        f"{site['title']} ({PARTS.get(site['part'], site['part'])} of cohort {site['cohort']})"
        for site in study["sites"].values()
    )
    count = 1 + 2 * len(graded["subsets"]) * len(graded["amounts"])
    return (
        f"The design follows {study['source']}. {count} training sets: {assist['patients']} patients of cohort "
        f"{assist['cohort']} alone; {amounts} patients of each of the disjoint subsets {subsets} of cohort "
        f"{graded['cohort']} (nested); and both together. Patients were drawn with seed {study['split_seed']}; no "
        f"patient and no image trains and validates the same arm (audited). Validation sites: {sites}."
    )


def _networks(study: Plain) -> str:
    model = study["model"]
    stages = []
    for name, stage in study["stages"].items():
        spacing = " × ".join(f"{mm:g}" for mm in stage["spacing_mm"])
        patch = " × ".join(map(str, stage["patch"]))
        where = "the whole image" if stage["region"] == "image" else "the box of each kidney"
        jitter = f", the box moved by up to {stage['jitter_mm']:g} mm in training" if stage.get("jitter_mm") else ""
        margin = f" with a margin of {stage['margin_mm']:g} mm" if stage["region"] != "image" else ""
        kept = stage["components"]
        components = f"the {kept} largest components are" if kept > 1 else "the largest component is"
        stages.append(
            f"stage {name} ({', '.join(stage['structures'])}) on {where}{margin}{jitter}, grid {spacing} mm, patches of "
            f"{patch} voxels; {components} kept"
        )
    width = model.get("channels") or model.get("filters")
    levels = f" with {len(width)} levels of {', '.join(map(str, width))} channels" if width else ""
    return f"A cascade of {model['_target_'].rsplit('.', 1)[-1]} networks ({model['_target_']}){levels}: {'; '.join(stages)}."


def _training(study: Plain) -> str:
    training = study["training"]
    steps = ", ".join(f"{stage['steps']} ({name})" for name, stage in study["stages"].items())
    seeds = ", ".join(map(str, study["seeds"]))
    augmentation = training["augmentation"]
    changes = [
        f"rotation up to {augmentation['rotation_deg']:g}° and scaling up to {100 * augmentation['scale']:g} % "
        f"(probability {augmentation['affine']:g})",
        *(f"{name} ({augmentation[name]:g})" for name in ("noise", "blur", "brightness", "contrast", "gamma")),
    ]
    balance = {
        "natural": "every case was drawn equally often",
        "modality": "CT and MR were drawn equally often",
    }[training["balance"]]
    return (
        f"Dice and cross-entropy loss; AdamW, learning rate {training['learning_rate']:g} with polynomial decay, weight decay "
        f"{training['weight_decay']:g}, warm-up over {100 * training['warmup']:g} % of the steps, batches of {training['batch']} patches, "
        f"{100 * training['foreground']:g} % of them forced onto foreground; {balance}. Augmentation: "
        f"{', '.join(changes)}. Every training set gets the same number of optimiser steps: {steps}; seeds: {seeds}. The last "
        "weights are kept, none is chosen by a validation score."
    )


def _evaluation(study: Plain) -> str:
    return (
        "Masks were scored in the scan's own space: Dice similarity "
        "coefficient (DSC), 95 % Hausdorff distance, surface DSC at a tolerance of "
        f"{study['surface_tolerance_mm']:g} mm, and volume. The kidney is scored per image, parenchyma per kidney, with "
        "and without tumour, end to end and once more inside the boxes of the reference kidneys. One empty mask scores "
        "a DSC of 0 and an infinite distance; two empty masks score nothing."
    )


def _statistics(analyse: Plain) -> str:
    correction = CORRECTIONS.get(analyse["correction"], analyse["correction"])
    declared = [hypothesis for table in analyse["hypotheses"].values() for hypothesis in table]
    tests = "; ".join(dict.fromkeys(_test(hypothesis) for hypothesis in declared))
    if analyse.get("reference_error_ml") is None:
        error = "the ellipsoid formula measured on the same reference kidneys"
    else:
        error = f"{analyse['reference_error_ml']:g} ml ({analyse['reference_error_source']})"
    return (
        "Hypotheses, margins and families were declared in the config. Tests, per site and target: "
        f"{tests}. The patient is the unit of independence: where a patient has two kidneys in a test, ANOVA and "
        "correlations take their mean, paired tests are cluster-robust (CR2, Satterthwaite; signed ranks by cluster). Units that lack a cell are left "
        "out of paired tests and listed; mixed models use every row. Assumptions are tested and printed beside the results, "
        f"and choose nothing. Each family – all sites, targets and amounts of one test – is corrected after {correction}, α = "
        f"{analyse['alpha']:g}. Intervals at {100 * analyse['confidence']:g} %; those of means resample patients (BCa). Volumes: mean "
        "difference, limits of agreement and Pearson's r with patients as clusters, and tests against a third of the error of "
        f"a reference method ({error}), corrected after Bonferroni over the sites and targets of one training set."
    )


def _test(hypothesis: Plain) -> str:
    """A hypothesis in words."""
    test, at = hypothesis["test"], f" at each {hypothesis['at']}" if hypothesis.get("at") else ""
    if test == "rm_anova":
        within = hypothesis["within"]
        return (
            f"{WAYS[len(within)]} repeated-measures ANOVA ({' × '.join(within)}) with the correction of Greenhouse and "
            "Geisser, Wilcoxon's or Friedman's test beside it"
        )
    if test == "pairwise":
        levels = " − ".join(map(str, hypothesis["compare"])) or hypothesis["within"]
        how = {"t": "paired t", "wilcoxon": "Wilcoxon's signed ranks"}[hypothesis["method"]]
        groups = [name for name in ("subset", "grouping") if name in hypothesis["each"]]
        apart = {"subset": ", each subset by itself", "grouping": ", in subgroups of size and side"}
        return f"{levels}{at} by {how}{''.join(apart[name] for name in groups)}"
    if test == "mixed_model":
        if hypothesis["fixed"]:
            return (
                f"linear mixed model of the score by {' and '.join(hypothesis['fixed'])}, patients as random intercepts"
            )
        return (
            f"{hypothesis['a']} − {hypothesis['b']}{at} by a linear mixed model (random intercepts of patients, and of "
            "kidneys within patients who have two; REML, Satterthwaite)"
        )
    if test == "noninferiority":
        return f"{hypothesis['a']} not worse than {hypothesis['b']}{at} by {hypothesis['margin']:g} (one-sided α/2)"
    if test == "size_dependence":
        outcome = "what mixed adds" if "strategy" not in hypothesis["each"] else "the score"
        return f"Spearman's correlation of {outcome} with {hypothesis['volume']}"
    if test == "annotation_savings":
        return "annotation savings by a logarithmic learning curve with a jackknife over patients (an estimate, not a test)"
    return test
