"""Where exits attach: taps that a conversion keeps clean, and far enough apart to be worth it."""

from collections.abc import Sequence

APART = 1.3
"""How many times what the tap before costs, a tap costs at least."""
MOST = 8
"""Taps of one network; with three kinds of heads, 24 exits are trained at once."""


def apart(trunk_macs: Sequence[int]) -> list[int]:
    """Which taps to keep so that each costs clearly more than the one before; always the last.

    All candidate exits are trained at once, so that each one makes training slower, and one that
    costs nearly what its neighbour costs adds next to nothing to the front.

    Args:
        trunk_macs: of the backbone up to each tap, rising, the first above 0.

    Returns:
        Ascending indices, at most `MOST`.
    """
    whole = trunk_macs[-1] / trunk_macs[0]
    ratio = max(APART, whole ** (1 / (MOST - 1)))
    kept = [len(trunk_macs) - 1]
    for index in range(len(trunk_macs) - 2, -1, -1):
        if ratio * trunk_macs[index] <= trunk_macs[kept[-1]]:
            kept.append(index)
    return kept[::-1]
