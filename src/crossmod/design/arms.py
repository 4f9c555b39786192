"""What a study compares: one level of every factor is an arm, with the trainings that it needs."""

import itertools
import shlex
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from crossmod.anatomy.kidneys import MASK_VALUES
from crossmod.design.fields import FIRST_SEEDS, as_list
from crossmod.design.sets import NOTHING, Share, TrainingSet, graded_levels, sets_of
from crossmod.design.trainings import Training, learned
from crossmod.job import Plain, UserError
from crossmod.stages import is_sided

# Keys of a recipe that change how its networks are trained.
TRAINED = ("train", "model", "training", "start")


@dataclass(frozen=True)
class Arm:
    """One way from scans to masks.

    Attributes:
        name: of its set and of the levels that do not show in it, e.g. ``ct116+mrA040``.
        levels: factor → level, in the order of tables; ``amount`` (a number) and ``subset`` come last, where any pool
            is graded.
        set: who its networks learn from; None for a program from outside.
        stages: of its cascade, in order.
        trainings: stage → its trainings, one per fold.
        models: stage → the network as a ``_target_``.
        treat: the treatment of scans, by its name; None for none.
        segmenter: a program from outside; None for networks.
        seeds: each of its trainings has one network per seed. A program from outside has the first seed alone.
    """

    name: str
    levels: dict[str, str | int]
    set: TrainingSet | None
    stages: list[str]
    trainings: dict[str, list[Training]]
    models: dict[str, Plain]
    treat: str | None
    segmenter: Plain | None
    seeds: tuple[int, ...]

    def record(self) -> Plain:
        """What the later steps know of an arm, as plain values."""
        return {"name": self.name, "levels": self.levels}


def arms(study: Plain) -> list[Arm]:
    """The arms of a study in the order in which tables and figures show them.

    A list or ``all`` inside a block of the section ``arms`` is crossed, blocks are united, a factor that is left out
    takes its first level. Where a recipe trains on a graded pool, there is one arm for every subset and amount of it,
    or for those that the block names. An arm of several blocks is trained with the seeds of all of them.

    Raises:
        UserError: two levels of one arm say different things of one key, or two arms have one name.
    """
    found: dict[str, Arm] = {}
    for block, levels in combinations(study):
        for arm in _arms_of(study, levels):
            if not _wanted(arm, block):
                continue
            asked = _seeds(study, arm, block)
            known = found.setdefault(arm.name, replace(arm, seeds=asked))
            if replace(known, seeds=()) != replace(arm, seeds=()):
                raise UserError(
                    f"arms: {known.levels} and {arm.levels} would both be called '{arm.name}'; give levels "
                    "of different factors different names"
                )
            either = tuple(seed for seed in study["seeds"] if seed in known.seeds or seed in asked)
            found[arm.name] = replace(known, seeds=either)
    return list(found.values())


def unavailable(compared: Iterable[Arm]) -> dict[str, str]:
    """Arm → its program, of those whose program may be absent and is not installed here."""
    found = {}
    for arm in compared:
        if arm.segmenter and arm.segmenter.get("optional"):
            program = shlex.split(arm.segmenter["command"])[0]
            if shutil.which(program) is None:
                found[arm.name] = program
    return found


def teachers(study: Plain) -> list[Arm]:
    """The teachers of a study as arms: their predictions label derived cohorts, and are not compared."""
    found = []
    for name, recipe in study["teachers"].items():
        taken = _named(study, {f"teachers.{name}": recipe})
        for chosen, _ in sets_of(study["pools"], taken.get("train") or list(study["pools"])):
            found.append(_arm(study, name, {}, taken, chosen, suffix=()))
    return found


def trainings(study: Plain) -> dict[str, Training]:
    """Every training that arms and teachers need, by its name; one that others start from comes before them.

    Raises:
        UserError: two trainings that differ would have one name, and so one folder.
    """
    needed = [node for arm in [*arms(study), *teachers(study)] for each in arm.trainings.values() for node in each]
    found: dict[str, Training] = {}
    for node in (node for last in needed for node in last.chain()):
        if found.setdefault(node.name, node) != node:
            raise UserError(
                f"factors: two trainings that differ would both be called '{node.name}'; give the levels that "
                "change training other names, or let one factor alone change it"
            )
    return found


