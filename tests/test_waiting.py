"""What waits comes back once, largest leads first, or is given up where memory ends."""

from dataclasses import dataclass

import numpy as np

from eexit_tf.policy_search.tables import Ints
from eexit_tf.policy_search.waiting import Rows, Waiting


@dataclass
class Numbers(Rows):
    """Rows of 8 bytes."""

    number: Ints


def rows(*numbers: int) -> Numbers:
    return Numbers(np.array(numbers, np.int64))


def push(waiting: Waiting[Numbers], place: int, leads: dict[int, int]) -> int:
    """Numbers and their leads."""
    return waiting.push(place, rows(*leads), np.array(list(leads.values())))


def popped(waiting: Waiting[Numbers], place: int) -> list[int]:
    return sorted(waiting.pop(place).number.tolist())


def test_the_largest_leads_come_first_and_all_of_them_once() -> None:
    waiting: Waiting[Numbers] = Waiting(2, 2, 1000)
    assert waiting.largest() == (0, 1)
    push(waiting, 0, {10: 1, 11: 2, 12: 1})
    push(waiting, 0, {13: 1, 14: 3})
    push(waiting, 0, {15: 1})
    push(waiting, 1, {20: 3})
    assert waiting.largest() == (3, 1)
    assert popped(waiting, 1) == [20]
    assert waiting.largest() == (3, 0)
    assert popped(waiting, 0) == [11, 14]
    assert waiting.largest() == (1, 0)
    assert sorted(popped(waiting, 0) + popped(waiting, 0)) == [10, 12, 13, 15]
    assert waiting.largest() == (0, 1)
    assert waiting.free_bytes == 1000


def test_where_memory_ends_the_smallest_leads_are_given_up() -> None:
    waiting: Waiting[Numbers] = Waiting(2, 100, 4 * 8)
    assert push(waiting, 0, {10: 5, 11: 2, 12: 7}) == 0
    assert push(waiting, 1, {20: 3, 21: 9, 22: 4}) == 3  # 11 and 20
    assert push(waiting, 1, {23: 1}) == 1
    assert popped(waiting, 0) == [10, 12]
    assert push(waiting, 0, {13: 1, 14: 1}) == 0
    assert popped(waiting, 1) == [21, 22]
    assert popped(waiting, 0) == [13, 14]
    assert waiting.free_bytes == 4 * 8
