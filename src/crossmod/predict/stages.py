"""Whether stages make a cascade, as a job of any origin gives them."""

from crossmod.job import Plain, UserError
from crossmod.stages import is_sided


def refuse_impossible(stages: dict[str, Plain]) -> None:
    """Check that stages, in order, make a cascade.

    Raises:
        UserError: if a stage's region is no earlier stage, or its components cannot be told apart as it asks for.
    """
    earlier: list[str] = []
    for name, stage in stages.items():
        region = stage["region"]
        if region != "image" and region not in earlier:
            raise UserError(
                f"stages.{name}.region: '{region}' is no earlier stage of the cascade {', '.join(stages)}; name one of "
                f"{', '.join(['image', *earlier])}."
            )
        if "one_a_side" in (stage["keep"] or {}):
            if len(stage["classes"]) > 1:
                raise UserError(
                    f"stages.{name}.keep: one_a_side needs a stage of one class, not of {', '.join(stage['classes'])}; "
                    "use largest, or null."
                )
            if region != "image" and is_sided(stages, region):
                raise UserError(
                    f"stages.{name}.keep: one_a_side is done already by the stage '{region}'; use largest, or null."
                )
        earlier.append(name)