def seeds_of(study: Plain) -> dict[str, tuple[int, ...]]:
    """Training → the seeds that any arm or teacher needs it with, in the order of the study."""
    asked: dict[str, set[int]] = {}
    for arm in [*arms(study), *teachers(study)]:
        for node in (node for folds in arm.trainings.values() for last in folds for node in last.chain()):
            asked.setdefault(node.name, set()).update(arm.seeds)
    return {name: tuple(seed for seed in study["seeds"] if seed in seeds) for name, seeds in asked.items()}


def taught(study: Plain, teacher: str, structure: str) -> Plain:
    """Where a structure stands in a teacher's predictions.

    The place is ``teacher``, ``stage`` and the ``values`` of that stage's mask.
    """
    for stage in reversed(_stages(study, study["teachers"][teacher])):
        for value, parts in enumerate(study["stages"][stage]["classes"].values(), start=1):
            if structure in parts:
                values = list(MASK_VALUES.values()) if is_sided(study["stages"], stage) else [value]
                return {"teacher": teacher, "stage": stage, "values": values}
    raise UserError(f"teachers.{teacher}: none of its stages finds the structure '{structure}'")


def combinations(study: Plain) -> Iterator[tuple[Plain, dict[str, str]]]:
    """Each block of ``arms`` with one level of every factor, for every combination that the block declares."""
    factors = study["factors"]
    for block in study["arms"]:
        asked = [_levels(levels, block.get(factor)) for factor, levels in factors.items()]
        for levels in itertools.product(*asked):
            yield block, dict(zip(factors, levels, strict=True))


def factor_names(study: Plain) -> list[str]:
    """The factors that tables have columns for, in order: those declared, then those that a graded pool brings."""
    return [*study["factors"], *graded_levels(study["pools"])]


def factors_of(compared: list[Arm]) -> list[Plain]:
    """The factors of arms in the order of tables, each with the levels that any arm has, in the order of the arms."""
    names = dict.fromkeys(name for arm in compared for name in arm.levels)
    return [{"name": name, "levels": list(dict.fromkeys(arm.levels[name] for arm in compared))} for name in names]


def deployed(study: Plain) -> list[Arm]:
    """The arms that a user would choose.

    They have level ``a`` of the contrast with the largest dose, in every replicate; all other factors are at their
    first level.

    Without a contrast it is the first arm.
    """
    every, contrast, dose = arms(study), study["analyse"]["contrast"], study["analyse"]["dose"]
    if contrast is None:
        return every[:1]
    firsts = {factor: next(iter(levels)) for factor, levels in study["factors"].items()} | {
        contrast["factor"]: contrast["a"]
    }
    chosen = [arm for arm in every if all(arm.levels[factor] == level for factor, level in firsts.items())]
    if dose is not None:
        most = max((arm.levels[dose["factor"]] for arm in chosen), default=0)
        chosen = [arm for arm in chosen if arm.levels[dose["factor"]] == most]
    return chosen or every[:1]


def published(study: Plain) -> Plain:
    """The config as results may show it: without the paths of this machine to tables and scans."""
    cohorts = {
        name: {key: None if key in ("table", "root") else value for key, value in cohort.items()}
        for name, cohort in study["cohorts"].items()
    }
    return {**study, "cohorts": cohorts}


