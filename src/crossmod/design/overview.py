"""What follows from a study's config, for a reader: arms, trainings and why each exists, sites and derived cohorts."""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from crossmod.design.arms import Arm, arms, factor_names, seeds_of, teachers, trainings
from crossmod.design.fields import as_list
from crossmod.design.splits import teachers_of
from crossmod.design.trainings import Training
from crossmod.job import Plain

GAP, NARROWEST = "  ", 24  # between columns; columns that the last one has at least
MOST = 4  # arms of a training that are named one by one
RANDOM = "random weights"


@dataclass(frozen=True)
class Sheet:
    """One table of the overview.

    Attributes:
        title: what it lists, and how many.
        columns: the names of its columns.
        rows: a text for each column.
    """

    title: str
    columns: list[str]
    rows: list[list[str]]


def overview(study: Plain, width: int | None = None) -> str:
    """The whole overview as text, one table below the other.

    Args:
        study: the composed config.
        width: columns of the terminal, to which the last column of each table is wrapped; None: nothing is wrapped.
    """
    return "\n".join([f"{_heading(study)}\n", *(drawn(sheet, width) for sheet in sheets(study) if sheet.rows)])


def sheets(study: Plain) -> list[Sheet]:
    """The tables of the overview, empty ones among them; a column that says nothing anywhere is left out."""
    found = [_arms(study), _teachers(study), _trainings(study), _sites(study), _derived(study)]
    return [_without_empty_columns(sheet) for sheet in found]


def reasons(study: Plain) -> dict[str, list[str]]:
    """Training → who needs it: ``arm NAME``, ``teacher NAME``, and ``start of NAME`` where another starts from it."""
    found: dict[str, dict[str, None]] = {name: {} for name in trainings(study)}
    for kind, members in (("arm", arms(study)), ("teacher", teachers(study))):
        for arm in members:
            for node in _nodes(arm):
                found[node.name][f"{kind} {arm.name}"] = None
                for earlier, later in zip(node.chain(), node.chain()[1:], strict=False):
                    found[earlier.name][f"start of {later.name}"] = None
    return {name: list(why) for name, why in found.items()}


def drawn(sheet: Sheet, width: int | None = None) -> str:
    """A table as lines of aligned columns below its title; see :func:`overview` for the width."""
    lines = [sheet.columns, *sheet.rows]
    sizes = [max(map(len, column)) for column in zip(*lines, strict=True)][:-1]
    left = sum(sizes) + len(GAP) * (len(sizes) + 1)
    room = None if width is None else max(width - left, NARROWEST)
    text = [sheet.title]
    for *first, last in lines:
        head = GAP + "".join(f"{cell:<{size}}{GAP}" for cell, size in zip(first, sizes, strict=True))
        wrapped = [last] if room is None else textwrap.wrap(last, room, break_long_words=False) or [""]
        text += [f"{head}{wrapped[0]}".rstrip(), *(" " * left + more for more in wrapped[1:])]
    return "".join(f"{line}\n" for line in text)


def _heading(study: Plain) -> str:
    seeds = ", ".join(map(str, study["seeds"]))
    shared = f"; cohorts, networks and masks are shared with {study['adds_to']}" if study["adds_to"] else ""
    return f"{study['study']}, scale {study['scale']}, {'seeds' if len(study['seeds']) > 1 else 'seed'} {seeds}{shared}"


def _arms(study: Plain) -> Sheet:
    compared = arms(study)
    factors = factor_names(study)
    seeds = _seeds([arm.seeds for arm in compared])
    return Sheet(
        f"{_counted(len(compared), 'arm')}: what is compared",
        ["arm", *factors, "set", "treat", "seeds", "stages", "program"],
        [
            [arm.name, *(str(arm.levels[factor]) for factor in factors), *_set(arm), arm.treat or "", each, *_way(arm)]
            for arm, each in zip(compared, seeds, strict=True)
        ],
    )


def _seeds(asked: list[tuple[int, ...]]) -> list[str]:
    """The seeds of each row in words; nothing where all have the same, which the heading names."""
    return [", ".join(map(str, seeds)) for seeds in asked] if len(set(asked)) > 1 else [""] * len(asked)


def _teachers(study: Plain) -> Sheet:
    named = teachers(study)
    rows = [[arm.name, *_set(arm), arm.treat or "", *_way(arm), _labelled_by(study, arm.name)] for arm in named]
    return Sheet(
        f"{_counted(len(named), 'teacher')}: predicted, not compared",
        ["teacher", "set", "treat", "stages", "program", "labels"],
        rows,
    )


def _trainings(study: Plain) -> Sheet:
    nodes, why, seeded = trainings(study), reasons(study), seeds_of(study)
    starts = any(node.start for node in nodes.values())
    networks = len({str(node.model) for node in nodes.values()}) > 1
    seeds = _seeds([seeded[name] for name in nodes])
    return Sheet(
        f"{_counted(len(nodes), 'training')}{_times(list(seeded.values()))}: what is fitted, and who needs it",
        ["training", "set", "seeds", "fold", "stage", "network", "labelled by", "start", "differs", "needed by"],
        [
            [
                node.name,
                node.set.name,
                each,
                f"{node.fold} of {node.set.folds}" if node.set.folds > 1 else "",
                node.stage,
                _network(study, node) if networks else "",
                ", ".join(_labellers(study, node)),
                (node.start.name if node.start else RANDOM) if starts else "",
                ", ".join(differences(study["training"], node.settings)),
                needed(why[node.name]),
            ]
            for node, each in zip(nodes.values(), seeds, strict=True)
        ],
    )


