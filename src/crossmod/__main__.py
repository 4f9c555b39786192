"""``python -m crossmod ADDRESS``: the warm process of a workflow, which becomes each of its jobs in turn."""

import gc
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from crossmod.cli import main
from crossmod.running.warm import serve

# What trainings, predictions and scores need; other steps load the rest. The store comes before MLflow: it turns its
# telemetry off.
LOADED = (
    "crossmod.train.loop",
    "crossmod.predict.site",
    "crossmod.evaluate.scores",
    "crossmod.runs.store",
    "mlflow.tracking",
)


def load() -> None:
    """Import what jobs need; what is loaded stays in memory once, for all of them."""
    for name in LOADED:
        importlib.import_module(name)
    gc.freeze()


def work(arguments: Sequence[str]) -> int:
    """Run a command in this process.

    Returns:
        Its exit code.
    """
    sys.argv = ["crossmod", *arguments]
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


if __name__ == "__main__":
    serve(Path(sys.argv[1]), load, work)
