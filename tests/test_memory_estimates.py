"""Flash and arena before there is a file: maps by hand, files of every kind, and whole searches."""

import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import Run
from networks import convert

from eexit_tf.backbones import Stage, Stem, blueprint
from eexit_tf.blueprints import Unit, add, classify, conv, image, pool
from eexit_tf.building import build
from eexit_tf.exits import attach_exits, exits_of, keep_exits
from eexit_tf.fronts import SearchFront
from eexit_tf.heads import GRID, POOLED, head
from eexit_tf.keras import keras
from eexit_tf.memory import ExitMemory
from eexit_tf.network_costs import described_costs, exit_costs
from eexit_tf.tflite import flatbuffer
from eexit_tf.tflite.arena import measure
from eexit_tf.tflite.quantization import quantizable
from eexit_tf.tflite.splicing.memory_plan import plan
from eexit_tf.tflite.splicing.metadata import add_metadata
from eexit_tf.tflite.splicing.splice import splice
from eexit_tf.vocabulary import Exit

CLASSES = 10
layers = keras.layers


def memory(exits: dict[Exit, Unit]) -> ExitMemory:
    found = described_costs(exits).memory
    assert found is not None
    return found


def test_maps_that_live_at_a_time_by_hand() -> None:
    x = image((8, 8, 1))
    stem = conv(x, 4, 3, name="stem")
    inner = conv(stem, 4, 3, name="inner")
    sum_ = add(inner, stem, name="sum", relu=True)
    last = conv(sum_, 8, 3, 2, name="last")
    exits = {
        Exit(tap.name): head(tap, POOLED, CLASSES, Exit(tap.name).name) for tap in (stem, sum_)
    }
    exits[Exit("last", "conv3_dense")] = head(last, "conv3_dense", CLASSES, "last__conv3_dense")
    estimate = memory(exits)
    # The image and what the stem makes of it; then three maps of 8 x 8 x 4 at the addition; what
    # only the last exit needs is its head's.
    assert estimate.trunk_peaks == (64 + 256, 3 * 256, 3 * 256)
    # The tap, from which the backbone goes on, beside what is pooled and the scores, 16 bytes each.
    assert estimate.early_peaks[:2] == (256 + 2 * 16, 256 + 2 * 16)
    assert estimate.last_peaks == (256 + 16, 256 + 16, 256 + 128)
    assert (
        estimate.arena_bytes([0]) < estimate.arena_bytes([0, 1]) <= estimate.arena_bytes([0, 1, 2])
    )


def test_what_a_late_exit_needs_is_kept_beside_all_earlier_ones() -> None:
    skipped = conv(image((8, 8, 1)), 4, 3, name="skipped")
    first = conv(skipped, 4, 3, name="first")
    second = conv(first, 4, 3, name="second")
    sum_ = add(conv(second, 4, 3, name="inner"), skipped, name="sum", relu=True)
    taps = (first, second, sum_)
    estimate = memory(
        {Exit(tap.name): head(tap, POOLED, CLASSES, Exit(tap.name).name) for tap in taps}
    )
    assert estimate.trunk_peaks == (2 * 256, 3 * 256, 3 * 256)
    assert estimate.early_peaks[:2] == (2 * 256 + 2 * 16, 2 * 256 + 2 * 16)


def test_a_last_exit_lets_go_of_its_tap() -> None:
    x = image((8, 8, 1))
    tap = conv(x, 16, 3, name="tap")
    end = classify(
        pool(conv(tap, 64, 3, name="end"), (8, 8), name="p", kind="average"), 3, name="o"
    )
    many = head(tap, "conv3_conv3_dense", CLASSES, "tap__conv3_conv3_dense")
    estimate = memory({Exit("tap", "conv3_conv3_dense"): many, Exit("o", "own"): end})
    wide, halved, quartered = 1024, 256, 64
    assert estimate.early_peaks[0] == wide + halved + quartered
    assert estimate.last_peaks[0] == wide + halved


@pytest.mark.parametrize(
    ("family", "shape"),
    [
        ("residual", (8, 8, 1)),
        ("separable", (49, 10, 1)),
        ("inverted_residual", (1, 64, 3)),
        ("plain", (16, 16, 3)),
    ],
)
def test_estimates_are_those_of_the_file(family: str, shape: tuple[int, int, int]) -> None:
    backbone = build(blueprint(family, shape, Stem(8), (Stage(8, kernel=5, stride=1), Stage(12))))
    taps = {"stem": POOLED, "block1": "conv3_dense", "block2": GRID}
    net = attach_exits(backbone, [Exit(*tap) for tap in taps.items()], classes=CLASSES)
    for chosen in ([1], [0, 1, 2]):
        check_estimates(net, chosen)


@pytest.mark.parametrize("chosen", [[1], [0, 1, 2]])
def test_estimates_are_those_of_a_file_whose_maps_were_trained(chosen: Sequence[int]) -> None:
    """Each map has a range of its own then, and there is a `QUANTIZE` behind pooling."""
    backbone = build(blueprint("plain", (8, 8, 1), Stem(8), (Stage(8), Stage(12))))
    exits = [Exit("stem", GRID), Exit("block1"), Exit("block2", GRID)]
    check_estimates(attach_exits(backbone, exits, classes=CLASSES), chosen, trained=True)


def test_estimates_have_room_for_the_operator_with_the_most_channels() -> None:
    backbone = build(blueprint("plain", (1, 8, 1), Stem(128), (Stage(8),)))
    net = attach_exits(backbone, [Exit("stem"), Exit("block1")], classes=CLASSES)
    check_estimates(net, [1])


