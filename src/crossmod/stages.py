"""What follows from the config of a study's stages: what each learns, and what the values of its masks mean."""

from crossmod.job import Plain

IMAGE = "image"  # the region of a stage that looks everywhere


def classes_of(stage: Plain) -> dict[str, list[str]]:
    """Class → structures of a stage, in the order of the values 1, 2, …

    A stage that learns whether structures are present has them as its one class; one that learns to restore images has
    none.
    """
    learns = stage.get("learns", "segmentation")
    if learns == "presence":
        return {"present": stage["of"]}
    return {} if learns == "reconstruction" else stage["classes"]


def outputs_of(stage: Plain) -> int:
    """How many channels a stage's network gives: one for each class and one for the background; one where it restores
    images or tells whether something is present.
    """
    return 1 + len(stage["classes"]) if stage.get("learns", "segmentation") == "segmentation" else 1


def keep_problem(stages: Plain, name: str) -> str | None:
    """Why a stage cannot keep one component a side, with the cure; None where it can, or does not."""
    stage = stages[name]
    if "one_a_side" not in (stage.get("keep") or {}):
        return None
    classes = classes_of(stage)
    if len(classes) != 1:
        return f"one_a_side needs a stage of one class, not of {', '.join(classes) or 'none'}; use largest, or null"
    if stage["region"] != IMAGE and is_sided(stages, stage["region"]):
        return f"one_a_side is done already by the stage '{stage['region']}'; use largest, or null"
    return None


def is_sided(stages: Plain, name: str) -> bool:
    """Whether the masks of a stage hold sides (1 right, 2 left) and not the values of its classes.

    That is so where it has one class, and keeps one component a side or looks into the region of a sided stage.
    """
    stage = stages[name]
    if len(classes_of(stage)) != 1:
        return False
    return "one_a_side" in (stage.get("keep") or {}) or (stage["region"] != IMAGE and is_sided(stages, stage["region"]))