def _arms_of(study: Plain, levels: dict[str, str]) -> Iterator[Arm]:
    """The arms of one combination of levels: one, or one for every subset and amount of its graded pool."""
    recipes = {f"factors.{factor}.{level}": study["factors"][factor][level] for factor, level in levels.items()}
    recipe = _named(study, recipes)
    told = [factor for factor in levels if len(study["factors"][factor]) > 1]
    if recipe.get("segmenter"):
        name = "-".join(levels[factor] for factor in told) or "command"
        graded = _graded(study, Share())
        yield Arm(
            name,
            {**levels, **graded},
            None,
            _stages(study, recipe),
            {},
            {},
            recipe.get("treat"),
            recipe["segmenter"],
            (study["seeds"][0],),
        )
        return
    silent = [factor for factor in told if not _shows(study["factors"][factor])]
    for chosen, share in sets_of(study["pools"], recipe.get("train") or list(study["pools"])):
        name = "-".join([chosen.name, *(levels[factor] for factor in silent)])
        trained = [factor for factor in silent if _touches(study["factors"][factor])]
        suffix = tuple((factor, levels[factor]) for factor in trained)
        yield _arm(study, name, {**levels, **_graded(study, share)}, recipe, chosen, suffix)


def _graded(study: Plain, share: Share) -> Plain:
    """The levels of the factors that a graded pool brings; nothing where the study has none."""
    if not graded_levels(study["pools"]):
        return {}
    return {"amount": share.amount or NOTHING["amount"], "subset": share.subset or NOTHING["subset"]}


def _arm(
    study: Plain, name: str, levels: Plain, recipe: Plain, chosen: TrainingSet, suffix: tuple[tuple[str, str], ...]
) -> Arm:
    """An arm of networks with its trainings."""
    stages = _stages(study, recipe)
    trainings = {stage: learned(study, recipe, chosen, stage, suffix) for stage in stages}
    models = {stage: each[0].model for stage, each in trainings.items()}
    return Arm(name, levels, chosen, stages, trainings, models, recipe.get("treat"), None, (study["seeds"][0],))


def _seeds(study: Plain, arm: Arm, block: Plain) -> tuple[int, ...]:
    """The seeds that a block trains an arm with: the first of the study's, as many as it says, or else all."""
    return arm.seeds if arm.set is None else tuple(study["seeds"][: block.get(FIRST_SEEDS)])


def _named(study: Plain, recipes: dict[str, Plain]) -> Plain:
    """One recipe made of the recipes of several levels, which may not contradict each other.

    Their changes of the training are put together.
    """
    merged: Plain = {"training": {}}
    said: dict[str, str] = {}
    for key, recipe in recipes.items():
        for name, value in recipe.items():
            if name == "title" or value is None:
                continue
            parts = {f"training.{part}": v for part, v in value.items()} if name == "training" else {name: value}
            for part in parts:
                if part in said:
                    raise UserError(
                        f"{key}.{part}: {said[part]} says something of {part} too; an arm takes it from one level"
                    )
                said[part] = key
            if name == "training":
                merged["training"] |= value
            else:
                merged[name] = {**value, "factor": key.split(".")[1]} if name == "start" else value
    return merged


def _stages(study: Plain, recipe: Plain) -> list[str]:
    segmenting = [name for name, stage in study["stages"].items() if stage["learns"] == "segmentation"]
    return list(recipe.get("stages") or segmenting)


def _wanted(arm: Arm, block: Plain) -> bool:
    """Whether an arm has an amount and a subset that its block names; one without a graded pool has neither."""
    if arm.levels.get("subset", NOTHING["subset"]) == NOTHING["subset"]:
        return True
    asked = {factor: block[factor] for factor in NOTHING if block.get(factor, "all") != "all"}
    return all(arm.levels[factor] in as_list(named) for factor, named in asked.items())


def _levels(levels: Plain, asked: str | list[str] | None) -> list[str]:
    if asked is None:
        return list(levels)[:1]
    if asked == "all":
        return list(levels)
    return as_list(asked)


def _shows(levels: Plain) -> bool:
    """Whether the name of a set tells the level of a factor: each of its levels trains on other pools."""
    trained = [tuple(recipe["train"] or ()) for recipe in levels.values()]
    return all(trained) and len(set(trained)) == len(trained)


def _touches(levels: Plain) -> bool:
    """Whether a factor changes how networks are trained."""
    return any(recipe[key] is not None for recipe in levels.values() for key in TRAINED)
