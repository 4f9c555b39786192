"""Whether stages make a cascade, as a job of any origin gives them."""

from crossmod.job import Plain, UserError
from crossmod.stages import IMAGE, keep_problem


def refuse_impossible(stages: dict[str, Plain]) -> None:
    """Check that stages, in order, make a cascade.

    Raises:
        UserError: if a stage's region is no earlier stage, or its components cannot be told apart as it asks for.
    """
    earlier: list[str] = []
    for name, stage in stages.items():
        region = stage["region"]
        if region != IMAGE and region not in earlier:
            raise UserError(
                f"stages.{name}.region: '{region}' is no earlier stage of the cascade {', '.join(stages)}; name one of "
                f"{', '.join([IMAGE, *earlier])}."
            )
        if problem := keep_problem(stages, name):
            raise UserError(f"stages.{name}.keep: {problem}.")
        earlier.append(name)
