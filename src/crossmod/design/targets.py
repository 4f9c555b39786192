"""What a study compares with its reference: the declared targets, one for each class where a target asks for each."""

from crossmod.job import Plain, UserError


def groups_of(study: Plain) -> dict[str, list[str]]:
    """Declared target of each class of a stage → the targets that it becomes."""
    return {
        name: list(study["stages"][target["stage"]]["classes"])
        for name, target in study["targets"].items()
        if target["each_class"]
    }


def targets_of(study: Plain) -> dict[str, Plain]:
    """Target → ``title``, ``stage``, ``classes``, ``structures``, ``unit`` and ``where``.

    A target of each class of a stage becomes one target for each, named and titled by the class. What a target leaves
    unsaid of classes and structures depends on the arm's stage, and stays unsaid.

    Raises:
        UserError: if two targets have one name.
    """
    found: dict[str, Plain] = {}
    for name, target in study["targets"].items():
        record = {key: value for key, value in target.items() if key != "each_class"}
        names = study["stages"][target["stage"]]["classes"] if target["each_class"] else [name]
        for each in names:
            if each in found:
                raise UserError(
                    f"targets.{name}: there are two targets '{each}'; call the class or the target otherwise."
                )
            title = target["title"] or each.replace("_", " ").capitalize()
            classes = {"classes": [each]} if target["each_class"] else {}
            found[each] = {**record, "title": title, **classes}
    return found
