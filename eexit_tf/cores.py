"""How many cores there are to share work among."""

import os


def usable_cores() -> int:
    """That this process may use: fewer than the machine has under `taskset`."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