def _times(asked: list[tuple[int, ...]]) -> str:
    """How many networks the trainings come to, where they are more than one each."""
    counts = {len(seeds) for seeds in asked}
    if len(counts) > 1:
        return f", {sum(map(len, asked))} networks with their seeds"
    return f" × {max(counts)} seeds" if max(counts, default=1) > 1 else ""


def _sites(study: Plain) -> Sheet:
    rows = [
        [name, site["cohort"], site["part"], site["title"], _chosen(site["where"])]
        for name, site in study["sites"].items()
    ]
    title = f"{_counted(len(rows), 'site')}: where arms are validated"
    return Sheet(title, ["site", "cohort", "part", "title", "arms of"], rows)


def _chosen(where: Plain) -> str:
    return "; ".join(f"{factor} {', '.join(map(str, as_list(levels)))}" for factor, levels in where.items())


def _derived(study: Plain) -> Sheet:
    rows = [
        [name, cohort["of"], _bounds(cohort["volume_ml"] or {}), _composed(cohort["structures"])]
        for name, cohort in study["cohorts"].items()
        if cohort["source"] == "derived"
    ]
    title = f"{_counted(len(rows), 'derived cohort')}: patients with labels made of predictions"
    return Sheet(title, ["cohort", "patients of", "kept where", "structures, the later one counts"], rows)


def differences(settings: Plain, changed: Plain, above: str = "") -> Iterator[str]:
    """``key=value`` of every setting that differs; where a ``_target_`` is another one, its name is the value."""
    for key, value in changed.items():
        place, old = f"{above}{key}", settings.get(key)
        if value == old:
            continue
        if isinstance(value, dict) and isinstance(old, dict) and value.get("_target_") == old.get("_target_"):
            yield from differences(old, value, f"{place}.")
        else:
            named = isinstance(value, dict) and "_target_" in value
            yield f"{place}={_class_name(value) if named else value}"


def needed(why: list[str]) -> str:
    """``arms a, b; start of c``: reasons of one kind put together, the first few named."""
    kinds: dict[str, list[str]] = {}
    for reason in why:
        kind, _, name = reason.rpartition(" ")
        kinds.setdefault(kind, []).append(name)
    return "; ".join(_named(kind, names) for kind, names in kinds.items())


def _named(kind: str, names: list[str]) -> str:
    word = f"{kind}s" if len(names) > 1 and kind != "start of" else kind
    rest = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return f"{word} {', '.join(names[:MOST])}{rest}"


def _nodes(arm: Arm) -> Iterator[Training]:
    return (node for folds in arm.trainings.values() for node in folds)


def _set(arm: Arm) -> list[str]:
    return [arm.set.name if arm.set else ""]


def _way(arm: Arm) -> list[str]:
    """The stages of its cascade, and its program."""
    return ["" if arm.segmenter else " → ".join(arm.stages), arm.segmenter["command"] if arm.segmenter else ""]


def _network(study: Plain, node: Training) -> str:
    """The name of a network in the config, or of its class where it is the study's own."""
    return next((name for name, model in study["models"].items() if model == node.model), _class_name(node.model))


def _labellers(study: Plain, node: Training) -> list[str]:
    """The teachers whose predictions a training learns from, and therefore waits for."""
    cohorts = [study["pools"][pool]["cohort"] for pool in node.set.shares]
    return list(dict.fromkeys(name for cohort in cohorts for name in teachers_of(study, cohort)))


def _class_name(target: Plain) -> str:
    return str(target["_target_"]).rpartition(".")[2]


def _labelled_by(study: Plain, teacher: str) -> str:
    """``cohort: structures`` of every cohort that a teacher labels."""
    found = []
    for name, cohort in study["cohorts"].items():
        structures = [key for key, source in (cohort["structures"] or {}).items() if source == {"teacher": teacher}]
        found += [f"{name}: {', '.join(structures)}"] if structures else []
    return "; ".join(found)


def _composed(structures: Plain) -> str:
    named = {key: "reference" if source == "reference" else source["teacher"] for key, source in structures.items()}
    return ", ".join(f"{key} by {source}" for key, source in named.items())


def _bounds(volumes: dict[str, list[float]]) -> str:
    return ", ".join(f"{structure} {low:g} to {high:g} ml" for structure, (low, high) in volumes.items())


def _without_empty_columns(sheet: Sheet) -> Sheet:
    kept = [place for place, _ in enumerate(sheet.columns) if any(row[place] for row in sheet.rows)]
    return Sheet(sheet.title, [sheet.columns[k] for k in kept], [[row[k] for k in kept] for row in sheet.rows])


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
