"""Compose → validate → plain values: the one place where a study's configuration is read.

Hydra composes ``conf/``; the schema is closed, so an unknown or mistyped key stops everything, with its full path and
the nearest valid key, before any job starts.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from crossmod.design.feasible import faults
from crossmod.design.overrides import applied, has_own_keys, is_choice, put, refuse_resolvers
from crossmod.design.study import Study
from crossmod.job import Plain, UserError
from crossmod.schema import faults_of, infinite, is_endless, leaves, nearest

# How a value that only the user knows is written.
EXAMPLES = {
    "table": "'/data/my_mr/cases.csv'",
    "labels": "{2: right_kidney, 3: left_kidney}",
    "title": "'MR of our hospital'",
}


def conf_dir() -> Path:
    """The folder of the configuration: ``conf/`` of the project this package was installed from.

    Raises:
        UserError: if the package was installed without its project folder.
    """
    for folder in (Path.cwd(), *Path(__file__).resolve().parents):
        if (folder / "conf" / "config.yaml").is_file():
            return folder / "conf"
    raise UserError("No conf/config.yaml found: run crossmod studies from the project's folder.")


def default_study() -> str:
    """The study that ``conf/config.yaml`` names, which is meant where a user names none.

    Raises:
        UserError: if the package was installed without its project folder.
    """
    defaults = yaml.safe_load((conf_dir() / "config.yaml").read_text(encoding="utf-8"))["defaults"]
    return next(str(entry["study"]) for entry in defaults if isinstance(entry, dict) and "study" in entry)


def compose(overrides: Sequence[str] = ()) -> Plain:
    """Compose and validate a study.

    Args:
        overrides: e.g. ``["study=NAME", "scale=smoke", "training.batch=4"]``, see :mod:`crossmod.design.overrides`.

    Returns:
        The whole config as plain, JSON-ready values.

    Raises:
        UserError: naming every unknown key with its nearest valid one, and every value out of range.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    refuse_resolvers(dict(override.partition("=")[::2] for override in overrides))
    values = applied(
        _files([text for text in overrides if is_choice(text)]), [o for o in overrides if not is_choice(o)]
    )
    refuse_resolvers(values)
    missing = [path for path, value in leaves(values).items() if value == "???"]
    if missing:
        raise UserError(_incomplete(missing))
    try:
        resolved = OmegaConf.to_container(OmegaConf.create(values), resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(_explain(error)) from error
    _refuse_other_names(overrides, resolved)
    return validate(resolved)


def shared_part(study: Plain, overrides: Sequence[str]) -> Plain:
    """What a study shares with the one that it adds sites to; all of it where it adds to none.

    Args:
        study: as :func:`compose` returned it.
        overrides: it was composed with.

    Returns:
        The study under the other one's name, with the other one's cohorts and sites alone.

    Raises:
        UserError: if there is no such study, or a pool is of a cohort that it does not have.
    """
    if study["adds_to"] is None:
        return study
    others = [text for text in overrides if is_choice(text) and not text.startswith("study=")]
    base = _files([f"study={study['adds_to']}", *others])
    if base.get("adds_to"):
        raise UserError(f"adds_to: {study['adds_to']} adds to a study itself; name that one, {base['adds_to']}")
    for key, pool in study["pools"].items():
        if pool["cohort"] not in base["cohorts"]:
            raise UserError(
                f"pools.{key}.cohort: '{pool['cohort']}' is no cohort of {base['study']}, which trains the arms"
            )
    kept = {key: {name: study[key][name] for name in study[key] if name in base[key]} for key in ("cohorts", "sites")}
    return {**study, **kept, "study": base["study"], "adds_to": None}


def validate(values: Plain) -> Plain:
    """Validate composed values against the schema.

    Raises:
        UserError: listing every fault with its full key.
    """
    try:
        checked = Study.model_validate(values)
        lines = [f"{path}: must be a finite number (given: {value})" for path, value in infinite(values)]
        study = checked.model_dump(mode="json", exclude_none=False)
        lines = lines or faults(study)
    except ValidationError as error:
        lines = faults_of(Study, error, "study")
    if lines:
        raise UserError("The config is not valid:\n" + "\n".join(f"  {line}" for line in lines))
    return study


def _files(choices: Sequence[str]) -> Plain:
    """What the chosen files of ``conf/`` say, references unresolved.

    Hydra merges what two files say of one key. Three things differ, as on the command line: a mapping whose keys are
    the user's own (label values) is the last file's alone, so are the arguments of a ``_target_``, and what the last
    file leaves open (``???``) is open.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    _refuse_endless()
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            values = OmegaConf.to_container(hydra_compose("config", list(choices)))
            entries = [entry for file in _chain(choices) for entry in _entries(*file)]
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_explain(error)) from error
    targets: set[tuple[str, ...]] = set()
    for path, value in entries:
        if _is_target(value):
            targets.add(path)
        argument = any(path[: len(target)] == target for target in targets)
        if has_own_keys(path) or argument:
            put(values, path, value)
    for path, value in dict(entries).items():
        if value == "???":
            put(values, path, value)
    return values


def _chain(choices: Sequence[str]) -> Iterator[tuple[Plain, tuple[str, ...]]]:
    """What each file says and where that belongs, in the order in which Hydra merges them."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    loader = GlobalHydra.instance().config_loader()
    for file in loader.compute_defaults_list("config", list(choices), RunMode.RUN).defaults:
        if file.config_path and file.config_path.split("/")[0] != "hydra":
            values = OmegaConf.to_container(OmegaConf.load(conf_dir() / f"{file.config_path}.yaml"))
            yield values, tuple(filter(None, (file.package or "").split(".")))


def _entries(values: Plain, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value with its path; a mapping whose keys are the user's own is one value."""
    for key, value in values.items():
        path = (*above, str(key))
        if isinstance(value, dict) and not has_own_keys(path) and not _is_target(value):
            yield from _entries(value, path)
        else:
            yield path, value


def _is_target(value: Any) -> bool:
    """Whether a value names something to be built, with its arguments."""
    return isinstance(value, dict) and "_target_" in value


def _refuse_endless() -> None:
    """Refuse files whose aliases would fill the memory."""
    for path in sorted(conf_dir().rglob("*.yaml")):
        try:
            text = path.read_text(encoding="utf-8")
            endless = "*" in text and "&" in text and is_endless(yaml.compose(text, yaml.SafeLoader))
        except (OSError, ValueError, RecursionError, yaml.YAMLError):
            continue  # which is told if the file is chosen
        if endless:
            raise UserError(f"{path}: its aliases (*) make it too long; write the values themselves.")


def _incomplete(missing: Sequence[str]) -> str:
    """What only the user knows, and a command line that says it."""
    given = {path: EXAMPLES.get(path.rpartition(".")[2], "...") for path in missing}
    lines = [f"  {path}: must be given, e.g. {path}={example}" for path, example in given.items()]
    together = " ".join(f"{path}={example}" for path, example in given.items())
    return "\n".join(
        ["The config is not complete:", *lines, f'All in one, for snakemake --config: override="{together}"']
    )


def _refuse_other_names(overrides: Sequence[str], values: Plain) -> None:
    """A study has its file's name: one that inherits another's name would write over its results."""
    chosen = {"study": default_study()} | dict(o.split("=", 1) for o in overrides if o.startswith(("study=", "scale=")))
    for key, name in chosen.items():
        name = name.strip("'\" ")
        if values.get(key) != name:
            raise UserError(
                f"conf/{key}/{name}.yaml says {key}: {values.get(key)}. Write {key}: {name} in it, so that its results "
                "get a folder of their own; a study that uses the networks of another one names it by adds_to."
            )


def _explain(error: Exception) -> str:
    text = re.sub(r"\s+", " ", str(error)).strip()
    choices = re.search(r"Could not find '(\w+)/([^']*)'", text)
    if choices:
        group, choice = choices.groups()
        options = [path.stem for path in (conf_dir() / group).glob("*.yaml")]
        return f"{group}={choice}: no such {group}{nearest(choice, options)}"
    return f"The config cannot be composed: {text}"
