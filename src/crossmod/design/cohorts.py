"""The schema of a cohort: where a table of cases comes from."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from crossmod.anatomy.structures import structure_problem
from crossmod.design.fields import Count, Name, Probability, Seed, Share, Text, label_values, rising
from crossmod.job import Plain
from crossmod.schema import Closed, Number

# Source → (keys it needs, keys it may have besides). `title` goes with every source.
SOURCES = {
    "simulated": (("cases", "seed", "recipe"), ("site", "population", "protocols", "randomised")),
    "folder": (("table", "labels", "title"), ("root", "modality")),
    "kits23": (("root",), ()),
    "amos22": (("root",), ("modality",)),
    "chaos": (("root",), ("modality", "sequence")),
    "totalsegmentator": (("root",), ("modality",)),
    "spider": (("root",), ("sequence",)),
    "derived": (("of", "structures"), ("volume_ml",)),
}


class Teacher(Closed):
    """Where a structure of a derived cohort comes from: what a teacher predicted for patients it never saw."""

    teacher: Name = Field(description="its name in `teachers`")


class Cohort(Closed):
    """Where a table of cases comes from."""

    source: Literal["simulated", "folder", "kits23", "amos22", "chaos", "totalsegmentator", "spider", "derived"] = (
        Field(
            description="simulated patients, a table of the user's, a public set as downloaded, or another cohort with "
            "new labels"
        )
    )
    title: str = Field("", description="what the cohort is called in figures and text; folder: must be given")
    cases: Count | None = Field(None, le=100_000, description="simulated: how many patients to draw")
    seed: Seed | None = Field(None, description="simulated: seed of the patients")
    site: Name | None = Field(None, description="simulated: name of the hospital or scanner")
    recipe: Plain | None = Field(None, description="simulated: how the patients are imaged")
    population: Plain | None = Field(None, description="simulated: who the patients are")
    protocols: dict[str, Share] | None = Field(
        None, description="simulated: share of patients by acquisition protocol; what `recipe` says comes on top"
    )
    randomised: Probability | None = Field(
        None, description="simulated by protocols: share of patients with domain randomisation"
    )
    table: Text | None = Field(None, description="folder: CSV with one row per scan")
    root: Text | None = Field(
        None, description="public sets: the folder as downloaded; folder: what the table's paths start from"
    )
    modality: Literal["CT", "MR"] | None = Field(
        None, description="public sets holding both: which one; folder: what every scan of the table must be"
    )
    sequence: Text | None = Field(None, description="public sets holding several: which one")
    labels: Annotated[dict[int, str], BeforeValidator(label_values)] | None = Field(
        None, description="folder: label value → structure, e.g. {1: parenchyma, 2: tumour}"
    )
    of: Name | None = Field(None, description="derived: the cohort whose scans and patients it has")
    structures: dict[str, Literal["reference"] | Teacher] | None = Field(
        None,
        min_length=1,
        description="derived: structure → reference, or {teacher: NAME}; where two meet, the later one counts",
    )
    volume_ml: dict[str, Annotated[tuple[Number, Number], AfterValidator(rising)]] | None = Field(
        None, description="derived: structure → volume that it must have; a case outside is left out, and listed"
    )

    @model_validator(mode="after")
    def _fits_its_source(self) -> "Cohort":
        needed, allowed = SOURCES[self.source]
        missing = [key for key in needed if getattr(self, key) in (None, "")]
        if missing:
            raise ValueError(f"source '{self.source}' needs {', '.join(missing)}")
        read = {"source", "title", *needed, *allowed}
        unread = [key for key, value in self if value is not None and key not in read]
        if unread:
            raise ValueError(f"source '{self.source}' does not read {', '.join(unread)}; set it to null")
        return self

    @model_validator(mode="after")
    def _structures_are_known(self) -> "Cohort":
        problems = [structure_problem(structure) for structure in (self.labels or {}).values()]
        if any(problems):
            raise ValueError(f"labels: {'; '.join(filter(None, problems))}")
        return self
