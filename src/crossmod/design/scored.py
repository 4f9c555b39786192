"""The schema of what is compared with a reference, tested and reported."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from crossmod.analyse.declared import Hypotheses
from crossmod.anatomy.structures import structure_problem
from crossmod.design.fields import Name, Positive, Text, rising, unknown_structure, unrepeated
from crossmod.schema import Closed, Number

Metric = Literal[
    "dsc",
    "hd95_mm",
    "surface_dsc",
    "ellipsoid_ml",
    "precision",
    "recall",
    "accuracy",
    "f1",
    "iou",
    "shared_ml",
    "extent_ml",
    "located",
]


Section = Literal[
    "scores",
    "classes",
    "pooled",
    "localisation",
    "lesions",
    "comparison",
    "volumes",
    "examples",
    "treatments",
    "throughput",
    "patients",
]


class Match(Closed):
    """When a predicted component is a reference component found."""

    overlap: Number = Field(0.1, gt=0, le=1, description="least intersection over union")


class Unit(Closed):
    """How a case is taken apart before it is scored."""

    structures: list[str] = Field(min_length=1, description="structures that belong to it")
    apart: Literal["side", "component", "plane", "tile"] = Field(
        description="side: right and left; component: connected parts; plane: slices; tile: squares of a slice"
    )
    facts: list[str] = Field(
        default_factory=list, description="structures whose volume inside it is told, e.g. [tumour]"
    )
    size_mm: Positive | None = Field(None, description="tile: its edge")
    match: Match | None = Field(None, description="component: when it counts as found")

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "Unit":
        if (self.apart == "tile") != (self.size_mm is not None):
            raise ValueError("size_mm belongs to apart: tile, and to it alone")
        if self.match is not None and self.apart != "component":
            raise ValueError("match belongs to apart: component alone")
        for structure in [*self.structures, *self.facts]:
            if problem := structure_problem(structure) or unknown_structure(structure):
                raise ValueError(problem)
        return self


class Target(Closed):
    """What is compared with a reference: which structures, in which unit, under which condition."""

    title: str = Field("", description="what it is called in figures and text")
    stage: Name | list[Name] = Field(
        description="the stage whose prediction is compared; of several the first one that an arm has"
    )
    classes: list[Name] | None = Field(None, min_length=1, description="classes of that stage; null: all of them")
    structures: list[str] | None = Field(None, min_length=1, description="of the reference; null: those of the classes")
    unit: Name = Field("image", description="image, or the name of a unit")
    where: dict[str, bool] = Field(default_factory=dict, description="fact of the unit → whether it must hold")
    each_class: bool = Field(False, description="one target for each class of the stage, named by the class")


class Contrast(Closed):
    """The comparison that the study is about."""

    factor: Name = Field(description="the factor whose levels are compared")
    a: str = Field(description="the level of interest")
    b: str = Field(description="the level it is compared with")
    beside: list[str] = Field(default_factory=list, description="further levels that enter the tables of the tests")


class Dose(Closed):
    """The factor along which annotation grows."""

    factor: Name = Field("amount", description="a factor whose levels are numbers")
    zero: dict[str, str] = Field(default_factory=dict, description="the arms that have none of it, e.g. {strategy: ct}")


class Analysis(Closed):
    """What is tested, at which level."""

    alpha: Number = Field(gt=0, lt=1, description="level of significance after correction")
    confidence: Number = Field(gt=0, lt=1, description="level of the intervals")
    correction: Literal["holm", "bonferroni", "hochberg", "BH", "BY"] = Field(description="of the p-values of a family")
    contrast: Contrast | None = Field(None, description="the comparison that the study is about")
    replicate: Name | None = Field(None, description="the factor whose levels repeat the same training, e.g. subset")
    dose: Dose | None = Field(None, description="the factor along which annotation grows, e.g. amount")
    good_dsc: Annotated[Number, Field(gt=0, lt=1)] | None = Field(
        None, description="mean DSC from which a model counts as usable; null: no such finding"
    )
    lesion_sizes_ml: Annotated[list[Positive], AfterValidator(rising)] = Field(
        default_factory=list,
        description="volumes between classes of size of components, e.g. [1, 5]: below 1 ml, 1 to 5, 5 or more",
    )
    hypotheses: Hypotheses = Field(description="what is tested on which table, declared before any score exists")
    reference_error_ml: Positive | None = Field(
        None, description="volume error of the reference method; null: measured"
    )
    reference_error_source: Text | None = Field(None, description="where that number comes from")

    @model_validator(mode="after")
    def _error_has_a_source(self) -> "Analysis":
        if self.reference_error_ml is not None and self.reference_error_source is None:
            raise ValueError("reference_error_ml needs reference_error_source: say where the number comes from")
        return self


class Report(Closed):
    """What the page shows."""

    sections: Annotated[list[Section], AfterValidator(unrepeated)] = Field(description="its sections in order")
    notebooks: Annotated[list[Name], AfterValidator(unrepeated)] = Field(
        description="files of notebooks/ that draw its figures"
    )
