"""MLflow watches, and nothing depends on it: its first trouble is a warning, and from then on it is not asked again."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from crossmod.runs.store import DATABASE, reason

Answer = TypeVar("Answer")


class Watch:
    """Asks MLflow, as long as it answers.

    Args:
        folder: of the store.
        what: is watched, in words.
    """

    def __init__(self, folder: Path, what: str) -> None:
        self.folder, self.what, self.ended = folder, what, False

    def ask(self, question: Callable[[], Answer]) -> Answer | None:
        """The answer; None where there is none, now or since an earlier question."""
        if self.ended:
            return None
        try:
            return question()
        except Exception as error:  # MLflow's, SQLAlchemy's, SQLite's or the file system's
            self.ended = True
            print(
                f"warning: {self.what}: MLflow's store {self.folder / DATABASE} cannot be used ({reason(error)}). The "
                "work goes on without it; result tables do not need it.",
                file=sys.stderr,
                flush=True,
            )
            return None
