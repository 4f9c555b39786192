"""The methods of a study in sentences, written from its config alone."""

from crossmod.design.fields import as_list
from crossmod.job import Plain
from crossmod.report.statistics import statistics
from crossmod.report.words import Words, as_words, listed, metric_name, small

DESIGN = "Arms and sites"

PARTS = {
    "other_half": "the part of the pool that a training set did not draw from",
    "held_out": "patients outside the pool",
    "all": "all patients",
    "out_of_fold": "every patient, by the models of the fold that has not seen that patient",
}
SOURCES = {
    "simulated": "simulated patients",
    "folder": "scans of the user",
    "kits23": "KiTS23",
    "amos22": "AMOS22",
    "chaos": "CHAOS",
    "totalsegmentator": "TotalSegmentator",
    "spider": "SPIDER",
    "derived": "label maps composed of references and of predictions",
}
LEARNS = {
    "segmentation": "",
    "reconstruction": ", which learns to restore the image",
    "presence": ", which learns whether a structure is present",
}


def methods(study: Plain, arms: int) -> list[tuple[str, str]]:
    """Headings and paragraphs.

    Args:
        study: the whole validated config.
        arms: how many it declares.
    """
    return [
        ("Data", _data(study)),
        (DESIGN, design(study, arms)),
        ("Networks", _networks(study)),
        ("Training", _training(study)),
        ("Evaluation", _evaluation(study)),
        ("Statistics", statistics(study)),
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
        f"Cohorts: {'; '.join(parts)}. Scans were oriented to patient axes and resampled once per stage. CT was "
        f"clipped to {low} to {high} HU, MR to its percentiles {first:g} to {last:g}; each scan was then standardised. "
        f"{_treated(study)}The networks see one grey-level channel and no modality flag."
    )


def _treated(study: Plain) -> str:
    """Treatments and the modality that scans are normalised as, where these are declared."""
    text = ""
    treatments = study.get("treatments") or {}
    if treatments:
        each = (
            f"{as_words(name)} ({', then '.join(map(_operation, operations))})"
            for name, operations in treatments.items()
        )
        text += f"Before normalisation, arms with a treatment change the intensities: {'; '.join(each)}. "
    if study.get("normalise_as"):
        text += (
            f"Every scan is normalised as {study['normalise_as']}, whatever its modality: that is what the networks "
            "were trained for. "
        )
    return text


def _operation(operation: Plain) -> str:
    given = {name: arguments for name, arguments in operation.items() if arguments is not None}
    return ", ".join(f"{as_words(name)} {_arguments(arguments)}".strip() for name, arguments in given.items())


