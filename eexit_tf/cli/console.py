"""What the terminal shows: progress on stderr, results on stdout."""

from contextlib import AbstractContextManager, nullcontext
from time import monotonic

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from eexit_tf.reporter import SILENT, Reporter

out = Console(highlight=False, soft_wrap=True, markup=False)  # paths may hold brackets
SPEED_SECONDS = 600
"""What the time that is left is estimated from: a step may take minutes."""
LOG_SECONDS = 60
"""Of silence, after which a log hears where long work stands."""


class ProgressReporter(Reporter):
    """Draws a bar on a terminal; elsewhere writes a line now and then."""

    def __init__(self) -> None:
        self._progress = Progress(
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.description}"),
            console=Console(stderr=True, highlight=False),
            transient=True,
            speed_estimate_period=SPEED_SECONDS,
        )
        self._task: TaskID | None = None
        self._said = monotonic()

    def __enter__(self) -> Reporter:
        if self._progress.console.is_terminal:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress.console.is_terminal:
            self._progress.stop()

    def step(self, done: int, total: int, what: str) -> None:
        if self._task is None:
            # Work that was done in an earlier run tells nothing about the speed of this one.
            self._task = self._progress.add_task(what, completed=done, total=total)
        self._progress.update(self._task, completed=done, total=total, description=what)
        if monotonic() - self._said > LOG_SECONDS:
            self.milestone(f"{what} ({done / total:.0%})")

    def say(self, line: str) -> None:
        self._said = monotonic()
        self._progress.console.print(line, soft_wrap=True, markup=False)

    def milestone(self, line: str) -> None:
        if not self._progress.console.is_terminal:
            self.say(line)


def progress(quiet: bool) -> AbstractContextManager[Reporter]:
    """A context manager that gives a reporter."""
    return nullcontext(SILENT) if quiet else ProgressReporter()
