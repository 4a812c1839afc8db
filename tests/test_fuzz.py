"""Damaged files through everything that reads files: it works, or says what is wrong.

At least 2,000 mutations go, in processes of their own, through the functions behind `compile`,
`retune`, `evaluate` and `export`. A crash, a hang, an exception other than `UserError`, or
something half-written that stays behind fails the test and names the mutation:

    python tests/test_fuzz.py FOLDER FIRST END

runs the mutations FIRST to END - 1 of the files in FOLDER by itself.
"""

import faulthandler
import json
import os
import resource
import shutil
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

MUTATIONS = int(os.environ.get("EEXIT_TF_MUTATIONS", "2000"))
WORKERS = 2
LIMIT_SECONDS = 30
"""For one mutation."""
MEMORY_BYTES = 6 << 30


def test_damaged_files_work_or_are_refused_in_words(tmp_path: Path) -> None:
    _write_files(tmp_path)
    step = -(-MUTATIONS // WORKERS)
    starts = range(0, MUTATIONS, step)
    workers = [
        subprocess.Popen(
            [sys.executable, __file__, tmp_path, str(start), str(start + step)],
            stdout=(tmp_path / f"{start}.out").open("w"),
            stderr=(tmp_path / f"{start}.err").open("w"),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )
        for start in starts
    ]
    outcomes: Counter[str] = Counter()
    for start, worker in zip(starts, workers, strict=True):
        status = worker.wait()
        lines = (tmp_path / f"{start}.out").read_text().splitlines()
        if status:
            said = (tmp_path / f"{start}.err").read_text()[-3000:]
            pytest.fail(f"exit status {status} after {lines[-1:]}; stderr ends in\n{said}")
        outcomes.update(line.partition(" ")[2] for line in lines)
    print(dict(outcomes))
    for action in ACTIONS:
        assert outcomes[f"{action} works"] > 0
        assert outcomes[f"{action} refuses"] > 0
    assert sum(outcomes.values()) >= MUTATIONS


def _write_files(folder: Path) -> None:
    """Sound files: two static ones with two exits, and one of them made self-exiting."""
    import open_networks
    from networks import multi_exit, order_of

    from eexit_tf.tflite.splicing import splice

    multi = multi_exit(12, 2, True)
    (folder / "multi.tflite").write_bytes(multi)
    (folder / "open.tflite").write_bytes(open_networks.converted(open_networks.image, True))
    order = order_of(multi)
    (folder / "spliced.tflite").write_bytes(splice.splice(multi, order, [20, 0]))


def _work(folder: Path, first: int, end: int) -> None:
    """Run the mutations, of all files in turn; one line an action."""
    from mutations import mutated

    from eexit_tf.tflite import arena

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    names = ("spliced", "multi", "spliced", "open")
    sound = {name: (folder / f"{name}.tflite").read_bytes() for name in names}
    search = arena._needed
    for seed in range(first, end):
        name = names[seed % len(names)]
        damaged = mutated(sound[name], seed // 2)
        # The search for the smallest arena sets the network up twenty times, all alike.
        arena._needed = search if seed % 20 < 2 else lambda content, used, *_: used
        actions = [action for action, (takes, _) in ACTIONS.items() if name in takes]
        for action in {actions[0], actions[seed // 2 % len(actions)]}:
            faulthandler.dump_traceback_later(LIMIT_SECONDS, exit=True)
            print(f"{seed} {action} ", end="", flush=True)
            _try(damaged, folder / f"work-{first}", ACTIONS[action][1])
            faulthandler.cancel_dump_traceback_later()


def _try(damaged: bytes, room: Path, act: Callable[[Path, Path], None]) -> None:
    """Run one action in a folder of its own and look at what it leaves there."""
    from eexit_tf.errors import UserError

    shutil.rmtree(room, ignore_errors=True)
    room.mkdir()
    source, target = room / "in.tflite", room / "out"
    source.write_bytes(damaged)
    try:
        act(source, target)
    except UserError as error:
        said = str(error)
        assert len(said.split()) > 4, said
        assert [path.name for path in room.iterdir()] == ["in.tflite"], "something was left behind"
        print("refuses")
    else:
        print("works")
    assert source.read_bytes() == damaged


def _compile(source: Path, target: Path) -> None:
    from eexit_tf.tflite import flatbuffer
    from eexit_tf.tflite.compiler import compile_file

    compile_file(source, [0.6]).save(target / "m.tflite")
    flatbuffer.read((target / "m.tflite").read_bytes())
    json.loads((target / "m.json").read_text())


def _retune(source: Path, target: Path) -> None:
    from eexit_tf.tflite.splicing import spliced

    content = spliced.retune(source.read_bytes(), [77, 0])
    assert spliced.inspect(content).thresholds == (77, -128)


def _evaluate(runtime: str) -> Callable[[Path, Path], None]:
    def act(source: Path, target: Path) -> None:
        from eexit_tf.data import Samples
        from eexit_tf.tflite.evaluation import evaluate

        x = np.random.default_rng(0).normal(size=(3, 8, 8, 2)).astype(np.float32)
        found = evaluate(source, Samples(x, np.array([0, 1, 2])), runtime=runtime)
        assert abs(sum(exit_.share for exit_ in found.exits) - 1) < 1e-6

    return act


def _export(source: Path, target: Path) -> None:
    from eexit_tf.tflite.exporting.exporter import export

    files = export(source, target, format="cc")
    assert {path for path in target.rglob("*") if path.is_file()} == set(files)


ACTIONS: dict[str, tuple[tuple[str, ...], Callable[[Path, Path], None]]] = {
    "compile": (("multi", "open"), _compile),
    "retune": (("spliced",), _retune),
    "evaluate-litert": (("spliced",), _evaluate("litert")),
    "evaluate-tflm": (("spliced",), _evaluate("tflm")),
    "export": (("spliced",), _export),
}

if __name__ == "__main__":
    try:
        _work(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    except BaseException:
        traceback.print_exc()
        sys.exit(3)
