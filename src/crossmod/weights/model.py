"""The networks of a volume tool as they lie on disk: those that come with crossmod, or a trained arm of a study."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from crossmod.job import Plain, UserError, file_digest, read_json
from crossmod.models.allowed import target_problem
from crossmod.weights import FOLDER, RECORD

# Names become parts of paths: none leads out of its folder.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$", max_length=100)]
# ASSUME: a patch of 256 x 256 x 256 voxels is more than any memory of today trains on.
LARGEST_PATCH = 256**3


class _Read(BaseModel):
    """What is read from disk: what is needed is checked, what else stands there is left alone."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)


class _Largest(_Read):
    largest: int = Field(ge=1)


class _OneASide(_Read):
    one_a_side: int = Field(ge=1)


class _Stage(_Read):
    """What a stage needs to be computed; see `crossmod.design.study.Stage`."""

    classes: dict[Name, list[Name]] = Field(min_length=1, max_length=1)
    region: Name
    keep: _OneASide | _Largest
    spacing_mm: tuple[Annotated[float, Field(ge=0.1, le=20)], ...] = Field(min_length=3, max_length=3)
    patch: tuple[Annotated[int, Field(ge=1, le=1024)], ...] = Field(min_length=3, max_length=3)
    overlap: float = Field(ge=0, lt=1)
    margin_mm: float = Field(ge=0, le=200)

    @field_validator("patch")
    @classmethod
    def _computable(cls, patch: tuple[int, ...]) -> tuple[int, ...]:
        if patch[0] * patch[1] * patch[2] > LARGEST_PATCH:
            raise ValueError(f"more than {LARGEST_PATCH} voxels")
        return patch


class _Normalisation(_Read):
    ct_window_hu: tuple[float, float]
    mr_percentiles: tuple[Annotated[float, Field(ge=0, le=100)], Annotated[float, Field(ge=0, le=100)]]

    @field_validator("ct_window_hu", "mr_percentiles")
    @classmethod
    def _rising(cls, limits: tuple[float, float]) -> tuple[float, float]:
        if limits[0] >= limits[1]:
            raise ValueError("the lower limit must be below the upper one")
        return limits


class _Settings(_Read):
    """What networks were trained with."""

    name: str = Field(max_length=300)
    stages: dict[Name, _Stage] = Field(min_length=2, max_length=2)
    models: dict[Name, Plain]
    normalisation: _Normalisation
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"]

    @field_validator("stages")
    @classmethod
    def _in_order(cls, stages: dict[str, _Stage]) -> dict[str, _Stage]:
        first = next(iter(stages))
        if [stage.region for stage in stages.values()] != ["image", first]:
            raise ValueError("the first stage looks at the whole image, the second at the kidneys that the first found")
        if not isinstance(stages[first].keep, _OneASide):
            raise ValueError("the first stage keeps one kidney a side")
        return stages

    @field_validator("models")
    @classmethod
    def _harmless(cls, models: dict[str, Plain]) -> dict[str, Plain]:
        for network in models.values():
            if problem := target_problem(network):
                raise ValueError(problem)
        return models

    @model_validator(mode="after")
    def _one_network_a_stage(self) -> Self:
        if set(self.models) != set(self.stages):
            raise ValueError("models and stages name different stages")
        return self


