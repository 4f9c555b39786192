"""A cohort of simulated patients, written as NIfTI with a table of cases."""

import gzip
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crossmod.job import UserError, write_json
from crossmod.parallel import each
from crossmod.phantom import (
    PROTOCOLS,
    Population,
    Recipe,
    draw_recipe,
    labelled,
    parse_population,
    parse_recipe,
    simulate,
)

# Far from the streams of a body, which are counted from 0.
_PROTOCOL_STREAM = 7919


class CohortSettings(BaseModel):
    """What to simulate."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cases: int = Field(ge=1, le=100_000, description="number of patients")
    seed: int = Field(ge=0, lt=2**32, description="the cohort's seed; case k of two cohorts of one seed is one body")
    site: str = Field(pattern=r"^[A-Za-z0-9_.-]+$", description="name of the hospital or scanner")
    recipe: dict[str, Any] = Field(
        default_factory=dict, description="how patients are scanned; see crossmod.phantom.Recipe"
    )
    population: dict[str, Any] = Field(
        default_factory=dict, description="who the patients are; see crossmod.phantom.Population"
    )
    protocols: dict[str, float] = Field(
        default_factory=dict,
        description="share of patients scanned by each protocol of crossmod.phantom.protocols; what `recipe` says "
        "comes on top",
    )

    randomised: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="with protocols: share of patients with domain randomisation (recipe.randomisation from 0.3 to 1)",
    )


@dataclass(frozen=True)
class _Task:
    case: str
    seed: int
    recipe: Recipe
    population: Population
    site: str
    folder: Path


def write_cohort(name: str, folder: Path, settings: dict[str, Any], threads: int) -> None:
    """Simulate a cohort into a folder: images/, labels/, cases.csv and cohort.json.

    Args:
        name: the cohort's name; cases are called `<name>-0001` and so on.
        folder: where to write; made if absent.
        settings: keys cases, seed, site, recipe (see `CohortSettings`).
        threads: worker processes. The files do not depend on it.

    Raises:
        UserError: if a setting or the recipe is wrong, naming the key and its range.
    """
    if threads < 1:
        raise UserError(f"cohort {name}: threads = {threads}: at least one worker is needed")
    plan, seeds, recipes, population = planned(name, settings)
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    tasks = [
        _Task(f"{name}-{index + 1:04d}", seed, recipe, population, plan.site, folder)
        for index, (seed, recipe) in enumerate(zip(seeds, recipes, strict=True))
    ]
    table = pd.DataFrame(list(each(f"cohort {name}", _write_case, tasks, threads)))
    table.to_csv(folder / "cases.csv", index=False, lineterminator="\n")
    write_json(
        folder / "cohort.json",
        {
            "name": name,
            "source": "simulated",
            "simulated": True,
            "root": ".",
            "labels": {str(value): label for value, label in labelled(population).items()},
        },
    )


def planned(name: str, settings: dict[str, Any]) -> tuple[CohortSettings, list[int], list[Recipe], Population]:
    """Who is to be simulated and how: settings, the seed and the recipe of each patient, and whom they are drawn from.

    Raises:
        UserError: if a setting, the recipe or the population is wrong, naming the key and its range.
    """
    plan = _checked(name, settings)
    seeds = [case_seed(plan.seed, index) for index in range(plan.cases)]
    return plan, seeds, _recipes(plan, seeds), parse_population(plan.population)


def case_seed(seed: int, index: int) -> int:
    """Seed of the case at a place in a cohort: a longer cohort begins with the same cases."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0] >> 1)


def _recipes(plan: CohortSettings, seeds: list[int]) -> list[Recipe]:
    """The recipe of every patient: one for all, or drawn from protocols by the patient's seed."""
    if not plan.protocols:
        if plan.randomised:
            raise UserError(f"randomised = {plan.randomised}: needs protocols; of one recipe set recipe.randomisation")
        return [parse_recipe(plan.recipe)] * len(seeds)
    names, shares = zip(*sorted(plan.protocols.items()), strict=True)
    share = np.array(shares, dtype=float)
    unknown = [name for name in names if name not in PROTOCOLS]
    if unknown:
        raise UserError(f"protocol '{unknown[0]}': unknown; there are {', '.join(PROTOCOLS)}")
    if not (np.isfinite(share) & (share >= 0)).all() or not share.sum() > 0:
        raise UserError(f"protocols = {plan.protocols}: shares must be 0 or more, and one at least above 0")
    recipes = []
    for seed in seeds:
        rng = np.random.default_rng([seed, _PROTOCOL_STREAM])
        strength = round(float(rng.uniform(0.3, 1.0)), 4) if rng.random() < plan.randomised else 0.0
        fixed = {"randomisation": strength, **plan.recipe}
        recipes.append(draw_recipe(str(rng.choice(names, p=share / share.sum())), rng, fixed))
    return recipes


def _checked(name: str, settings: dict[str, Any]) -> CohortSettings:
    try:
        return CohortSettings.model_validate(settings)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, fault['loc']))} = {fault['input']!r}: {fault['msg']}" for fault in error.errors()]
        raise UserError(f"cohort {name} cannot be simulated:\n  " + "\n  ".join(lines)) from error


def _write_case(task: _Task) -> dict[str, Any]:
    """Simulate one case, write its two files, and return its row of cases.csv."""
    patient = simulate(task.seed, task.recipe, task.population)
    image, label = f"images/{task.case}.nii.gz", f"labels/{task.case}.nii.gz"
    write_nifti(task.folder / image, patient.image, patient.affine)
    write_nifti(task.folder / label, patient.labels, patient.affine)
    facts = patient.facts
    first = ("tumour_side", "sex", "age")
    return {
        "case": task.case,
        # By the body, not the case: two cohorts of one seed are the same people, and the audit must see it.
        "patient": f"sim-{task.seed}",
        "modality": task.recipe.modality,
        "sequence": task.recipe.name,
        "site": task.site,
        "image": image,
        "label": label,
        **{key: facts[key] for key in first},
        **{key: value for key, value in facts.items() if key not in first},
    }


def write_nifti(path: Path, volume: np.ndarray, affine: np.ndarray) -> None:
    """Write a volume as gzipped NIfTI whose bytes depend on nothing but its content (no name, no time)."""
    picture = nib.Nifti1Image(volume, affine)
    picture.set_sform(affine, code=1)
    picture.set_qform(affine, code=1)
    picture.header.set_xyzt_units("mm")
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=packed, mtime=0) as stream:
        stream.write(picture.to_bytes())
    path.write_bytes(packed.getvalue())
