"""The trainings of a study, to which arms refer; a training may start from another's weights."""

from dataclasses import dataclass

from crossmod.design.sets import Share, TrainingSet, training_set
from crossmod.job import Plain, UserError


@dataclass(frozen=True)
class Training:
    """One node of fitting, before its seed.

    Attributes:
        name: ``{set}[-{levels that touch training}]/{stage}[/fold{k}]``; also its folder in ``train/``.
        set: whom it learns from.
        fold: which part of its pools is left out; 0 where nothing is.
        stage: what is trained.
        model: the network as a ``_target_``.
        settings: section ``training`` of the config with what its levels change.
        start: the training whose weights it begins with; None for random weights.
    """

    name: str
    set: TrainingSet
    fold: int
    stage: str
    model: Plain
    settings: Plain
    start: "Training | None" = None

    def chain(self) -> list["Training"]:
        """The trainings that it starts from, the first one first, and itself."""
        return [*(self.start.chain() if self.start else []), self]


def learned(
    study: Plain, recipe: Plain, chosen: TrainingSet, stage: str, suffix: tuple[tuple[str, str], ...]
) -> list[Training]:
    """The trainings of one stage of an arm, one per fold of its set.

    Args:
        study: the config.
        recipe: what the arm's levels say, put together.
        chosen: its training set.
        stage: name of the stage.
        suffix: (factor, level) of each factor that touches training and does not show in the set's name.

    Raises:
        UserError: the training would start from itself.
    """
    return [_training(study, recipe, chosen, stage, suffix, fold) for fold in range(chosen.folds)]


def _training(
    study: Plain, recipe: Plain, chosen: TrainingSet, stage: str, suffix: tuple[tuple[str, str], ...], fold: int
) -> Training:
    base = "-".join([chosen.name, *(level for _, level in suffix)])
    name = f"{base}/{stage}" if chosen.folds == 1 else f"{base}/{stage}/fold{fold}"
    model = study["models"][recipe["model"]] if recipe.get("model") else study["model"]
    start = _start(study, recipe, chosen, stage, suffix, fold)
    if start is not None and name in [node.name for node in start.chain()]:
        raise UserError(f"start: the training '{name}' would start from itself; name another stage or other pools")
    return Training(
        name,
        chosen,
        fold,
        stage,
        model,
        changed(study["training"], recipe["training"]),
        start,
    )


def _start(
    study: Plain, recipe: Plain, chosen: TrainingSet, stage: str, suffix: tuple[tuple[str, str], ...], fold: int
) -> Training | None:
    """The training that one starts from: the same levels, but for the factor that asks for a start."""
    start = recipe.get("start")
    if start is None:
        return None
    shares = chosen.shares
    if start["train"]:
        shares = {pool: chosen.shares.get(pool, _whole(study["pools"][pool], chosen)) for pool in start["train"]}
    earlier = training_set(study["pools"], shares)
    others = tuple((factor, level) for factor, level in suffix if factor != start["factor"])
    without = {key: value for key, value in recipe.items() if key != "start"}
    return _training(study, without, earlier, start["stage"] or stage, others, fold if earlier.folds > 1 else 0)


def _whole(pool: Plain, chosen: TrainingSet) -> Share:
    """All of a pool; of a graded one the subset of the set at hand, or else the first, with all it has."""
    if not pool["subsets"]:
        return Share(amount=pool["patients"])
    subset = next((share.subset for share in chosen.shares.values() if share.subset), pool["subsets"][0])
    return Share(subset, pool["amounts"][-1])


def changed(settings: Plain, change: Plain) -> Plain:
    """Settings with a change put in: sections are merged, but a ``_target_`` replaces what stood there."""
    merged = dict(settings)
    for key, value in change.items():
        inside = isinstance(value, dict) and isinstance(merged.get(key), dict) and "_target_" not in value
        merged[key] = changed(merged[key], value) if inside else value
    return merged
