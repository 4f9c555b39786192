"""The statistics of a study in sentences, written from its hypotheses."""

from crossmod.job import Plain
from crossmod.report.declared import Declared
from crossmod.report.words import CORRECTIONS, Words, as_words, listed, short, volume_name

WAYS = {1: "one-way", 2: "two-way", 3: "three-way"}


def statistics(study: Plain) -> str:
    """What is tested, with what, and how families are corrected."""
    analyse = study["analyse"]
    correction = CORRECTIONS.get(analyse["correction"], analyse["correction"])
    declared = list(Declared.of(study))
    tests = "; ".join(dict.fromkeys(_test(study, table, hypothesis) for table, hypothesis in declared))
    if not tests:
        return f"The config declares no hypothesis: nothing was tested. {_volumes(analyse)}"
    return (
        "Hypotheses, margins and families were declared in the config. Tests, per cell (such as a site and target): "
        f"{tests}. The patient is the unit of independence: where a patient has several units in a test, ANOVA and "
        "correlations take their mean, paired tests are cluster-robust (CR2, Satterthwaite; signed ranks by cluster). "
        "Units that lack a cell are left out of paired tests and listed; mixed models use every row. Assumptions are "
        "tested and printed beside the results, and choose nothing. Each family – all cells of one test, unless the "
        f"config says otherwise – is corrected after {correction}, α = {analyse['alpha']:g}. Intervals at "
        f"{100 * analyse['confidence']:g} %; those of means resample patients (BCa). {_volumes(analyse)}"
    )


def _volumes(analyse: Plain) -> str:
    if analyse.get("reference_error_ml") is None:
        error = "the ellipsoid formula measured on the same references"
    else:
        error = f"{analyse['reference_error_ml']:g} ml ({analyse['reference_error_source']})"
    return (
        "Volumes: mean difference, limits of agreement and Pearson's r with patients as clusters, and, where a "
        f"reference method exists, tests against a third of its error ({error}), corrected after Bonferroni over the "
        "sites and targets of one arm."
    )


def _test(study: Plain, table: str, hypothesis: Plain) -> str:
    """A hypothesis in words."""
    words, test = Words(study), hypothesis["test"]
    at = f" at each level of {words.factor(hypothesis['at'])}" if hypothesis.get("at") else ""
    if test == "rm_anova":
        within = hypothesis["within"]
        return (
            f"{WAYS[len(within)]} repeated-measures ANOVA ({' × '.join(within)}) with the correction of Greenhouse and "
            "Geisser, Wilcoxon's or Friedman's test beside it"
        )
    if test == "pairwise":
        levels = (
            " − ".join(map(short, hypothesis.get("compare") or []))
            or f"all levels of {words.factor(hypothesis['within'])}"
        )
        how = {"t": "paired t", "wilcoxon": "Wilcoxon's signed ranks"}[hypothesis.get("method", "t")]
        apart = {"replicates": ", each replicate by itself", "subgroups": ", in subgroups of size and side"}.get(
            table, ""
        )
        return f"{levels}{at} by {how}{apart}"
    if test == "mixed_model":
        return _mixed(words, hypothesis, at)
    if test == "noninferiority":
        return (
            f"{short(hypothesis['a'])} not worse than {short(hypothesis['b'])}{at} by {hypothesis['margin']:g} "
            "(one-sided α/2)"
        )
    if test == "size_dependence":
        contrast = words.contrast
        pair = f"{short(contrast['a'])} − {short(contrast['b'])}" if contrast else "the difference"
        return (
            f"Spearman's correlation of {pair if table == 'gains' else 'the score'} with the "
            f"{volume_name(hypothesis['volume'])}"
        )
    if test == "size_halves":
        literal = ", and beside it the paired t of the halves in order of volume, an oddity" * hypothesis["rank_paired"]
        return f"small against large by the median {volume_name(hypothesis['volume'])} (Welch){literal}"
    if test == "localisation":
        return f"how often a lesion is found in its place, by {words.factor(hypothesis['arm'])} (McNemar, exact)"
    if test == "annotation_savings":
        return (
            f"{words.factor(hypothesis['amount'])} that {short(hypothesis['assisted'])} saves, by a logarithmic "
            "learning curve with a jackknife over patients (an estimate, not a test)"
        )
    return f"{as_words(test)} ({hypothesis['name']})"


def _mixed(words: Words, hypothesis: Plain, at: str) -> str:
    if hypothesis.get("fixed"):
        terms = [volume_name(term) if term.endswith("_ml") else words.factor(term) for term in hypothesis["fixed"]]
        return f"linear mixed model of the score by {listed(terms)}, patients as random intercepts"
    return (
        f"{short(hypothesis['a'])} − {short(hypothesis['b'])}{at} by a linear mixed model (random intercepts of "
        "patients, and of units within patients who have several; REML, Satterthwaite)"
    )
