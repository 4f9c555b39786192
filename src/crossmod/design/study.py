"""The schema of a study's configuration: every key, what it means, and which values it may have."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from crossmod.analyse.declared import Hypotheses
from crossmod.anatomy.structures import OTHERS, RENAL, split_side, structure_problem
from crossmod.job import Plain
from crossmod.schema import Closed, Number, Whole, nearest

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")]
Text = Annotated[str, Field(pattern=r"\S")]
Count = Annotated[Whole, Field(ge=1)]
Seed = Annotated[Whole, Field(ge=0, lt=2**32)]
Spacing = Annotated[Number, Field(ge=0.1, le=20)]  # ASSUME: no CT or MR of a body is finer than 0.1 mm.
Probability = Annotated[Number, Field(ge=0, le=1)]
Share = Annotated[Number, Field(ge=0)]
Target = Literal["kidney", "parenchyma_with_tumour", "parenchyma_without_tumour"]
Positive = Annotated[Number, Field(gt=0)]
# ASSUME: CT numbers lie between -1024 and 30000 HU (metal, extended scale).
Hounsfield = Annotated[Number, Field(ge=-1024, le=30_000)]
Percentile = Annotated[Number, Field(ge=0, le=100)]
# ASSUME: no patch has more than 512 voxels along an axis, and no machine of one job more than 256 cores.
Side = Annotated[Whole, Field(ge=1, le=512)]
Threads = Annotated[Whole, Field(ge=1, le=256)]

# Source → (keys it needs, keys it may have besides). `title` goes with every source.
SOURCES = {
    "simulated": (("cases", "seed", "recipe"), ("site", "population", "protocols", "randomised")),
    "folder": (("table", "labels", "title"), ("root", "modality")),
    "kits23": (("root",), ()),
    "amos22": (("root",), ("modality",)),
    "chaos": (("root",), ("modality", "sequence")),
    "totalsegmentator": (("root",), ("modality",)),
}


def _unrepeated(values: list[Any]) -> list[Any]:
    if len(set(values)) != len(values):
        raise ValueError(f"repeated in {values}")
    return values


def _label_values(given: Any) -> Any:
    """Label value → structure, with whole numbers from 1 as keys, however they are written."""
    if not isinstance(given, dict):
        return given
    wrong = [key for key in given if isinstance(key, bool) or not re.fullmatch(r"[1-9][0-9]*", str(key))]
    if wrong:
        raise ValueError(f"a label value is a whole number from 1, not {', '.join(map(repr, wrong))}")
    values = [int(key) for key in given]
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"label value {', '.join(map(str, twice))} is given twice")
    return dict(zip(values, given.values(), strict=True))


def _rising(pair: tuple[float, float]) -> tuple[float, float]:
    if not pair[0] < pair[1]:
        raise ValueError(f"the first number must be below the second, not [{pair[0]:g}, {pair[1]:g}]")
    return pair


class Cohort(Closed):
    """Where a table of cases comes from."""

    source: Literal["simulated", "folder", "kits23", "amos22", "chaos", "totalsegmentator"]
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
    labels: Annotated[dict[int, str], BeforeValidator(_label_values)] | None = Field(
        None, description="folder: label value → structure, e.g. {1: parenchyma, 2: tumour}"
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
        if self.labels is not None and not any(split_side(name)[1] in RENAL for name in self.labels.values()):
            raise ValueError(f"labels: none is a part of a kidney ({', '.join(RENAL)}), so nothing could be scored")
        return self


class Assist(Closed):
    """The pool of the assisting modality: used whole, or not at all."""

    cohort: Name
    patients: Count = Field(description="how many patients train; the cohort's others validate")


class Graded(Closed):
    """The pool of the modality of interest: halved, each half used in growing, nested amounts."""

    cohort: Name
    subsets: list[Name] = Field(min_length=1, description="names of the disjoint parts, e.g. A and B")
    amounts: list[Count] = Field(min_length=1, description="patients, growing; nested: 40 ⊂ 80 ⊂ 120")

    @model_validator(mode="after")
    def _growing(self) -> "Graded":
        if sorted(set(self.amounts)) != self.amounts:
            raise ValueError(f"amounts must grow without repeats, not {self.amounts}")
        if len(set(self.subsets)) < len(self.subsets) or "none" in self.subsets:
            raise ValueError(f"subsets need names of their own, other than 'none', not {self.subsets}")
        return self


class Arms(Closed):
    """The training sets: assist alone, every graded amount alone (pure), and both together (mixed)."""

    assist: Assist
    graded: Graded


class Site(Closed):
    """A validation set."""

    cohort: Name
    title: Text
    part: Literal["other_half", "held_out", "all"] = Field(
        description="other_half: the half an arm did not train on; held_out: patients outside the pool; all: every one"
    )


class Stage(Closed):
    """A link of the cascade."""

    structures: list[str] = Field(min_length=1, description="structures of the reference that are foreground")
    region: Literal["image", "kidney"] = Field(description="what a patch is drawn from")
    spacing_mm: tuple[Spacing, Spacing, Spacing] = Field(description="grid of the network, R-A-S")
    patch: tuple[Side, Side, Side] = Field(description="patch in voxels of that grid")
    steps: Count = Field(le=100_000_000, description="optimiser steps, the same for every arm")
    overlap: Number = Field(ge=0, lt=1, description="of neighbouring windows in inference; nnU-Net: 0.5")
    components: Count = Field(description="connected components kept in a prediction (per side where sided)")
    margin_mm: Number = Field(10.0, ge=0, le=200, description="region kidney: added around the box")
    jitter_mm: Number = Field(
        0.0, ge=0, le=200, description="region kidney: the box is moved by up to this in training"
    )

    @model_validator(mode="after")
    def _structures_are_known(self) -> "Stage":
        for structure in self.structures:
            if structure not in (*RENAL, *OTHERS):
                raise ValueError(f"structures: '{structure}' is unknown{nearest(structure, [*RENAL, *OTHERS])}")
        if len(set(self.structures)) < len(self.structures):
            raise ValueError(f"structures: repeated in {self.structures}")
        return self


class Augmentation(Closed):
    """Random changes of a training patch; each with its probability and range."""

    affine: Probability
    rotation_deg: Number = Field(ge=0, le=180)
    scale: Number = Field(ge=0, lt=1)
    noise: Probability
    noise_sd: Number = Field(ge=0)
    blur: Probability
    blur_voxels: Number = Field(ge=0)
    brightness: Probability
    brightness_shift: Number = Field(ge=0)
    contrast: Probability
    contrast_factor: Number = Field(ge=0, lt=1)
    gamma: Probability
    gamma_range: Annotated[tuple[Positive, Positive], AfterValidator(_rising)]


class Training(Closed):
    """How every network is trained."""

    batch: Count
    learning_rate: Number = Field(gt=0, le=1)
    weight_decay: Number = Field(ge=0, le=1)
    warmup: Probability = Field(description="share of the steps in which the learning rate rises")
    foreground: Probability = Field(description="share of the patches forced onto foreground")
    checkpoint_every: Count = Field(description="steps between resumable checkpoints")
    balance: Literal["natural", "modality"] = Field(
        description="natural: every case equally often; modality: CT and MR equally often"
    )
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
    threads: Threads = Field(description="CPU threads per training; part of what makes a run repeatable")
    augmentation: Augmentation


class Normalisation(Closed):
    """Modality-wise intensity normalisation; the network gets no modality flag."""

    ct_window_hu: Annotated[tuple[Hounsfield, Hounsfield], AfterValidator(_rising)]
    mr_percentiles: Annotated[tuple[Percentile, Percentile], AfterValidator(_rising)]


class Analysis(Closed):
    """What is tested, at which level."""

    alpha: Number = Field(gt=0, lt=1)
    confidence: Number = Field(gt=0, lt=1)
    correction: Literal["holm", "bonferroni", "hochberg", "BH", "BY"]
    margin_dsc: Number = Field(gt=0, lt=1, description="largest loss of DSC that does not matter")
    hypotheses: Hypotheses = Field(description="what is tested on which table, declared before any score exists")
    reference_error_ml: Annotated[Number, Field(gt=0)] | None = Field(
        description="volume error of the reference method; null: measured"
    )
    reference_error_source: Text | None

    @model_validator(mode="after")
    def _error_has_a_source(self) -> "Analysis":
        if self.reference_error_ml is not None and self.reference_error_source is None:
            raise ValueError("reference_error_ml needs reference_error_source: say where the number comes from")
        return self


class Study(Closed):
    """A whole study: every fact of the experiment, and nothing about paths of outputs."""

    study: Name = Field(description="name of the study, of its file and of its results folder")
    adds_to: Name | None = Field(
        None,
        description="the study whose cohorts, networks and masks are used as they lie; null: this one makes its own",
    )
    scale: Name
    title: Text
    source: str = Field(description="the paper whose experiment this is")
    seeds: Annotated[list[Seed], AfterValidator(_unrepeated)] = Field(
        min_length=1, description="one training of every arm and stage per seed"
    )
    split_seed: Seed
    cohorts: dict[Name, Cohort] = Field(min_length=1)
    arms: Arms
    sites: dict[Name, Site] = Field(min_length=1)
    stages: dict[Name, Stage] = Field(min_length=1)
    targets: Annotated[list[Target], AfterValidator(_unrepeated)] = Field(min_length=1)
    surface_tolerance_mm: Number = Field(gt=0, le=100)
    normalisation: Normalisation
    model: Plain = Field(description="the network as a Hydra _target_ with its arguments")
    training: Training
    analyse: Analysis

    @model_validator(mode="after")
    def _adds_to_another(self) -> "Study":
        if self.adds_to == self.study:
            raise ValueError(f"adds_to: '{self.adds_to}' is this study itself; name another one, or null")
        return self
