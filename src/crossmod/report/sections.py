"""The sections of the page that a study may list, each with its words, its figures and its tables."""

from collections.abc import Callable
from dataclasses import dataclass, field

from crossmod.report import by_size, chosen, classes, cohorts, lesions, outcomes, pooled, sizes, speed, tables, tested
from crossmod.report.figures import names_of_scores
from crossmod.report.results import Results
from crossmod.report.tables import Table
from crossmod.report.words import as_words, capital, listed, metric_name, small

REFERENCE_BOX = ("reference_box",)


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
        name: its anchor, and its word in ``report.sections``.
        short: its entry in the list of sections.
        heading: above it.
        intro: sentences below the heading, or nothing.
        said: what follows from its tables, as sentences; the audit reads them like cells.
        figures: names of its pictures.
        tables: shown.
        further: summary → tables that a reader must open.
    """

    name: str
    short: str
    heading: str
    intro: str = ""
    said: list[str] = field(default_factory=list)
    figures: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    further: dict[str, list[Table]] = field(default_factory=dict)


def sections(results: Results) -> list[Section]:
    """The sections that the study lists, in its order; where the config is not known all that need no declaration."""
    wanted = (results.study.get("report") or {}).get("sections", [name for name in SECTIONS if name not in DECLARED])
    return [SECTIONS[name](results) for name in wanted]


def _scores(results: Results) -> Section:
    first, others = results.metric, [metric for metric in results.metrics if metric != results.metric]
    classes_apart = "classes" in (results.study.get("report") or {}).get("sections", [])
    apart = {target for own in results.class_groups.values() for target in own} if classes_apart else set()
    targets = [target for target in results.targets if target not in apart]
    further = (
        {capital(listed(map(metric_name, others))): [_of(results, metric, targets) for metric in others]}
        if others
        else {}
    )
    alone = _with_rows(_alone(results))
    if alone:
        further[f"{_later_stages(results)} alone, in the boxes of the reference"] = alone
    return Section(
        name="scores",
        short="Scores",
        heading=f"Scores by {results.words.arm} and site",
        figures=[name for metric in [first, *others] for name in names_of_scores(results, metric)],
        tables=_with_rows([_of(results, first, targets)]),
        further=further,
    )


def _of(results: Results, metric: str, targets: list[str]) -> Table:
    return tables.scores(results, metric, targets=targets)


def _comparison(results: Results) -> Section:
    shown = [*tested.comparisons(results), *sizes.savings(results), *tested.anovas(results)]
    replicates = [*(tested.apart(results, asked) for asked in results.declared.compared_on("replicates"))]
    replicates += tested.anovas(results, "crossed")
    groups = [tested.apart(results, asked) for asked in results.declared.compared_on("subgroups")]
    size = sizes.size(results)
    halves = [outcomes.halves(results, hypothesis) for hypothesis in results.declared.halves]
    why = [*([size] if size else []), *halves, *sizes.fixed_effects(results), *groups]
    listed_there = "localisation" in (results.study.get("report") or {}).get("sections", [])
    found = [] if listed_there else [outcomes.mcnemar(results, one) for one in results.declared.localisations]
    others = found + [tested.other(results, hypothesis) for hypothesis in results.declared.others]
    others += [
        tested.apart(results, asked)
        for table in ("crossed", "gains", "curves")
        for asked in results.declared.compared_on(table)
    ]
    others += [
        table for name in ("replicates", "gains", "subgroups", "curves") for table in tested.anovas(results, name)
    ]
    further = {
        "Replicates of the training, each by itself": replicates,
        "Size and subgroups": why,
        "Further tests": others,
    }
    return Section(
        name="comparison",
        short="Comparison",
        heading=_question(results),
        intro=_registered(results, [*shown, *replicates, *why, *others]),
        figures=["learning_curves", "subgroup_forest", *(one.name for one in by_size.shown(results))],
        tables=_with_rows(shown),
        further={summary: found for summary, part in further.items() if (found := _with_rows(part))},
    )


def _classes(results: Results) -> Section:
    return Section(
        name="classes",
        short="Classes",
        heading="Over all classes",
        intro="A mean over classes has two intervals, which answer different questions: both are shown.",
        figures=[one.name for one in classes.shown(results)],
        tables=outcomes.over_classes(results),
        further={
            f"Every class of {as_words(group)}": [_of(results, metric, targets) for metric in results.metrics]
            for group, targets in results.class_groups.items()
        },
    )


def _pooled(results: Results) -> Section:
    every = pooled.every_arm(results)
    return Section(
        name="pooled",
        short="Pooled",
        heading="One score, two kinds of figure",
        intro="A mean lets every unit weigh the same; a pooled score lets every voxel, and so the large targets. A "
        "figure that does not say which of the two it is, and of what unit, cannot be compared with another.",
        said=pooled.sentences(results),
        tables=pooled.tables_of(results),
        further={f"Every {results.words.arm}": every} if every else {},
    )


def _throughput(results: Results) -> Section:
    timed = speed.throughput(results)
    return Section(
        name="throughput",
        short="Throughput",
        heading="How fast on this machine?",
        intro="What a network takes for one slice is of the machine that is named, and differs from run to run."
        if timed
        else speed.not_measured(results),
        said=speed.sentences(results),
        tables=[timed] if timed else [],
    )


def _localisation(results: Results) -> Section:
    tests = [outcomes.mcnemar(results, hypothesis) for hypothesis in results.declared.localisations]
    return Section(
        name="localisation",
        short="Found or not",
        heading="Was it found in its place?",
        tables=_with_rows([outcomes.rates(results), *tests]),
    )


def _lesions(results: Results) -> Section:
    return Section(
        name="lesions",
        short="Lesions",
        heading="Which lesions are found, and which are missed?",
        tables=_with_rows(lesions.detected(results)),
    )


def _volumes(results: Results) -> Section:
    every = tables.volumes(results, results.arms)
    errors = tables.reference_errors(results)
    held = any(cell.value is not None for row in errors.rows for cell in row)
    return Section(
        name="volumes",
        short="Volumes",
        heading="Can the volumes be trusted?",
        intro=""
        if every.rows
        else "No volumes were compared: no target is scored in a unit whose volume was measured.",
        figures=["bland_altman", "volume_scatter"],
        tables=_with_rows([tables.volumes(results, results.deployed["arm"]), *([errors] if held else [])]),
        further={f"Volume agreement of every {results.words.arm}": [every]} if every.rows else {},
    )


def _examples(results: Results) -> Section:
    figures = [f"overlays_{target}" for target in results.targets]
    return Section("examples", "Examples", "What the numbers look like", figures=figures)


def _treatments(results: Results) -> Section:
    return Section(
        name="treatments",
        short="Treatments",
        heading="What the treatments do to a scan",
        intro="The same slice of the same patient under every treatment, with what was found in it.",
        figures=[one.name for one in chosen.shown(results)],
    )


def _patients(results: Results) -> Section:
    people = cohorts.cohort_table(cohorts.cohorts_of(results))
    arms = cohorts.arm_table(results)
    name = f"{capital(results.words.arm)}s and sites"
    return Section(
        name="patients",
        short="Patients",
        heading="Patients and splits",
        figures=["cohort_volumes", "split_matrix"],
        tables=[
            tables.plain(people, "Cohorts", f"Patients and scans. {results.provenance}", "cohort"),
            tables.plain(arms, name, f"Numbers of cases. {results.provenance}", "split/splits.json"),
        ],
    )


SECTIONS: dict[str, Callable[[Results], Section]] = {
    "scores": _scores,
    "classes": _classes,
    "pooled": _pooled,
    "localisation": _localisation,
    "lesions": _lesions,
    "comparison": _comparison,
    "volumes": _volumes,
    "examples": _examples,
    "treatments": _treatments,
    "throughput": _throughput,
    "patients": _patients,
}


# Sections of what a study must declare: targets of each class of a stage, the metrics `shared_ml` and `located`,
# components, treatments, and networks that are timed.
DECLARED = ("classes", "pooled", "localisation", "lesions", "treatments", "throughput")


def _alone(results: Results) -> list[Table]:
    """Later stages by themselves: what they reach when their region is found for them."""
    if not results.table("dsc")["region"].eq("reference_box").any():
        return []
    return [
        tables.scores(results, results.metric, REFERENCE_BOX),
        *tested.comparisons(results, REFERENCE_BOX),
        *tested.anovas(results, regions=REFERENCE_BOX),
        tables.volumes(results, results.deployed["arm"], REFERENCE_BOX),
    ]


def _later_stages(results: Results) -> str:
    stages = results.study.get("stages") or {}
    later = [name for name, stage in stages.items() if stage.get("region", "image") != "image"]
    return f"Stage {listed(later)}" if later else "Later stages"


def _question(results: Results) -> str:
    """What the study compares, as a heading."""
    contrast, dose = results.words.contrast, results.words.dose
    if not contrast:
        return "Comparisons"
    first, second = (results.words.level(contrast["factor"], contrast[key]) for key in "ab")
    return f"{first} against {second}{f', by {small(results.words.factor(dose))}' if dose in results.factors else ''}"


def _registered(results: Results, made: list[Table]) -> str:
    """That the tests were declared, and which of them ran in no cell."""
    declared = [hypothesis["name"] for _, hypothesis in results.declared]
    if not declared:
        return (
            "The config declares no hypothesis: nothing was tested, and differences between the scores are "
            "descriptions."
        )
    text = (
        "Hypotheses, margins and families are declared in the config. To show that this plan of analysis came before "
        "the scores, it must have been registered or committed by then. Every p-value leads to the rows that it came "
        "from."
    )
    empty = [
        name for name in declared if results.tested(next(h for _, h in results.declared if h["name"] == name)).empty
    ]
    return f"{text} Declared, but tested in no cell: {listed(empty)}." if empty else text


def _with_rows(made: list[Table]) -> list[Table]:
    return [table for table in made if table.rows]