def _arguments(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{as_words(key)} {_arguments(part)}" for key, part in value.items())
    if isinstance(value, list | tuple):
        return " to ".join(map(_arguments, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def design(study: Plain, arms: int) -> str:
    """Pools, factors, teachers and sites in words."""
    words = Words(study)
    pools = "; ".join(f"{name}: {_pool(pool)}" for name, pool in study["pools"].items())
    factors = "; ".join(
        f"{words.factor(factor)}: "
        f"{', '.join(_level(words, factor, level, recipe or {}) for level, recipe in levels.items())}"
        for factor, levels in study["factors"].items()
    )
    sites = "; ".join(
        f"{site['title']} (cohort {site['cohort']}: {PARTS.get(site['part'], site['part'])}{_restricted(words, site)})"
        for site in study["sites"].values()
    )
    return (
        f"The design follows {study['source']}. Patients were drawn into pools with seed {study['split_seed']}: "
        f"{pools}. Factors: {factors}. They make {arms} {words.arm}s. {_teachers(study)}No patient and no image trains "
        f"and validates the same arm (audited). Validation sites: {sites}."
    )


def _restricted(words: Words, site: Plain) -> str:
    """Which levels alone are validated at a site; nothing where all are."""
    chosen = [
        f"{small(words.factor(factor))} {listed((words.level(factor, level) for level in as_list(levels)), 'or')}"
        for factor, levels in (site.get("where") or {}).items()
    ]
    return f"; only {listed(chosen)}" if chosen else ""


def _pool(pool: Plain) -> str:
    """A pool in words: how many patients, in which parts."""
    cohort = f"of cohort {pool['cohort']}"
    if pool.get("amounts"):
        amounts = listed(map(str, pool["amounts"]), "or")
        return f"{amounts} patients of each of the disjoint subsets {listed(pool['subsets'])} {cohort} (nested)"
    many = f"{pool['patients']} patients" if pool.get("patients") else "all patients"
    return f"{many} {cohort}" + (f", in {pool['folds']} folds" if pool.get("folds") else "")


def _level(words: Words, factor: str, level: str, recipe: Plain) -> str:
    """A level with what it changes: ``CT only (trained on ct)``."""
    parts = [f"trained on {listed(recipe['train'])}"] if recipe.get("train") else []
    if recipe.get("stages"):
        parts.append(f"stages {listed(recipe['stages'])}")
    for key, what in (("model", "network"), ("treat", "treatment")):
        if recipe.get(key):
            parts.append(f"{what} {as_words(recipe[key])}")
    if recipe.get("start") is not None:
        parts.append(_start(recipe["start"]))
    if recipe.get("training"):
        parts.append(f"training with {_arguments(_named(recipe['training']))}")
    if recipe.get("segmenter"):
        parts.append(f"segmented by the command {recipe['segmenter']['command'].split()[0]}")
    title = words.level(factor, level)
    return f"{title} ({'; '.join(parts)})" if parts else title


def _start(start: Plain) -> str:
    """Which training's weights a training begins with."""
    stage = f"stage {start['stage']}" if start.get("stage") else "the same stage"
    train = f", trained on {listed(start['train'])}" if start.get("train") else ""
    return f"started from the weights of {stage}{train}"


def _teachers(study: Plain) -> str:
    teachers = study.get("teachers") or {}
    if not teachers:
        return ""
    each = "; ".join(_level(Words({}), "", name, recipe) for name, recipe in teachers.items())
    return f"Teachers are predicted with and not compared: {each}. "


def _networks(study: Plain) -> str:
    stages = "; ".join(_stage(name, stage) for name, stage in study["stages"].items())
    further = "; ".join(f"{name}: {_network(model)}" for name, model in (study.get("models") or {}).items())
    text = f"{_network(study['model'])[0].upper()}{_network(study['model'])[1:]}, one for each stage: {stages}."
    return f"{text} Levels with a network of their own: {further}." if further else text


def _network(model: Plain) -> str:
    width = model.get("channels") or model.get("filters")
    levels = f" with {len(width)} levels of {', '.join(map(str, width))} channels" if width else ""
    return f"{_class(model)} networks ({model['_target_']}){levels}"


def _stage(name: str, stage: Plain) -> str:
    """A stage in words: what it tells apart, where, on which grid, and what is kept."""
    spacing = " × ".join("the scan's own" if mm is None else f"{mm:g}" for mm in stage["spacing_mm"])
    patch = " × ".join(map(str, stage["patch"]))
    where = (
        "the whole image"
        if stage.get("region", "image") == "image"
        else f"the box of what stage {stage['region']} found"
    )
    if where != "the whole image":
        where += f" with a margin of {stage.get('margin_mm', 0):g} mm"
        where += f", the box moved by up to {stage['jitter_mm']:g} mm in training" if stage.get("jitter_mm") else ""
    learns = LEARNS.get(stage.get("learns", "segmentation"), "")
    kept = _kept(stage.get("keep"))
    return f"stage {name} ({_classes(stage)}){learns} on {where}, grid {spacing} mm, patches of {patch} voxels{kept}"


def _classes(stage: Plain) -> str:
    """``parenchyma, sinus`` of one class; ``1 organ, 2 lesion (tumour, cyst)`` of several."""
    classes = stage.get("classes") or {"": stage.get("of") or []}
    if len(classes) == 1:
        return ", ".join(next(iter(classes.values()))) or "no classes"
    named = (
        f"{value} {as_words(name)}" + ("" if structures == [name] else f" ({', '.join(structures)})")
        for value, (name, structures) in enumerate(classes.items(), start=1)
    )
    return ", ".join(named)


def _kept(keep: Plain | None) -> str:
    if not keep:
        return ""
    if keep.get("one_a_side"):
        return f"; the {keep['one_a_side']} largest components are kept, one on each side of the body"
    count = keep["largest"]
    return f"; the {count} largest components are kept" if count > 1 else "; the largest component is kept"


def _training(study: Plain) -> str:
    training = study["training"]
    seeds = ", ".join(map(str, study["seeds"]))
    augmentation = training["augmentation"]
    changes = [
        f"rotation up to {augmentation['rotation_deg']:g}° and scaling up to {100 * augmentation['scale']:g} % "
        f"(probability {augmentation['affine']:g})",
        *(f"{name} ({augmentation[name]:g})" for name in ("noise", "blur", "brightness", "contrast", "gamma")),
    ]
    words = {"curve": "monotone curves of the intensities", "invert": "bright turned into dark"}
    changes += [f"{what} ({augmentation[name]:g})" for name, what in words.items() if augmentation.get(name)]
    balance = {
        "natural": "every case was drawn equally often",
        "modality": "CT and MR were drawn equally often",
    }[training["balance"]]
    edge = f" and {100 * training['boundary']:g} % onto its edge" if training.get("boundary") else ""
    further = f" Gradients were clipped to a norm of {training['clip_norm']:g}." if training.get("clip_norm") else ""
    if off := training.get("off_centre"):
        further += f" A voxel that a patch was forced onto lies up to {100 * off:g} % of half a patch off its middle."
    if training.get("average"):
        further += f" Of the weights a moving average (decay {training['average']:g}) is kept."
    return (
        f"Loss: {_described(training['loss'])}. Optimiser: {_described(training['optimiser'])}. "
        f"{_schedule(training.get('schedule'))}Batches of {training['batch']} patches, "
        f"{100 * training['foreground']:g} % of them forced onto foreground{edge}; {balance}.{further} Augmentation: "
        f"{', '.join(changes)}. {_budget(study)} Seeds: {seeds}. {_kept_weights(training)}"
    )


def _kept_weights(training: Plain) -> str:
    kept = "The average of the last step is" if training.get("average") else "The last weights are"
    return f"{kept} kept; none is chosen by a validation score."


def _budget(study: Plain) -> str:
    """What every training gets the same of: both are fair, and they answer different questions."""
    arm = Words(study).arm
    if study["training"].get("budget", "steps") == "passes":
        passes = ", ".join(
            f"{stage['passes']:g} ({name})" for name, stage in study["stages"].items() if stage.get("passes")
        )
        return (
            f"Budget: every {arm} gets the same number of passes over each of its cases, and more cases mean more "
            f"steps: {passes}."
        )
    steps = ", ".join(f"{stage['steps']} ({name})" for name, stage in study["stages"].items() if stage.get("steps"))
    return f"Budget: every {arm} gets the same number of optimiser steps, however many cases it has: {steps}."


def _schedule(schedule: Plain | None) -> str:
    return f"Schedule of the learning rate: {_described(schedule)}. " if schedule else ""


def _described(recipe: Plain) -> str:
    """``AdamW (lr 0.003, weight decay 0.0001)``: a class of the config with its arguments."""
    arguments = _arguments({key: value for key, value in recipe.items() if key != "_target_"})
    return f"{_class(recipe)} ({arguments})" if arguments else _class(recipe)


def _class(recipe: Plain) -> str:
    return recipe["_target_"].rsplit(".", 1)[-1]


def _named(values: Plain) -> Plain:
    """Values in which a class of the config stands as its name and arguments."""
    return {
        key: _described(value) if isinstance(value, dict) and "_target_" in value else value
        for key, value in values.items()
    }


def _evaluation(study: Plain) -> str:
    names = [_measure(study, metric) for metric in study["metrics"] if not metric.endswith("_ml")]
    again = (
        " Stages inside a box are scored end to end, and once more inside the boxes of the reference."
        if any(stage.get("region", "image") != "image" for stage in study["stages"].values())
        else ""
    )
    return (
        f"Masks were scored in the scan's own space: {listed([*names, 'volume'])}. {_targets(study)}{again} One empty "
        "mask scores a DSC of 0 and an infinite distance; two empty masks score nothing."
    )


def _measure(study: Plain, metric: str) -> str:
    if metric == "dsc":
        return "Dice similarity coefficient (DSC)"
    tolerance = f" at a tolerance of {study['surface_tolerance_mm']:g} mm" if metric == "surface_dsc" else ""
    return f"{metric_name(metric)}{tolerance}"


def _targets(study: Plain) -> str:
    """Which target is scored in which unit, and on which condition."""
    words = Words(study)
    units: dict[str, list[str]] = {}
    for name, target in study["targets"].items():
        condition = " and ".join(
            f"{'with' if wanted else 'without'} {as_words(fact)}"
            for fact, wanted in (target.get("where") or {}).items()
        )
        names = list(study["stages"][target["stage"]]["classes"]) if target.get("each_class") else [name]
        for label in (small(words.target(each)) for each in names):
            shown = label if not condition or condition in label else f"{label} ({condition})"
            units.setdefault(target.get("unit", "image"), []).append(shown)
    apart = {name: unit.get("apart") for name, unit in (study.get("units") or {}).items()}
    how = {
        "side": "each side apart",
        "component": "each connected component apart",
        "plane": "each plane",
        "tile": "each tile",
    }
    parts = [
        f"per {as_words(unit)}{f' ({how[apart[unit]]})' if apart.get(unit) in how else ''}: {'; '.join(names)}"
        for unit, names in units.items()
    ]
    return f"Scored {'. Scored '.join(parts)}."