def concatenated() -> keras.Model:
    x = inputs = layers.Input((16, 16, 3))
    x = layers.ZeroPadding2D(1)(x)
    x = layers.Conv2D(8, 3, activation="relu", name="stem")(x)
    y = layers.Conv2D(8, 1, activation="relu")(x)
    z = layers.MaxPooling2D(3, 1, "same")(x)
    x = layers.Concatenate(name="mixed")([x, y, z])
    x = layers.Conv2D(16, 3, 2, use_bias=False)(x)
    x = layers.ReLU(name="slow")(layers.BatchNormalization()(x))
    x = layers.Dense(32, activation="relu")(layers.Flatten()(layers.AveragePooling2D(3)(x)))
    return keras.Model(inputs, layers.Dense(CLASSES, activation="softmax", name="scores")(x))


def parted() -> keras.Model:
    x = inputs = layers.Input((16, 16, 3))
    x = layers.SeparableConv2D(8, 3, padding="same", activation="relu", name="stem")(x)
    x = layers.DepthwiseConv2D(3, 2, padding="same", activation="relu", name="slow")(x)
    x = layers.Dropout(0.5)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Softmax(name="scores")(layers.Dense(CLASSES)(x)))


@pytest.mark.parametrize("make", [concatenated, parted])
def test_estimates_of_networks_of_ones_own(make: Callable[[], keras.Model]) -> None:
    net = attach_exits(make(), [Exit("stem"), Exit("slow", GRID)])
    for chosen in ([2], [0, 2], [0, 1, 2]):
        check_estimates(net, chosen, flash=1.25, arena=1.2)


def check_estimates(
    net: keras.Model,
    chosen: Sequence[int],
    flash: float = 1.16,
    arena: float = 1.1,
    trained: bool = False,
) -> None:
    costs = exit_costs(net)
    rng = np.random.default_rng(0)
    # All different, as equal ones would be kept once.
    net.set_weights([w + rng.uniform(0.01, 0.1, w.shape) for w in net.get_weights()])
    cut = keep_exits(net, [costs.exits[index] for index in chosen])
    x = rng.normal(size=(16, *net.input_shape[1:]))
    names = [exit_.name for exit_ in exits_of(cut)]
    if trained:
        cut = quantizable(cut)
        cut(x, training=True)
        cut.output_names = names
    labels = [str(index) for index in range(CLASSES)]
    thresholds = [0] * (len(names) - 1) + [-128]
    content = splice(convert(cut, samples=x), names, thresholds, labels=labels)
    model = flatbuffer.read(content := add_metadata(content))
    *early, last = chosen
    estimate = costs.memory
    assert estimate is not None
    peaks = [estimate.early_peaks[index] for index in early]
    peak = max(*peaks, estimate.trunk_peaks[last], estimate.last_peaks[last])
    assert trained or peak == plan(model).lower_bound
    needed = measure(model).needed_bytes
    assert 0.98 * len(content) <= (costs.flash_bytes(chosen) or 0) <= flash * len(content)
    assert 0.98 * needed <= (costs.arena_bytes(chosen) or 0) <= arena * needed


def test_bounds_on_flash_and_arena_are_kept_from_the_search_to_the_file(
    eexit_tf: Run, some_digits: Path, tmp_path: Path
) -> None:
    bounds = ["--max-flash", "20k", "--max-arena", "9k"]
    found = eexit_tf(
        *("search", "--dataset", some_digits, "--output", "found", *bounds),
        *("--max-trials", "2", "--epochs", "1"),
        cwd=tmp_path,
    )
    assert found.returncode == 0, found.stderr
    points = SearchFront.load(tmp_path / "found").front.points
    assert points
    for point in points:
        assert point.flash_bytes is not None
        assert point.flash_bytes <= 20_000
        assert point.arena_bytes is not None
        assert point.arena_bytes <= 9_000
    made = eexit_tf(
        *("convert", "found", "--output", "m.tflite", "--quantize", "ptq", *bounds), cwd=tmp_path
    )
    assert made.returncode == 0, made.stderr
    card = json.loads((tmp_path / "m.json").read_text())
    assert card["flash_bytes"] == (tmp_path / "m.tflite").stat().st_size <= 20_000
    assert card["arena_bytes"] <= 9_000


def test_what_does_not_keep_them_is_refused(
    eexit_tf: Run, small_search: Path, tmp_path: Path
) -> None:
    """None of the points, a file made of one of them, or all of the search space."""
    point = SearchFront.load(small_search).front.points[0]
    make = ("convert", small_search, "--output", "m.tflite", "--quantize", "ptq")
    for options, said in (
        (
            ["--max-flash", "1k"],
            "keeps max_flash 1,000; .* need about [0-9,]+ bytes of flash and [0-9,]+ of arena or",
        ),
        (["--pick", point.id, "--max-arena", "2k"], "the file needs [0-9,]+ bytes of flash and"),
    ):
        refused = eexit_tf(*make, *options, cwd=tmp_path)
        assert refused.returncode == 2
        assert "Traceback" not in refused.stderr
        assert re.search(said, refused.stderr), refused.stderr
        assert not list(tmp_path.iterdir())


def test_bounds_of_the_search_bind_its_files_unless_others_are_given(
    eexit_tf: Run, small_search: Path, tmp_path: Path
) -> None:
    found = shutil.copytree(small_search, tmp_path / "found")
    front = json.loads((found / "front.json").read_text())
    front["bounds"]["max_arena"] = 2000
    (found / "front.json").write_text(json.dumps(front))
    make = ("convert", "found", "--output", "m.tflite", "--quantize", "ptq")
    refused = eexit_tf(*make, cwd=tmp_path)
    assert refused.returncode == 2
    said = "the file needs .* does not keep .*max_arena 2,000"
    assert re.search(said, refused.stderr), refused.stderr
    assert eexit_tf(*make, "--max-arena", "1M", cwd=tmp_path).returncode == 0
