"""The schema of a study's configuration: every key, what it means, and which values it may have."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from crossmod.design.cohorts import Cohort
from crossmod.design.fields import Level, Name, Seed, Text, unrepeated
from crossmod.design.networks import Normalisation, Stage, Throughput, Training
from crossmod.design.recipes import Pool, Recipe, Site, Treatment
from crossmod.design.scored import Analysis, Metric, Report, Target, Unit
from crossmod.job import Plain
from crossmod.schema import Closed, Number


def _everything() -> list[dict[str, Level | list[Level]]]:
    """One block of combinations that leaves out no level."""
    return [{}]


class Study(Closed):
    """A whole study: every fact of the experiment, and nothing about paths of outputs."""

    study: Name = Field(description="name of the study, of its file and of its results folder")
    adds_to: Name | None = Field(
        None,
        description="the study whose cohorts, networks and masks are used as they lie; null: this one makes its own",
    )
    scale: Name = Field(description="how big the run is: smoke, laptop or full")
    title: Text = Field(description="what the study asks, as a heading")
    source: str = Field(description="the paper whose experiment this is")
    seeds: Annotated[list[Seed], AfterValidator(unrepeated)] = Field(
        min_length=1, description="one training of every arm and stage per seed"
    )
    split_seed: Seed = Field(description="seed of the drawing of patients")
    cohorts: dict[Name, Cohort] = Field(min_length=1, description="where cases come from")
    pools: dict[Name, Pool] = Field(default_factory=dict, description="patients that train")
    factors: dict[Name, dict[Name, Recipe]] = Field(
        default_factory=dict, description="what the study varies: factor → level"
    )
    titles: dict[str, str] = Field(default_factory=dict, description="words for readers: factor → its title")
    arms: list[dict[str, Level | list[Level]]] = Field(
        default_factory=_everything,
        min_length=1,
        description="blocks of combinations: factor → all, a level or several; a factor left out takes its first "
        "level, amount and subset of a graded pool all theirs. first_seeds: 1 in a block trains its arms with the "
        "first seed alone, 2 with two; left out: with all",
    )
    teachers: dict[Name, Recipe] = Field(
        default_factory=dict, description="arms that are predicted but not compared: they label derived cohorts"
    )
    sites: dict[Name, Site] = Field(min_length=1, description="validation sets")
    stages: dict[Name, Stage] = Field(min_length=1, description="what networks learn")
    units: dict[Name, Unit] = Field(default_factory=dict, description="how a case is taken apart before it is scored")
    targets: dict[Name, Target] = Field(min_length=1, description="what is compared with the reference")
    metrics: Annotated[list[Metric], AfterValidator(unrepeated)] = Field(
        min_length=1, description="how it is compared; volumes are always measured"
    )
    surface_tolerance_mm: Number = Field(gt=0, le=100, description="of the surface DSC")
    located_above_dsc: Number = Field(
        0.0,
        ge=0,
        lt=1,
        description="of the metric located: a lesion was found in its place where its DSC lies above; 0: by one voxel",
    )
    normalisation: Normalisation = Field(description="of intensities")
    normalise_as: Literal["CT", "MR"] | None = Field(
        None, description="the modality that networks were trained for, whatever a scan is; null: the scan's own"
    )
    treatments: dict[Name, Treatment] = Field(
        default_factory=dict,
        description="changes of intensities before a segmenter sees them: operations, e.g. [{clip: [0, 3000]}, "
        "{invert: {}}], or the name of a treatment that comes with crossmod (`crossmod treat --help`)",
    )
    model: Plain = Field(description="the network as a _target_ with its arguments")
    models: dict[Name, Plain] = Field(default_factory=dict, description="further networks, which levels name")
    training: Training = Field(description="how networks are trained")
    throughput: Throughput | None = Field(
        None,
        description="which networks are timed on this machine, a figure that no other result depends on; null: none",
    )
    analyse: Analysis = Field(description="what is tested")
    report: Report = Field(description="what the page shows")

    @model_validator(mode="after")
    def _adds_to_another(self) -> "Study":
        if self.adds_to == self.study:
            raise ValueError(f"adds_to: '{self.adds_to}' is this study itself; name another one, or null")
        return self
