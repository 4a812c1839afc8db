"""A search's worker processes on this machine, and the loop that watches over all workers."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from eexit_tf.cores import usable_cores
from eexit_tf.reporter import Reporter
from eexit_tf.tuners.chief import Chief, served
from eexit_tf.tuners.failures import TrialError
from eexit_tf.tuners.worker import Address

MOST_DEATHS = 3
"""Workers, for each that there should be, that may be killed in a row outside of any trial."""
LOCALLY: Address = ("127.0.0.1", 0)
EVERYWHERE = ("", "0.0.0.0", "::")
POLL = 0.2
"""Seconds between two looks at the workers."""
THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


class LocalWorkers:
    """So many worker processes, each with its share of the processor's threads.

    They end with the process that started them, and at the end of the context.

    Args:
        count: how many.
        directory: the search's folder.
        address: of the chief.
        tensorboard: see `ExitTuner`.
    """

    def __init__(self, count: int, directory: Path, address: Address, *, tensorboard: bool) -> None:
        host, port = address
        self._command = [sys.executable, "-m", "eexit_tf.tuners.worker", str(directory)]
        self._command += [host, str(port)]
        self._flags = ["--tensorboard"] * tensorboard
        self._count = count
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._started = 0
        self._deaths = 0

    def __enter__(self) -> "LocalWorkers":
        for _ in range(self._count):
            self._start()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.kill()  # nothing to put in order: every file that they write is whole
        for process in self._processes.values():
            process.wait()

    def watch(self, bury: Callable[[str, str], bool]) -> None:
        """Start another for each that was killed.

        Args:
            bury: called with the name of a dead worker and how it died; says whether in a trial.

        Raises:
            TrialError: one ended by itself, without having been told to, or too many are killed.
        """
        for name, process in list(self._processes.items()):
            code = process.poll()
            if code is None:
                continue
            del self._processes[name]
            if code > 0:
                raise TrialError(f"worker {name} ended with exit code {code}")
            if code < 0:
                in_a_trial = bury(name, f"was killed by signal {-code}")
                self._deaths = 0 if in_a_trial else self._deaths + 1
                if self._deaths >= MOST_DEATHS * self._count:
                    raise TrialError(
                        f"{self._deaths} workers were killed (signal {-code}) before they began "
                        f"a trial; if memory runs out, use fewer --workers"
                    )
                self._start()

    def _start(self) -> None:
        # No name is used twice, not even by another chief's workers: `chief` as a part of a name
        # would make a worker a chief for KerasTuner.
        name = f"local{os.getpid()}-{self._started}"
        self._started += 1
        threads = str(max(1, usable_cores() // self._count))
        self._processes[name] = subprocess.Popen(
            [*self._command, name, *self._flags],
            env=dict.fromkeys(THREADS, threads) | os.environ,
            stdin=subprocess.PIPE,  # never written to: its end tells that this process has died
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for this process, which ends them
        )


def serve(
    chief: Chief,
    directory: Path,
    workers: int,
    address: Address | None,
    *,
    tensorboard: bool,
    reporter: Reporter,
) -> None:
    """Let workers run a search's trials until all have ended.

    Args:
        chief: hands the trials out.
        directory: the search's folder.
        workers: on this machine.
        address: where workers of other machines find the chief, if there can be any.
        tensorboard: see `ExitTuner`.
        reporter: told where it is served.

    Raises:
        UserError: it cannot be served there.
        TrialError: a worker stopped the search.
    """
    if chief.finished():
        return
    with served(chief, address or LOCALLY) as (host, port):
        if address:
            reporter.say(f"workers can join at {host}:{port}")
        here = ("127.0.0.1" if host in EVERYWHERE else host, port)
        with LocalWorkers(workers, directory, here, tensorboard=tensorboard) as local:
            while not chief.check():
                try:
                    local.watch(chief.bury)
                except TrialError:
                    chief.check()  # may know better why
                    raise
                time.sleep(POLL)
