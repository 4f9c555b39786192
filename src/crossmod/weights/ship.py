"""Copies the trained networks of the study `measure` into the package, with a record of how they were made."""

import hashlib
from pathlib import Path

from safetensors.torch import load_file, save

from crossmod.design.arms import Arm, deployed
from crossmod.design.compose import compose
from crossmod.design.trainings import Training
from crossmod.job import Plain, UserError, read_json, whole, write_json
from crossmod.source import source_digest
from crossmod.weights import FOLDER, MOST_BYTES, RECORD
from crossmod.weights.model import shipped_files


def ship(overrides: list[str], results: Path = Path("results"), folder: Path = FOLDER) -> Plain:
    """Write ``<stage>-<seed>.safetensors`` of every stage and seed, and ``weights.json``.

    Args:
        overrides: Hydra overrides the networks were trained with, beside ``study=measure``; its ``seeds`` are those
            shipped.
        results: the folder that holds ``measure/``.
        folder: where to write; made if absent. Networks that an earlier record in it tells of are removed.

    Returns:
        The record.

    Raises:
        UserError: if a network was not trained, was trained with other settings, all are too large for a package, or
            the folder holds networks that `crossmod ship` did not write.
    """
    study = compose(["study=measure", *overrides])
    arm, place = deployed(study)[0], results / study["study"] / study["scale"] / "train"
    trainings = {stage: folds[0] for stage, folds in arm.trainings.items()}  # this study has no folds
    trained = {
        (stage, seed): place / training.name / f"seed{seed}"
        for stage, training in trainings.items()
        for seed in study["seeds"]
    }
    _require(trained, trainings, study)
    files = _files(trained)
    record = _record(study, arm, files)
    earlier = _shipped_earlier(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for old in earlier:
        old.unlink()
    # The record comes before its networks: killed at any moment, what is left is refused by `crossmod measure` and
    # known by its record to the next `crossmod ship`.
    write_json(folder / RECORD.name, record)
    for (_, name), content in files.items():
        with whole(folder / name) as partial:
            partial.write_bytes(content)
    return record


def _files(trained: dict[tuple[str, int], Path]) -> dict[tuple[str, str], bytes]:
    """(Stage, name) → the bytes to write, in half precision: computed in bf16 a network needs no more."""
    files = {
        (stage, f"{stage}-{seed}.safetensors"): save(
            {n: t.half() for n, t in load_file(path / "model.safetensors").items()}
        )
        for (stage, seed), path in trained.items()
    }
    size = sum(map(len, files.values()))
    if size > MOST_BYTES:
        raise UserError(
            f"The networks take {size / 1e6:.1f} MB: more than {MOST_BYTES / 1e6:.0f} MB cannot be shipped; use a "
            "smaller model or fewer seeds."
        )
    return files


def _record(study: Plain, arm: Arm, files: dict[tuple[str, str], bytes]) -> Plain:
    """How the networks were made, and the digest of each."""
    seeds = study["seeds"]
    weights: Plain = {stage: {} for stage in arm.stages}
    for (stage, name), content in files.items():
        weights[stage][name] = hashlib.sha256(content).hexdigest()
    return {
        "name": f"shipped, {arm.name}, seeds {', '.join(map(str, seeds))}",
        "stages": {stage: study["stages"][stage] for stage in arm.stages},
        "models": arm.models,
        "normalisation": study["normalisation"],
        "precision": study["training"]["precision"],
        "training": study["training"],
        "cohorts": {cohort: study["cohorts"][cohort] for cohort in _cohorts(study, arm)},
        "seeds": seeds,
        "weights": weights,
        "code": source_digest("crossmod.phantom", "crossmod.train"),
    }


def _cohorts(study: Plain, arm: Arm) -> list[str]:
    """Those whose patients trained an arm."""
    pools = arm.set.shares if arm.set else {}
    return list(dict.fromkeys(study["pools"][pool]["cohort"] for pool in pools))


def _shipped_earlier(folder: Path) -> list[Path]:
    """The networks in a folder that an earlier `crossmod ship` wrote.

    Nothing else may lie where networks are written.
    """
    try:
        shipped = set(shipped_files(folder))
    except UserError as error:
        raise UserError(f"{error} It is not replaced: move it away, or give another folder with --out.") from error
    others = sorted(path.name for path in folder.glob("*.safetensors") if path.name not in shipped)
    if others:
        raise UserError(
            f"{folder}: {', '.join(others)}: not, or no longer, as {RECORD.name} tells of, so it is not removed. Move "
            "it away, or give another folder with --out."
        )
    return [folder / name for name in sorted(shipped)]


def _require(trained: dict[tuple[str, int], Path], trainings: dict[str, Training], study: Plain) -> None:
    """Every network is there, and is what today's config asks for."""
    faults = []
    for (stage, _), folder in trained.items():
        job = folder / "job.json"
        if not (folder / "model.safetensors").is_file() or not job.is_file():
            faults.append(f"{folder}: not trained yet; run `make weights`")
            continue
        settings = read_json(job)["settings"]
        asked = {key: study["stages"][stage][key] for key in settings["stages"][stage]}
        if (
            settings["stages"][stage] != asked
            or settings["model"] != trainings[stage].model
            or settings["training"] != trainings[stage].settings
        ):
            faults.append(f"{folder}: trained with other settings than the config's; run `make weights` again")
    if faults:
        raise UserError("The networks cannot be shipped:\n  " + "\n  ".join(faults))
