"""The networks that come with crossmod: trained on simulated patients alone, used by `crossmod measure` out of the box."""

import hashlib
from pathlib import Path

FOLDER = Path(__file__).parent
# What the networks are, how they were trained, and on which code.
RECORD = FOLDER / "weights.json"
CARD = FOLDER / "MODEL_CARD.md"
# ASSUME: small enough to travel in a package and in a repository.
MOST_BYTES = 10_000_000


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
