"""The schema of who learns from what: pools, the levels of factors, treatments and validation sets."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from crossmod.design.fields import Count, Level, Name, Text, label_values, unrepeated
from crossmod.job import Plain, UserError
from crossmod.prepare.treatments import named, treatment_problem
from crossmod.schema import Closed, Number, Whole


def _operations(given: Any) -> Any:
    """The operations of a treatment that comes with crossmod, where its name is given instead of a list."""
    if not isinstance(given, str):
        return given
    try:
        return named(given)
    except UserError as error:
        raise ValueError(str(error)) from error


def _treatment(operations: list[Plain]) -> list[Plain]:
    if problem := treatment_problem(operations):
        raise ValueError(problem)
    return operations


Treatment = Annotated[list[Plain], BeforeValidator(_operations), Field(min_length=1), AfterValidator(_treatment)]


class Pool(Closed):
    """Patients of a cohort in drawn order, and how many of them train.

    ``patients`` train together and the others are held out; ``subsets`` and ``amounts`` divide the pool into disjoint
    parts that are used in growing, nested amounts; ``folds`` divide it into parts of which all but one train. Without
    any of these all patients train.
    """

    cohort: Name = Field(description="where the patients come from")
    patients: Count | None = Field(None, description="how many patients train; the cohort's others are held out")
    subsets: list[Name] | None = Field(None, min_length=1, description="names of disjoint parts, e.g. [A, B]")
    amounts: list[Count] | None = Field(None, min_length=1, description="patients, growing; nested: 40 ⊂ 80 ⊂ 120")
    folds: Annotated[Whole, Field(ge=2, le=20)] | None = Field(
        None, description="parts of equal size; every training leaves one out, and is validated on it"
    )

    @model_validator(mode="after")
    def _one_way(self) -> "Pool":
        ways = [key for key in ("patients", "subsets", "folds") if getattr(self, key) is not None]
        if len(ways) > 1:
            raise ValueError(f"{' and '.join(ways)} exclude each other; a pool is used in one way")
        if (self.subsets is None) != (self.amounts is None):
            raise ValueError("subsets and amounts belong together; give both, or neither")
        return self

    @model_validator(mode="after")
    def _growing(self) -> "Pool":
        if self.amounts is not None and sorted(set(self.amounts)) != self.amounts:
            raise ValueError(f"amounts must grow without repeats, not {self.amounts}")
        if self.subsets is not None and (len(set(self.subsets)) < len(self.subsets) or "none" in self.subsets):
            raise ValueError(f"subsets need names of their own, other than 'none', not {self.subsets}")
        return self


class Start(Closed):
    """The training whose weights another one begins with; tensors of equal name and shape are taken over."""

    stage: Name | None = Field(None, description="the stage it trained; null: the same stage")
    train: list[Name] | None = Field(None, description="the pools it learned from; null: the same")


class Segmenter(Closed):
    """A program that segments in place of the study's networks."""

    command: Text = Field(
        description="program and arguments; {image}, or {image_folder} with scan_0000.nii.gz alone, stands for what it "
        "reads; {labels}, or {label_folder} with one file, for the label map that it writes, {mask_folder} for masks"
    )
    labels: Annotated[dict[int, str], BeforeValidator(label_values)] = Field(
        default_factory=dict, description="label value that it writes → structure, e.g. {1: spleen, 2: right_kidney}"
    )
    masks: dict[str, str] = Field(
        default_factory=dict,
        description="file that it writes into {mask_folder}, without its ending → structure; where masks overlap the "
        "later one counts, and files that are not named are not read",
    )
    ignore: list[Annotated[Whole, Field(ge=1)]] | Literal["others"] = Field(
        [], description="further values that it writes and that mean nothing here; others: all that have no label"
    )
    limit_s: Number = Field(3600, gt=0, description="seconds after which it is stopped, for each case")
    optional: bool = Field(
        False,
        description="true: where the program is not installed its arms are left out, and the page names them; false: "
        "the study fails there",
    )
    version_command: Text | None = Field(None, description="prints its version, for the record")
    licence: Text | None = Field(None, description="of program and weights, for the record")
    weights: Text | None = Field(None, description="file or folder of its weights, whose hash goes into the record")

    @model_validator(mode="after")
    def _finds_something(self) -> "Segmenter":
        if bool(self.labels) == bool(self.masks):
            raise ValueError("give labels (values of a label map) or masks (files of a folder), and one of them alone")
        return self


class Recipe(Closed):
    """How masks come about, as far as it differs from the study's own way: a level of a factor, or a teacher."""

    title: str = Field("", description="what it is called in figures and text")
    train: Annotated[list[Name], AfterValidator(unrepeated)] | None = Field(
        None, min_length=1, description="the pools that are learned from; null: all of them"
    )
    stages: Annotated[list[Name], AfterValidator(unrepeated)] | None = Field(
        None, min_length=1, description="the stages of the cascade in order; null: all that learn segmentation"
    )
    model: Name | None = Field(None, description="the network, by its name in `models`; null: the study's `model`")
    training: Plain | None = Field(None, description="what differs from the study's `training`")
    start: Start | None = Field(None, description="the training whose weights it begins with; null: random weights")
    treat: Name | None = Field(
        None, description="what is done to a scan before it is segmented, by its name in `treatments`"
    )
    segmenter: Segmenter | None = Field(
        None, description="a program that segments in place of networks; null: networks"
    )


class Site(Closed):
    """A validation set."""

    cohort: Name = Field(description="where its cases come from")
    title: Text = Field(description="what it is called in figures and text")
    part: Literal["other_half", "held_out", "all", "out_of_fold"] = Field(
        description="other_half: the parts of the pool that an arm did not draw from; held_out: patients outside the "
        "pool; "
        "out_of_fold: each patient of a pool by the training that left them out; all: every one"
    )
    where: dict[str, Level | list[Level]] = Field(
        default_factory=dict,
        description="factor → the level, or levels, of the arms that are validated here; empty: every arm is",
    )
