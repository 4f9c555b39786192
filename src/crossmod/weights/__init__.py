"""The networks that come with crossmod, trained on simulated patients alone; `crossmod measure` uses them."""

from pathlib import Path

FOLDER = Path(__file__).parent
# What the networks are, how they were trained, and on which code.
RECORD = FOLDER / "weights.json"
CARD = FOLDER / "MODEL_CARD.md"
# ASSUME: small enough to travel in a package and in a repository.
MOST_BYTES = 10_000_000
