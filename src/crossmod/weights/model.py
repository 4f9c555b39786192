"""The networks of a volume tool as they lie on disk: those that come with crossmod, or a trained arm of a study."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossmod.job import UserError
from crossmod.weights import FOLDER, RECORD, file_digest

Plain = dict[str, Any]


@dataclass(frozen=True)
class Model:
    """A trained arm as it lies on disk.

    Attributes:
        name: arm and seeds.
        weights: stage → safetensors files, one per training, in the order of the cascade.
        stages: stage → config it was trained with.
        network: config of the network.
        normalisation: config of the intensity normalisation.
        precision: of the arithmetic.
    """

    name: str
    weights: dict[str, tuple[Path, ...]]
    stages: Plain
    network: Plain
    normalisation: Plain
    precision: str

    @classmethod
    def shipped(cls, folder: Path = FOLDER) -> "Model":
        """The networks that come with crossmod, trained on simulated patients alone, or others that `crossmod ship` wrote.

        Raises:
            UserError: if the folder holds none, or a file is not the one its record tells of.
        """
        if not (folder / RECORD.name).is_file():
            raise UserError(f"{folder}: no {RECORD.name}: it is written by `crossmod ship --out {folder}`.")
        try:
            record = json.loads((folder / RECORD.name).read_text(encoding="utf-8"))
            digests = {name: digest for files in record["weights"].values() for name, digest in files.items()}
        except (json.JSONDecodeError, KeyError, AttributeError) as error:
            raise UserError(
                f"{folder / RECORD.name}: not a record of this version's networks. Write them again with `make weights` or `crossmod ship`."
            ) from error
        wrong = [
            name
            for name, digest in digests.items()
            if not (folder / name).is_file() or file_digest(folder / name) != digest
        ]
        if wrong:
            raise UserError(
                f"{folder}: {', '.join(wrong)}: missing, or not what {RECORD.name} tells of. Install crossmod anew, or write them "
                "again with `make weights` or `crossmod ship`."
            )
        return cls(
            name=record["name"],
            weights={stage: tuple(folder / name for name in files) for stage, files in record["weights"].items()},
            stages=record["stages"],
            network=record["network"],
            normalisation=record["normalisation"],
            precision=record["precision"],
        )

    @classmethod
    def load(cls, folder: Path, seed: int) -> "Model":
        """Read what the study saved; today's config plays no part.

        Raises:
            UserError: if the folder holds no trained arm.
        """
        # What the study itself segmented its sites with lies beside its predictions.
        jobs = sorted((folder.parents[1] / "predict" / folder.name / f"seed{seed}").glob("*.job.json"))
        if not jobs:
            raise UserError(
                f"{folder}: no arm of a finished study with seed {seed}. Give the folder of a trained arm inside the results "
                "of its study, e.g. --model results/renal/laptop/train/ct116+mrA120."
            )
        settings = json.loads(jobs[0].read_text(encoding="utf-8"))["settings"]
        return cls(
            name=f"{settings['arm']['name']}, seed {seed}",
            weights={stage: (folder / stage / f"seed{seed}" / "model.safetensors",) for stage in settings["cascade"]},
            stages={stage: settings["stages"][stage] for stage in settings["cascade"]},
            network=settings["model"],
            normalisation=settings["normalisation"],
            precision=settings["precision"],
        )
