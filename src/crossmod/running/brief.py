"""What a user reads when a job fails, or when the workflow is told to end: what, why, where, and no more than a screen.

Snakemake says a failure twice, with every input, and Ctrl-C as a failure of each job that ran; its log file in
``.snakemake/log`` keeps all of that.
"""

import logging
import re
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from snakemake.settings.enums import Quietness

from crossmod.job import Plain

LINES, WIDTH = 15, 200  # of a log's end, as it is shown
ENDED = re.compile(
    r"Command '(.*)' (?:returned non-zero exit status (\d+)|died with <Signals\.\w+: (\d+)>)\.", re.DOTALL
)
FAILED = "CalledProcessError in file "
STOPPED = "At least one job did not complete successfully."
CHATTER = ("Will exit after finishing", "Shutting down", "Complete log(s)", "Elapsed time")
BY_SIGNAL = 128  # and its number: the exit code of what a signal ended, as a shell reports it
INTERRUPTED = {BY_SIGNAL + signal.SIGINT, BY_SIGNAL + signal.SIGTERM}
PATIENCE_S = 2.0  # for the workflow to hear the signal that ended one of its jobs


def speak_briefly(logger: logging.Logger) -> "Brief | None":
    """Let what Snakemake writes to the terminal be brief.

    Returns:
        The words in use; None where Snakemake was asked to be quiet about jobs, or another writer was chosen.
    """
    for handler in logger.handlers:
        own = handler.formatter
        if own is None or handler.name != "DefaultStreamHandler":
            continue
        if not {Quietness.ALL, Quietness.RULES} & set(getattr(own, "quiet", ())):
            brief = Brief(own)
            handler.setFormatter(brief)
            return brief
    return None


class Brief(logging.Formatter):
    """Snakemake's own words, but for failures and interruptions.

    Args:
        own: what writes all other messages.
    """

    def __init__(self, own: logging.Formatter) -> None:
        super().__init__()
        self.own = own
        self.running: dict[int, str] = {}  # number of a job → what it does
        self.codes: dict[str, int] = {}  # command → its exit code
        self.ending = False
        self.told = threading.Event()  # that the workflow ends

    def end_calmly(self) -> None:
        """Let Ctrl-C do what SIGTERM does: start no further job, wait for those that run, and say so in two lines.

        The jobs themselves get a Ctrl-C from the terminal. Snakemake's own way raises KeyboardInterrupt wherever its
        main thread stands, and a second one leaves event loops that cannot be closed. Where Ctrl-C is ignored already,
        it stays ignored.
        """
        graceful = signal.getsignal(signal.SIGTERM)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler and callable(graceful):
            for number in (signal.SIGINT, signal.SIGTERM):
                # In a thread: Snakemake takes locks that the interrupted main thread may hold.
                signal.signal(number, lambda *_: threading.Thread(target=self._end, args=(graceful,)).start())

    def _end(self, graceful: Callable[..., None]) -> None:
        if not self.ending:
            self.ending = True
            what = "; ".join(self.running.values()) or "no job"
            print(f"── interrupted at: {what}. Waiting for what runs to end.", file=sys.stderr, flush=True)
            self.told.set()
        graceful()

    def format(self, record: logging.LogRecord) -> str:
        """The words for one record; none where another says the same."""
        said = vars(record)  # Snakemake adds to a record what it is about
        event, words = str(said.get("event") or ""), record.getMessage()
        if event == "job_info":
            self.running[said["jobid"]] = " ".join((said["rule_msg"] or said["rule_name"]).split())
        elif event == "job_finished":
            self.running.pop(said["job_id"], None)
        elif event == "job_error":
            return self._failure(said)
        elif event == "error" and FAILED in words and self._knows_code(words):
            return ""  # the record of the job that failed follows
        elif self.ending and words.startswith(CHATTER):
            return ""
        elif self.ending and event == "error" and words.strip().endswith(STOPPED):
            return "── stopped. The same command continues; a training goes on from its last checkpoint."
        return self.own.format(record)

    def _knows_code(self, words: str) -> bool:
        found = ENDED.search(words)
        if found:
            command, status, number = found.groups()
            self.codes[command] = int(status) if status else BY_SIGNAL + int(number)
        return found is not None

    def _failure(self, said: Plain) -> str:
        shell = said["shellcmd"] or ""
        code = next((code for command, code in self.codes.items() if shell and command.endswith(shell)), None)
        if code in INTERRUPTED:
            # A signal to the whole group may end a job before the workflow's own thread gets its turn.
            self.told.wait(PATIENCE_S)
        what = self.running.pop(said["jobid"], said["rule_name"])
        if self.ending and code in INTERRUPTED:
            return ""
        again = shell.partition(" 2>&1 |")[0]
        facts = [("again", again)] if again else []
        facts += [(key, str(value)) for key, value in said["aux"].items()]
        lines = [f"── failed: {what}{_reason(code)}", *(f"   {key}: {value}" for key, value in facts)]
        for log in said["log"]:
            lines += [f"   log: {log}", *(f"   │ {line}" for line in _tail(Path(log)))]
        return "\n".join(lines)


def _reason(code: int | None) -> str:
    """The exit code in words a user can use."""
    if code is None:
        return ""
    if code == BY_SIGNAL + signal.SIGKILL:
        return " (it was killed, most likely for lack of memory)"
    names = {BY_SIGNAL + number: number.name for number in signal.Signals}
    return f" (ended by {names[code]})" if code in names else f" (exit code {code})"


def _tail(log: Path) -> list[str]:
    """The end of a log; long lines show their beginning."""
    if not log.is_file():
        return []
    lines = [line.rstrip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return [line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…" for line in lines[-LINES:]]
