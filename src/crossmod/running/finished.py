"""The finished report of a study: which config it was made with, and what a run with another one would replace."""

import json
import shutil
from pathlib import Path
from typing import Any

from crossmod.job import Plain, digest, whole
from crossmod.schema import leaves

# What a study that adds sites to another one may have otherwise: masks and scores do not depend on it, and seeds are
# trained beside each other.
APART = ("study", "adds_to", "scale", "title", "titles", "source", "seeds", "analyse", "report", "throughput")
MOST = 12  # differences that are named one by one


def config_of(results: Path) -> Plain | None:
    """The config that a finished report was made with; None where there is no report.

    Args:
        results: folder of a study at its scale.
    """
    page, record = results / "report/index.html", results / "report/index.job.json"
    if not (page.is_file() and record.is_file()):
        return None
    try:
        return json.loads(record.read_text(encoding="utf-8"))["settings"]["study"]
    except (ValueError, KeyError, TypeError):
        return {}  # made with nobody knows what, and so with another config


def replaced(results: Path, study: Plain) -> list[str]:
    """What differs between a study and the finished report in its folder; nothing where there is no report."""
    before = config_of(results)
    return [] if before is None else differences(before, study)


def undermined(results: Path, study: Plain) -> list[str]:
    """What differs in all that masks and scores depend on, titles and the analysis apart."""
    before = config_of(results)
    return [] if before is None else differences(shared(before), shared(study))


def differences(old: Plain, new: Plain) -> list[str]:
    """``key: old → new`` for every value that differs; a key that is absent counts as null."""
    before, after = leaves(old), leaves(new)
    keys = [key for key in dict.fromkeys([*after, *before]) if before.get(key) != after.get(key)]
    return [f"{key}: {_shown(before.get(key))} → {_shown(after.get(key))}" for key in keys]


def shared(study: Plain) -> Plain:
    """The part of a config that masks and scores depend on: no titles, nothing of the analysis."""
    return _untitled({key: value for key, value in study.items() if key not in APART})


def _untitled(value: Any) -> Any:
    """A value without the titles of its sections, at any depth."""
    if isinstance(value, dict):
        return {key: _untitled(item) for key, item in value.items() if key != "title" or isinstance(item, dict)}
    return value


def listed(changes: list[str]) -> str:
    """Differences as indented lines, the first ones by name."""
    more = [f"… and {len(changes) - MOST} more"] if len(changes) > MOST else []
    return "\n".join(f"  {line}" for line in [*changes[:MOST], *more])


def keep(results: Path, config: Plain) -> Path:
    """Copy a finished report and its tables to where no run writes.

    Returns:
        ``<results>/replaced/<hash of the config>``.
    """
    target = results / "replaced" / digest(config)
    if not target.exists():
        with whole(target) as partial:
            for part in ("report", "analyse"):
                shutil.copytree(results / part, partial / part)
    return target


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
