"""The best thresholds where the exits are fixed, as in a compiled file: exact branch and bound.

Every sample goes past the exits in order and is asked at each but the last. That leaves
256^(exits - 1) ways to set the thresholds; no exit can be skipped, but one that is not wanted
lets the fewest leave at its highest threshold, 255. Wanted is the way with the most right answers
within a budget, and the cheapest of several such.

Thresholds are chosen exit by exit, for the samples that are still there. What keeps that small,
all of it exact:

* **Useful thresholds.** Between two thresholds, a sample leaves at the lower one and stays at the
  higher. The higher one is dearer; it can only be better if more of these samples are right at
  some later exit than here. So, going up, only the thresholds at which (right later) - (right
  here), summed over the samples below the threshold, reaches a new maximum need to be looked at.
* **Bound.** A sample that stays costs at least the next exit, and gives a right answer at the
  first later exit that is right at the earliest. Filling the budget with the cheapest of these
  bounds the right answers, and adding up the cheapest ones bounds what so many cost.
* **Ending.** All thresholds of the last two exits that ask are scored at once.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eexit_tf.outputs import ExitOutputs
from eexit_tf.vocabulary import LEVELS

Ints = NDArray[np.int64]
_SWEEPS = 4


class ThresholdSearch:
    """Depth first, from a good start on.

    Attributes:
        best: thresholds of the exits but the last.
        correct, total: right answers and MACs of the best.
        effort: what is left of it.
        missed: the most right answers that may come of what was left out for want of effort.
    """

    def __init__(
        self,
        outputs: ExitOutputs,
        leave_macs: tuple[int, ...],
        max_mean_macs: float,
        effort: float,
    ) -> None:
        self.levels = outputs.levels.astype(np.int64)
        self.right = outputs.right
        self.exits, self.samples = outputs.levels.shape
        self.leave = [int(macs) for macs in leave_macs]
        # totals are integers, compared as evaluation does: total / samples <= max_mean_macs
        self.budget = int(max_mean_macs * self.samples) + 1
        while self.budget / self.samples > max_mean_macs:
            self.budget -= 1
        self.best: tuple[int, ...] | None = None
        self.correct, self.total = -1, 0
        self.effort, self.missed = effort, 0
        # The first exit from each one on that is right on a sample; `exits` if none is.
        first = np.full(self.samples, self.exits)
        self.first_right = [first]
        for k in range(self.exits - 1, -1, -1):
            first = np.where(self.right[k], k, first)
            self.first_right.append(first)
        self.first_right.reverse()

    def run(self) -> None:
        everyone = np.arange(self.samples)
        if self.exits == 1:
            self._offer((), int(self.right[0].sum()), self.samples * self.leave[0])
            return
        for start in (0, LEVELS // 2, LEVELS - 1):
            self._sweep([start] * (self.exits - 1))
        self._branch(0, everyone, (), 0, 0)

    def _offer(self, thresholds: tuple[int, ...], correct: int, total: int) -> None:
        better = (correct, -total) > (self.correct, -self.total)
        if total <= self.budget and better:
            self.best, self.correct, self.total = thresholds, correct, total

    def _sweep(self, thresholds: list[int]) -> None:
        """Set one threshold after the other to its best, with the others as they are."""
        for _ in range(_SWEEPS):
            before = list(thresholds)
            for k in range(self.exits - 1):
                self._set_one(thresholds, k)
            if thresholds == before:
                return

    def _set_one(self, thresholds: list[int], k: int) -> None:
        leaving = np.array([*thresholds, 0])[:, None] <= self.levels
        at = leaving.argmax(axis=0)
        leaving[: k + 1] = False
        after = leaving.argmax(axis=0)  # where those go that stay here
        free = np.flatnonzero(at >= k)
        settled = np.flatnonzero(at < k)
        here, after = self.levels[k, free], after[free]
        prices = np.array(self.leave)
        correct, total = (
            _below(here, stay) + _above(here, leave)
            for stay, leave in (
                (self.right[after, free], self.right[k, free]),
                (prices[after], np.full(len(free), prices[k])),
            )
        )
        correct += int(self.right[at[settled], settled].sum())
        total += int(prices[at[settled]].sum())
        fits = total <= self.budget
        if fits.any():
            order = np.lexsort((total, -correct, ~fits))
            thresholds[k] = int(order[0])
        else:
            thresholds[k] = int(total.argmin())
        best = thresholds[k]
        self._offer(tuple(thresholds), int(correct[best]), int(total[best]))

    def _branch(
        self, k: int, there: NDArray[np.intp], chosen: tuple[int, ...], correct: int, total: int
    ) -> None:
        """Every threshold of exit k that may be of use, for the samples that are there."""
        here = self.levels[k, there]
        first = self.first_right[k + 1][there]
        right = self.right[k, there]
        stays = _below(here, np.ones(len(there), np.int64))
        corrects = correct + _above(here, right)
        totals = total + (len(there) - stays) * self.leave[k]
        if k == self.exits - 2:
            corrects = corrects + _below(here, self.right[-1, there])
            totals = totals + stays * self.leave[-1]
            fits = np.flatnonzero(totals <= self.budget)
            if len(fits):
                i = int(fits[np.lexsort((totals[fits], -corrects[fits]))[0]])
                self._offer((*chosen, i), int(corrects[i]), int(totals[i]))
            return
        hope = _below(here, (first < self.exits).astype(np.int64) - right)
        record = np.maximum.accumulate(hope)
        useful = np.flatnonzero(np.append(True, hope[1:] > record[:-1]))
        least = totals + stays * self.leave[k + 1]
        firsts = [_below(here, first == j)[useful] for j in range(k + 1, self.exits)]
        corrects, totals, least = corrects[useful], totals[useful], least[useful]
        options = [
            _Option(int(least[i]) - self.budget, int(corrects[i]), tuple(int(f[i]) for f in firsts))
            for i in range(len(useful))
        ]
        self.effort -= 10 * len(there)
        if self.effort < 0:
            most = max(self._most(k, option) for option in options)
            self.missed = max(self.missed, most)
            return
        if k == self.exits - 3:
            kept = [i for i, option in enumerate(options) if not self._hopeless(k, option)]
            if kept:
                self._end(there, chosen, useful[kept], corrects[kept], totals[kept])
            return
        for i in sorted(range(len(options)), key=lambda i: -self._most(k, options[i])):
            if self._hopeless(k, options[i]):
                continue
            level = int(useful[i])
            staying = there[here < level]
            self._branch(k + 1, staying, (*chosen, level), int(corrects[i]), int(totals[i]))

    def _end(
        self,
        there: NDArray[np.intp],
        chosen: tuple[int, ...],
        useful: NDArray[np.intp],
        corrects: Ints,
        totals: Ints,
    ) -> None:
        """All thresholds of the last two exits that ask, at once.

        Args:
            useful: thresholds of the first of the two; corrects and totals are of what has left
                with each of them.
        """
        k = self.exits - 2
        # Samples that stay at the first of the two have a class below that of its threshold.
        self.effort -= 10 * len(there) + 8 * LEVELS * len(useful)
        classes = np.searchsorted(useful, self.levels[k - 1, there], side="right")
        cells = classes * LEVELS + self.levels[k, there]

        def table(weights: NDArray) -> Ints:
            """(thresholds of the first, of the second): the sum over those that stay at both."""
            sums = np.bincount(cells, weights, (len(useful) + 1) * LEVELS).reshape(-1, LEVELS)
            below = np.cumsum(sums, axis=0)[:-1]
            stay = np.cumsum(below, axis=1)
            return np.pad(stay, [(0, 0), (1, 0)]).astype(np.int64)

        right, last = self.right[k, there].astype(np.int64), self.right[-1, there]
        correct = corrects[:, None] + table(right)[:, -1:] + table(last - right)[:, :-1]
        stay = table(np.ones(len(there)))
        total = totals[:, None] + stay[:, -1:] * self.leave[k]
        total = total + stay[:, :-1] * (self.leave[-1] - self.leave[k])
        fits = np.flatnonzero(total.ravel() <= self.budget)
        if len(fits):
            correct, total = correct.ravel()[fits], total.ravel()[fits]
            best = np.flatnonzero(correct == correct.max())
            i = best[total[best].argmin()]
            a, b = divmod(int(fits[i]), LEVELS)
            self._offer((*chosen, int(useful[a]), b), int(correct[i]), int(total[i]))

    def _most(self, k: int, option: "_Option") -> int:
        """The most right answers that may come of an option within the budget; -1 if none can."""
        money, correct = -option.over, option.correct
        if money < 0:
            return -1
        for j, count in enumerate(option.firsts, start=k + 1):
            rise = self.leave[j] - self.leave[k + 1]
            taken = min(count, money // rise) if rise else count
            money -= taken * rise
            correct += taken
        return correct

    def _hopeless(self, k: int, option: "_Option") -> bool:
        """Whether nothing that comes of an option can be better than the best."""
        most = self._most(k, option)
        if most != self.correct:
            return most < self.correct
        missing, total = most - option.correct, option.over + self.budget
        for j, count in enumerate(option.firsts, start=k + 1):
            taken = min(missing, count)
            total += taken * (self.leave[j] - self.leave[k + 1])
            missing -= taken
        return total >= self.total


@dataclass(frozen=True)
class _Option:
    """A threshold that could be chosen, with those before it.

    Attributes:
        over: by how much the MACs exceed the budget if all that stay leave at the next exit.
        correct: right answers of those that have left.
        firsts: of those that stay, how many are first answered right at each later exit.
    """

    over: int
    correct: int
    firsts: tuple[int, ...]


def _below(levels: Ints, weights: NDArray) -> Ints:
    """For each threshold 0 to 255, the sum of the weights of levels below it."""
    sums = np.bincount(levels, weights, LEVELS)
    return np.concatenate(([0], np.cumsum(sums)[:-1])).astype(np.int64)


def _above(levels: Ints, weights: NDArray) -> Ints:
    """For each threshold 0 to 255, the sum of the weights of levels from it on."""
    return int(np.sum(weights, dtype=np.int64)) - _below(levels, weights)
