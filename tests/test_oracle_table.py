"""The recipe of the table that `benchmarks/oracle.py` replays."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def test_the_recipe_makes_what_the_table_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import oracle_table

    from eexit_tf.network_costs import exit_costs

    rows, points = oracle_table.load(), oracle_table.every_point()
    for index in (6, 71, 188):  # both families; the costliest have lost exits
        costs = exit_costs(oracle_table.network(points[index]))
        assert replace(costs, memory=None) == rows[index].costs

    trained = oracle_table._train_one(points[0])
    outputs = rows[0].outputs
    assert trained["exits"].tolist() == [exit_.name for exit_ in rows[0].costs.exits]
    assert len(trained["seconds"]) == len(oracle_table.RUNGS) == len(rows[0].fronts)
    assert trained["levels"][-1].shape == outputs.levels.shape
    right, expected = trained["right"][-1].mean(axis=1), outputs.right.mean(axis=1)
    np.testing.assert_allclose(right, expected, atol=0.1)