class _Record(_Settings):
    """What `crossmod ship` writes: the settings, and the digest of every file by stage."""

    weights: dict[Name, dict[Name, str]]

    @field_validator("weights")
    @classmethod
    def _some(cls, weights: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        if not all(weights.values()):
            raise ValueError("a stage has no networks")
        return weights


@dataclass(frozen=True)
class Model:
    """A trained arm as it lies on disk.

    Attributes:
        name: arm and seeds.
        weights: stage → safetensors files, one per training, in the order of the cascade.
        stages: stage → config it was trained with.
        models: stage → config of its network.
        normalisation: config of the intensity normalisation.
        precision: of the arithmetic.
    """

    name: str
    weights: dict[str, tuple[Path, ...]]
    stages: Plain
    models: dict[str, Plain]
    normalisation: Plain
    precision: str

    @classmethod
    def shipped(cls, folder: Path = FOLDER) -> "Model":
        """The networks that come with crossmod, trained on simulated patients alone, or others that `crossmod ship`
        wrote.

        Raises:
            UserError: if the folder holds none, or a file is not the one its record tells of.
        """
        if not (folder / RECORD.name).is_file():
            raise UserError(f"{folder}: no {RECORD.name}: it is written by `crossmod ship --out {folder}`.")
        record = _record_of(folder / RECORD.name)
        wrong = [name for name, digest in _digests(record).items() if not is_file_of(folder / name, digest)]
        if wrong:
            raise UserError(
                f"{folder}: {', '.join(wrong)}: missing, or not what {RECORD.name} tells of. Install crossmod anew, or "
                "write them again with `make weights` or `crossmod ship`."
            )
        weights = {stage: tuple(folder / name for name in record["weights"][stage]) for stage in record["stages"]}
        return cls._of(record, weights)

    @classmethod
    def load(cls, folder: Path, seed: int) -> "Model":
        """Read what the study saved; today's config plays no part.

        Raises:
            UserError: if the folder holds no trained arm, or its job is not one that networks can be read by.
        """
        # What the study itself segmented its sites with lies beside its predictions.
        study = folder.parent.parent
        jobs = sorted((study / "predict" / folder.name / f"seed{seed}").glob("*.job.json"))
        if not jobs:
            raise UserError(
                f"{folder}: no arm of a finished study with seed {seed}. Give the folder of a trained arm inside the "
                "results of its study, e.g. --model results/renal/laptop/train/ct116+mrA120."
            )
        settings = _settings_of(jobs[0], seed)
        weights: dict[str, tuple[Path, ...]] = {
            stage: (folder / stage / f"seed{seed}" / "model.safetensors",) for stage in settings["stages"]
        }
        return cls._of(settings, weights)

    @classmethod
    def _of(cls, settings: Plain, weights: dict[str, tuple[Path, ...]]) -> "Model":
        named = ("name", "stages", "models", "normalisation", "precision")
        return cls(weights=weights, **{key: settings[key] for key in named})


def shipped_files(folder: Path) -> list[str]:
    """Names of the networks in a folder that are, byte for byte, those its record tells of; empty where there is no
    record.
    """
    path = folder / RECORD.name
    if not path.exists():
        return []
    return [name for name, digest in _digests(_record_of(path)).items() if is_file_of(folder / name, digest)]


def is_file_of(path: Path, digest: str) -> bool:
    """Whether there is such a file, with that SHA-256."""
    return path.is_file() and file_digest(path) == digest


def _record_of(path: Path) -> Plain:
    """A record of shipped networks, checked."""
    try:
        record = read_json(path)
        _Record.model_validate(record)
        if set(record["weights"]) != set(record["stages"]):
            raise UserError("weights and stages name different stages.")
    except (ValidationError, UserError) as error:
        raise UserError(
            f"{path}: not a record of this version's networks ({_reason(error)}). Write them again with `make weights` "
            "or `crossmod ship`."
        ) from error
    return record


def _digests(record: Plain) -> dict[str, str]:
    return {name: digest for files in record["weights"].values() for name, digest in files.items()}


def _settings_of(path: Path, seed: int) -> Plain:
    """What a prediction was made with, from its job; checked."""
    try:
        job = read_json(path)["settings"]
        settings = {
            "name": f"{job['arm']}, seed {seed}",
            "stages": {stage: job["stages"][stage] for stage in job["cascade"]},
            "models": {stage: job["models"][stage] for stage in job["cascade"]},
            "normalisation": job["normalisation"],
            "precision": job["precision"],
        }
        _Settings.model_validate(settings)
    except (ValidationError, UserError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: no job that networks can be read by ({_reason(error)}). Predict with this arm again, as its "
            "study did."
        ) from error
    return settings


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        fault = error.errors()[0]
        return f"{'.'.join(map(str, fault['loc']))}: {fault['msg'].removeprefix('Value error, ')}"
    return str(error).rstrip(".") if isinstance(error, UserError) else f"it lacks {error}"
