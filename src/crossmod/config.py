"""Compose → validate → plain values: the one place where a study's configuration is read.

Hydra composes ``conf/``; the schema below is closed, so an unknown or mistyped key stops everything, with its full
path and the nearest valid key, before any job starts.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from crossmod.analyse.declared import Hypotheses
from crossmod.job import UserError
from crossmod.models.allowed import target_problem
from crossmod.schema import Closed, faults_of, nearest

Plain = dict[str, Any]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")]
Count = Annotated[int, Field(ge=1)]
Spacing = tuple[Annotated[float, Field(gt=0, le=20)], ...]
Probability = Annotated[float, Field(ge=0, le=1)]


class Cohort(Closed):
    """Where a table of cases comes from."""

    source: Literal["simulated", "folder", "kits23", "amos22", "chaos", "totalsegmentator"]
    title: str = Field("", description="what the cohort is called in figures and text")
    cases: Count | None = Field(None, description="simulated: how many patients to draw")
    seed: int | None = Field(None, description="simulated: seed of the patients")
    site: str | None = Field(None, description="simulated: name of the hospital or scanner")
    recipe: Plain | None = Field(None, description="simulated: how the patients are imaged")
    population: Plain | None = Field(None, description="simulated: who the patients are")
    protocols: dict[str, float] | None = Field(
        None, description="simulated: share of patients by acquisition protocol; what `recipe` says comes on top"
    )
    randomised: Probability | None = Field(
        None, description="simulated by protocols: share of patients with domain randomisation"
    )
    table: str | None = Field(None, description="folder: CSV with one row per scan")
    root: str | None = Field(
        None, description="public sets: the folder as downloaded; folder: what the table's paths start from"
    )
    modality: str | None = Field(None, description="public sets holding both: CT or MR")
    sequence: str | None = Field(None, description="public sets holding several: which one")
    labels: dict[int, str] | None = Field(None, description="folder: label value → structure")

    @model_validator(mode="after")
    def _complete(self) -> "Cohort":
        needed = {"simulated": ("cases", "seed", "recipe"), "folder": ("table", "labels")}.get(self.source, ("root",))
        missing = [key for key in needed if getattr(self, key) is None]
        if missing:
            raise ValueError(f"source '{self.source}' needs {', '.join(missing)}")
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
        return self


class Arms(Closed):
    """The training sets: assist alone, every graded amount alone (pure), and both together (mixed)."""

    assist: Assist
    graded: Graded


class Site(Closed):
    """A validation set."""

    cohort: Name
    title: str
    part: Literal["other_half", "held_out", "all"] = Field(
        description="other_half: the half an arm did not train on; held_out: patients outside the pool; all: every one"
    )


class Stage(Closed):
    """A link of the cascade."""

    structures: list[str] = Field(min_length=1, description="structures of the reference that are foreground")
    region: Literal["image", "kidney"] = Field(description="what a patch is drawn from")
    spacing_mm: Spacing = Field(min_length=3, max_length=3, description="grid of the network, R-A-S")
    patch: tuple[Count, Count, Count] = Field(description="patch in voxels of that grid")
    steps: Count = Field(description="optimiser steps, the same for every arm")
    overlap: float = Field(ge=0, lt=1, description="of neighbouring windows in inference; nnU-Net: 0.5")
    components: Count = Field(description="connected components kept in a prediction (per side where sided)")
    margin_mm: float = Field(10.0, ge=0, description="region kidney: added around the box")
    jitter_mm: float = Field(0.0, ge=0, description="region kidney: the box is moved by up to this in training")


class Training(Closed):
    """How every network is trained."""

    batch: Count
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    warmup: Probability = Field(description="share of the steps in which the learning rate rises")
    foreground: Probability = Field(description="share of the patches forced onto foreground")
    checkpoint_every: Count = Field(description="steps between resumable checkpoints")
    balance: Literal["natural", "modality"] = Field(
        description="natural: every case equally often; modality: CT and MR equally often"
    )
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
    threads: Count = Field(description="CPU threads per training; part of what makes a run repeatable")
    augmentation: "Augmentation"


class Augmentation(Closed):
    """Random changes of a training patch; each with its probability and range."""

    affine: Probability
    rotation_deg: float = Field(ge=0, le=180)
    scale: float = Field(ge=0, lt=1)
    noise: Probability
    noise_sd: float = Field(ge=0)
    blur: Probability
    blur_voxels: float = Field(ge=0)
    brightness: Probability
    brightness_shift: float = Field(ge=0)
    contrast: Probability
    contrast_factor: float = Field(ge=0, lt=1)
    gamma: Probability
    gamma_range: tuple[float, float]


class Normalisation(Closed):
    """Modality-wise intensity normalisation; the network gets no modality flag."""

    ct_window_hu: tuple[float, float]
    mr_percentiles: tuple[float, float]


class Analysis(Closed):
    """What is tested, at which level."""

    alpha: float = Field(gt=0, lt=1)
    confidence: float = Field(gt=0, lt=1)
    correction: Literal["holm", "bonferroni", "hochberg", "BH", "BY"]
    margin_dsc: float = Field(gt=0, lt=1, description="largest loss of DSC that does not matter")
    hypotheses: Hypotheses = Field(description="what is tested on which table, declared before any score exists")
    reference_error_ml: float | None = Field(description="volume error of the reference method; null: measured")
    reference_error_source: str | None


class Study(Closed):
    """A whole study: every fact of the experiment, and nothing about paths of outputs."""

    study: Name = Field(description="name of the study, of its results folder and of its MLflow experiment")
    scale: Name
    title: str
    source: str = Field(description="the paper whose experiment this is")
    seeds: list[int] = Field(min_length=1, description="one training of every arm and stage per seed")
    split_seed: int
    cohorts: dict[Name, Cohort]
    arms: Arms
    sites: dict[Name, Site]
    stages: dict[Name, Stage]
    targets: list[Literal["kidney", "parenchyma_with_tumour", "parenchyma_without_tumour"]]
    surface_tolerance_mm: float = Field(gt=0)
    normalisation: Normalisation
    model: Plain = Field(description="the network as a Hydra _target_ with its arguments")
    training: Training
    analyse: Analysis

    @model_validator(mode="after")
    def _refers_to_what_exists(self) -> "Study":
        faults = []
        users = {"arms.assist": self.arms.assist.cohort, "arms.graded": self.arms.graded.cohort}
        users |= {f"sites.{name}": site.cohort for name, site in self.sites.items()}
        for key, cohort in users.items():
            if cohort not in self.cohorts:
                faults.append(f"{key}.cohort: no cohort '{cohort}'{nearest(cohort, self.cohorts)}")
        if len(set(self.seeds)) != len(self.seeds):
            faults.append(f"seeds: repeated in {self.seeds}")
        if problem := target_problem(self.model):
            faults.append(problem)
        if faults:
            raise ValueError("; ".join(faults))
        return self


def conf_dir() -> Path:
    """The folder of the configuration: ``conf/`` of the project this package was installed from.

    Raises:
        UserError: if the package was installed without its project folder.
    """
    for folder in (Path.cwd(), *Path(__file__).resolve().parents):
        if (folder / "conf" / "config.yaml").is_file():
            return folder / "conf"
    raise UserError("No conf/config.yaml found: run crossmod studies from the project's folder.")


def compose(overrides: Sequence[str] = ()) -> Plain:
    """Compose and validate a study.

    Args:
        overrides: Hydra overrides, e.g. ``["study=renal", "scale=smoke", "training.batch=4"]``.

    Returns:
        The whole config as plain, JSON-ready values.

    Raises:
        UserError: naming every unknown key with its nearest valid one, and every value out of range.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            base = hydra_compose("config", [o for o in overrides if re.match(r"(study|scale|model|training)=", o)])
            _refuse_unknown_keys(overrides, OmegaConf.to_container(base))
            composed = hydra_compose("config", list(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_explain(error)) from error
    return validate(OmegaConf.to_container(composed, resolve=True))


def validate(values: Plain) -> Plain:
    """Validate composed values against the schema.

    Raises:
        UserError: listing every fault with its full key.
    """
    missing = [path for path, value in _leaves(values) if value == "???"]
    if missing:
        lines = "\n".join(f'  {path}: must be given, e.g. override="{path}=..."' for path in missing)
        raise UserError(f"The config is not complete:\n{lines}")
    try:
        study = Study.model_validate(values)
    except ValidationError as error:
        lines = "\n".join(f"  {line}" for line in faults_of(Study, error, "study"))
        raise UserError(f"The config is not valid:\n{lines}") from error
    return study.model_dump(mode="json", exclude_none=False)


def overrides_from_snakemake(config: Plain) -> list[str]:
    """Turn Snakemake's ``--config`` into Hydra overrides.

    ``study=renal scale=smoke`` become overrides as they are, ``training='{batch: 4}'`` becomes ``training.batch=4``, and
    ``override="training.batch=4 stages.kidney.steps=9"`` (Snakemake allows no dots in a key) is split at blanks.
    """
    config = dict(config)
    extra = config.pop("override", None) or []
    overrides = []
    for key in ("study", "scale"):
        if key in config:
            overrides.append(f"{key}={config.pop(key)}")
    for key, value in config.items():
        overrides.extend(_flatten(key, value))
    return overrides + (extra.split() if isinstance(extra, str) else [str(item) for item in extra])


def _flatten(key: str, value: Any) -> list[str]:
    if isinstance(value, dict):
        return [line for inner, item in value.items() for line in _flatten(f"{key}.{inner}", item)]
    if isinstance(value, list | tuple):
        return [f"{key}=[{','.join(str(item) for item in value)}]"]
    return [f"{key}={'null' if value is None else value}"]


def _refuse_unknown_keys(overrides: Sequence[str], base: Plain) -> None:
    """Hydra stops at the first unknown key and says little; say all of them and what was meant."""
    known = set(_paths(base)) | {"study", "scale", "model", "training"}
    faults = []
    for override in overrides:
        key = override.split("=", 1)[0]
        if key.startswith(("+", "~")):
            continue
        if key not in known:
            faults.append(f"  {key}: unknown key{nearest(key, known)}")
    if faults:
        raise UserError("The config has no such key:\n" + "\n".join(faults))


def _leaves(values: Plain, prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        found += _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else [(f"{prefix}{key}", value)]
    return found


def _paths(values: Plain, prefix: str = "") -> list[str]:
    found = []
    for key, value in values.items():
        found.append(f"{prefix}{key}")
        if isinstance(value, dict):
            found += _paths(value, f"{prefix}{key}.")
    return found


def _explain(error: Exception) -> str:
    text = re.sub(r"\s+", " ", str(error)).strip()
    choices = re.search(r"Could not find '(\w+)/([^']+)'", text)
    if choices:
        group, choice = choices.groups()
        options = [path.stem for path in (conf_dir() / group).glob("*.yaml")]
        return f"{group}={choice}: no such {group}{nearest(choice, options)}"
    return f"The config cannot be composed: {text}"


Training.model_rebuild()
