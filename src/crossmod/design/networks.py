"""The schema of stages and of their training."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_serializer, model_validator

from crossmod.anatomy.structures import structure_problem
from crossmod.design.fields import (
    Count,
    Hounsfield,
    Name,
    Percentile,
    Positive,
    Probability,
    Side,
    Spacing,
    Threads,
    rising,
    unknown_structure,
)
from crossmod.job import Plain
from crossmod.schema import Closed, Number, Whole


class Keep(Closed):
    """Which connected components of a prediction are kept."""

    largest: Count | None = Field(None, description="the largest ones (of each side where the stage is sided)")
    one_a_side: Annotated[Whole, Field(ge=1, le=2)] | None = Field(
        None, description="one on each side of the body, at most so many: a paired organ"
    )

    @model_validator(mode="after")
    def _one_way(self) -> "Keep":
        if (self.largest is None) == (self.one_a_side is None):
            raise ValueError("give largest or one_a_side; null in place of both keeps every component")
        return self

    @model_serializer
    def _the_one(self) -> dict[str, int]:
        return {key: value for key, value in self if value is not None}


class Degradation(Closed):
    """What is done to the images that a network learns to restore."""

    noise_sd: Number = Field(ge=0, description="standard deviation of the noise, in standard deviations of the body")
    blanked: Probability = Field(description="share of the blocks, eight along each axis, that are set to the mean")


class Stage(Closed):
    """A link of a cascade: what one network learns, where it looks, and what is kept of what it finds."""

    learns: Literal["segmentation", "reconstruction", "presence"] = Field(
        "segmentation",
        description="segmentation: the classes of voxels; reconstruction: the image behind a degraded one; presence: "
        "whether a "
        "patch holds any of the structures `of`",
    )
    classes: dict[Name, list[str]] | None = Field(
        None, description="class → structures of the reference that are it; values 1, 2, … in this order, 0 is the rest"
    )
    of: list[str] | None = Field(None, min_length=1, description="presence: the structures that a patch may hold")
    degrade: Degradation | None = Field(
        None,
        description="reconstruction: how images are degraded, e.g. {noise_sd: 0.5, blanked: 0}; null: noise of half a "
        "standard deviation, and an eighth of the blocks blanked",
    )
    region: Name = Field("image", description="where the network looks: image, or an earlier stage whose boxes it gets")
    keep: Keep | None = Field(None, description="connected components kept in a prediction; null: all")
    spacing_mm: tuple[Spacing | None, Spacing | None, Spacing | None] = Field(
        description="grid of the network, R-A-S; null along an axis: the scan's own"
    )
    patch: tuple[Side, Side, Side] = Field(description="patch in voxels of that grid; 1 along an axis: a 2-D network")
    steps: Count = Field(le=100_000_000, description="optimiser steps, the same for every arm (training.budget: steps)")
    passes: Count | None = Field(
        None, le=1_000_000, description="how often each case is seen (training.budget: passes)"
    )
    overlap: Number = Field(0.25, ge=0, lt=1, description="of neighbouring windows in inference; nnU-Net: 0.5")
    margin_mm: Number = Field(10.0, ge=0, le=200, description="around the box of the region")
    jitter_mm: Number = Field(0.0, ge=0, le=200, description="the box of the region is moved by up to this in training")

    @model_validator(mode="after")
    def _structures_are_known(self) -> "Stage":
        named = {f"classes.{name}": structures for name, structures in (self.classes or {}).items()}
        for key, structures in (named | ({"of": self.of} if self.of else {})).items():
            if not structures:
                raise ValueError(f"{key}: names no structure")
            for structure in structures:
                if problem := structure_problem(structure) or unknown_structure(structure):
                    raise ValueError(f"{key}: {problem}")
            if len(set(structures)) < len(structures):
                raise ValueError(f"{key}: repeated in {structures}")
        every = [structure for structures in named.values() for structure in structures]
        twice = sorted({structure for structure in every if every.count(structure) > 1})
        if twice:
            raise ValueError(f"classes: {', '.join(twice)} stands in two classes; a voxel has one class")
        return self

    @model_validator(mode="after")
    def _has_what_it_learns(self) -> "Stage":
        needed = {"segmentation": "classes", "presence": "of"}.get(self.learns)
        for key in ("classes", "of"):
            if key == needed and not getattr(self, key):
                raise ValueError(f"learns: {self.learns} needs {key}")
            if key != needed and getattr(self, key):
                raise ValueError(f"learns: {self.learns} does not read {key}; remove it")
        if self.degrade and self.learns != "reconstruction":
            raise ValueError(f"learns: {self.learns} does not read degrade; remove it")
        return self


class Augmentation(Closed):
    """Random changes of a training patch; each with its probability and range."""

    affine: Probability = Field(description="how often a patch is rotated and scaled")
    rotation_deg: Number = Field(ge=0, le=180, description="largest rotation about each axis")
    scale: Number = Field(ge=0, lt=1, description="largest relative change of size")
    noise: Probability = Field(description="how often noise is added")
    noise_sd: Number = Field(ge=0, description="its largest standard deviation, in standard deviations of the body")
    blur: Probability = Field(description="how often a patch is blurred")
    blur_voxels: Number = Field(ge=0, description="largest standard deviation of the blur")
    brightness: Probability = Field(description="how often a constant is added")
    brightness_shift: Number = Field(ge=0, description="the largest one, in standard deviations of the body")
    contrast: Probability = Field(description="how often intensities are multiplied")
    contrast_factor: Number = Field(ge=0, lt=1, description="largest relative change")
    gamma: Probability = Field(description="how often intensities are raised to a power")
    gamma_range: Annotated[tuple[Positive, Positive], AfterValidator(rising)] = Field(
        description="smallest and largest power"
    )
    curve: Probability = Field(0.0, description="how often intensities are bent by a random monotone curve")
    invert: Probability = Field(
        0.0, description="how often bright is turned into dark, every other time with the darkest voxels kept dark"
    )


class Training(Closed):
    """How every network is trained."""

    batch: Count = Field(description="patches per optimiser step")
    budget: Literal["steps", "passes"] = Field(
        "steps",
        description="what every arm gets alike: steps (optimiser steps of the stage) or passes (how often each case "
        "is seen)",
    )
    loss: Plain = Field(description="the loss of a segmentation as a _target_ with its arguments")
    optimiser: Plain = Field(description="the optimiser as a _target_ with its arguments")
    schedule: Plain = Field(description="the schedule of the learning rate as a _target_ with its arguments")
    clip_norm: Positive | None = Field(None, description="largest norm of the gradient; null: not clipped")
    average: Annotated[Number, Field(gt=0, lt=1)] | None = Field(
        None, description="decay of the moving average of the weights; null: the last weights are kept"
    )
    foreground: Probability = Field(description="share of the patches forced onto foreground")
    boundary: Probability = Field(0.0, description="share of the patches forced onto the edge of the foreground")
    off_centre: Probability = Field(
        0.0, description="how far off the middle of its patch such a voxel may lie, as a share of half the patch"
    )
    checkpoint_every: Count = Field(description="steps between resumable checkpoints")
    balance: Literal["natural", "modality"] = Field(
        description="natural: every case equally often; modality: CT and MR equally often"
    )
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = Field(
        description="of the arithmetic; auto: bf16 where the machine computes it natively, else 32 bit"
    )
    threads: Threads = Field(description="CPU threads per training; part of what makes a run repeatable")
    augmentation: Augmentation = Field(description="random changes of patches")

    @model_validator(mode="after")
    def _shares_are_shares(self) -> "Training":
        if (forced := self.foreground + self.boundary) > 1:
            raise ValueError(f"foreground and boundary: {forced:g} of the patches; together at most 1")
        return self


class Throughput(Closed):
    """How many planes a second the networks of a stage segment."""

    stage: Name = Field(description="the stage whose networks are timed; its patches are one voxel thick")
    slice: tuple[Side, Side] = Field(description="pixels of a whole plane, in the order of the scan's axes")
    warm_up: Count = Field(10, le=1000, description="planes before the clock runs")
    repeats: Count = Field(100, le=100_000, description="planes that are timed, one at a time")
    threads: Threads = Field(description="CPU threads")


class Normalisation(Closed):
    """Modality-wise intensity normalisation; the network gets no modality flag."""

    ct_window_hu: Annotated[tuple[Hounsfield, Hounsfield], AfterValidator(rising)] = Field(
        description="CT is clipped to these"
    )
    mr_percentiles: Annotated[tuple[Percentile, Percentile], AfterValidator(rising)] = Field(
        description="MR is clipped to these percentiles of the body"
    )
