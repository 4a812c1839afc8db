"""Search spaces that the user's code makes, and searches of them."""

import json
from pathlib import Path

import keras_tuner
import numpy as np
import pytest
from conftest import CODE, Run
from test_own_backbone import CLASSES, small

from eexit_tf.bounds import Bounds
from eexit_tf.costs import ExitCosts
from eexit_tf.errors import UserError
from eexit_tf.keras import keras
from eexit_tf.own_models import load_own_model
from eexit_tf.pareto import hypervolume
from eexit_tf.tflite.quantization import quantizable
from eexit_tf.training import LEARNING_RATE
from eexit_tf.tuners.backbone_space import BackboneSpace
from eexit_tf.tuners.own_space import HyperModelSpace
from eexit_tf.tuners.surrogate import Encoder
from eexit_tf.vocabulary import Exit

pytestmark = pytest.mark.usefixtures("mine")


def test_a_trial_is_described_by_its_own_choices_and_its_strongest_head() -> None:
    model = load_own_model("mine:backbone")
    space = BackboneSpace((8, 8, 1), CLASSES, Bounds(), model=model, train="all")
    hp = keras_tuner.HyperParameters()
    space.declare_hyperparameters(hp)
    assert space.describe(hp.values | {"width": 8}) == "width 8, grid_dense"
    two = {"width": 4, "head": "conv", "head_modules": 2}
    assert space.describe(hp.values | two) == "width 4, conv3_conv3_dense"


def test_a_space_without_choices_has_a_description() -> None:
    space = HyperModelSpace((4, 6, 2), 3, Bounds(), spec="mine:Tiny")
    assert space.describe({}) == "the only network"


def test_a_space_may_have_its_own_learning_rate() -> None:
    rates = [
        HyperModelSpace((8, 8, 1), CLASSES, Bounds(), spec=f"mine:{name}").learning_rate
        for name in ("Space", "Trained")
    ]
    assert rates == [LEARNING_RATE, 1e-4]


def test_without_a_bound_the_costliest_network_is_where_costs_stop_counting() -> None:
    space = BackboneSpace(
        (8, 8, 1), CLASSES, Bounds(), model=load_own_model("mine:backbone"), train="all"
    )
    hp = keras_tuner.HyperParameters()
    space.declare_hyperparameters(hp)
    heads = {"head": "conv", "head_modules": 1, "head_kernel": 5, "head_growth": 2}
    costs = space.costs(hp.values | heads | {"width": 8})
    dearest = max(costs.alone_macs(index) for index in range(len(costs)))
    assert space.reference_macs()[1] >= dearest > space.costs(hp.values).alone_macs(-1)


def test_with_bounds_costs_stop_counting_there_on_the_mean_if_it_is_bounded() -> None:
    for bounds, end in (
        (Bounds(max_macs=9000), 9000),
        (Bounds(max_macs=9000, max_mean_macs=6000), 6000),
    ):
        space = HyperModelSpace((8, 8, 1), CLASSES, bounds, spec="mine:Space")
        assert space.reference_macs() == (64, end)
        space.check_bounds()
    space = HyperModelSpace((8, 8, 1), CLASSES, Bounds(max_macs=64), spec="mine:Space")
    with pytest.raises(UserError, match="reading the 64 values of an input takes more"):
        space.check_bounds()


@pytest.mark.parametrize("name", ["Space", "Single"])
def test_the_costliest_network_counts_whatever_its_exits(name: str) -> None:
    space = HyperModelSpace((8, 8, 1), CLASSES, Bounds(), spec=f"mine:{name}")
    costs = space.costs({"width": 8})
    most = costs.leave_macs(range(len(costs)))[-1]
    assert hypervolume([(most, 0.9)], space.reference_macs()) > 0.01


def test_a_model_that_a_function_gives_again_is_as_it_was() -> None:
    model = load_own_model("mine:kept", input_scale=255)
    first, expected = (net := model.make()), net.get_weights()
    first.set_weights([weight + 1 for weight in expected])  # as training does
    again = model.make()
    for weight, before in zip(again.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(weight, before)


def test_a_network_that_a_space_gives_again_is_as_it_was() -> None:
    space = HyperModelSpace((8, 8, 1), CLASSES, Bounds(), spec="mine:Same")
    first, expected = (net := space.network({"width": 4})), net.get_weights()
    first.set_weights([weight + 1 for weight in expected])
    for weight, before in zip(space.network({"width": 4}).get_weights(), expected, strict=True):
        np.testing.assert_array_equal(weight, before)


@pytest.mark.parametrize(
    ("name", "tunable"),
    [
        ("kept", False),
        ("with_default", False),
        ("anything", False),
        ("backbone", True),
        ("hp_by_name", True),
        ("only_by_name", True),
        ("partial", True),
        ("hp_and_more", True),
    ],
)
def test_a_function_takes_hp_if_it_needs_it_or_names_it(name: str, tunable: bool) -> None:
    model = load_own_model(f"mine:{name}")
    assert model.tunable == tunable
    given = [keras_tuner.HyperParameters()] * tunable
    assert model.make(*given).get_layer(index=1).output_shape[-1] == 4


def test_hyperparameters_that_others_bring_are_searched_too() -> None:

    def space(name: str) -> BackboneSpace:
        model = load_own_model(f"mine:{name}")
        return BackboneSpace((8, 8, 1), CLASSES, Bounds(), model=model, train="all")

    hp = keras_tuner.HyperParameters()
    space("deep").declare_hyperparameters(hp)
    assert {"depth", "width0", "width1", "width2"} <= {choice.name for choice in hp.space}
    assert hp.values["depth"] == 1

    hp = keras_tuner.HyperParameters()
    space("three_scopes").declare_hyperparameters(hp)
    assert {"kind", "width_a", "width_b", "width_c"} <= {choice.name for choice in hp.space}

    odd, hp = space("odd"), keras_tuner.HyperParameters()
    odd.declare_hyperparameters(hp)
    with pytest.raises(UserError, match="'late' is there for some values of others only"):
        odd.costs(hp.values | {"depth": 2})


def test_what_tfmot_will_not_take_is_told_before_the_search() -> None:
    doubts = [
        BackboneSpace(
            (8, 8, 1), CLASSES, Bounds(), model=load_own_model(f"mine:{name}"), train="all"
        ).doubt(quantizable)
        for name in ("backbone", "pooled_norm")
    ]
    assert doubts[0] == ""
    assert "give --quantize ptq" in doubts[1]


def test_exits_without_weights_can_be_learnt_from() -> None:
    costs = ExitCosts((Exit("a"), Exit("b")), (10, 20), (0, 5), (0, 0), (0, 9), 3)
    assert np.isfinite(Encoder([], (1.0, 100.0)).costs(costs)).all()


def test_an_output_that_is_given_twice_is_refused() -> None:
    with pytest.raises(UserError, match="mine:OneTwice built a network that gives one output twi"):
        HyperModelSpace((8, 8, 1), CLASSES, Bounds(), spec="mine:OneTwice")


def test_more_exits_than_the_policy_search_takes_are_refused() -> None:
    with pytest.raises(UserError, match="a network with 65 exits; expected 64 at most"):
        HyperModelSpace((8, 8, 1), CLASSES, Bounds(), spec="mine:Crowded")


@pytest.mark.parametrize(
    ("option", "exits"),
    [
        (["--backbone", "mine:backbone"], {"one", "two"}),
        (["--space", "mine:Space"], {"one", "two"}),
        (["--backbone", "mine:unnamed"], {"re_lu", "conv2d_1", "dense"}),
        (["--backbone", "mine:joined"], {"one", "both", "two"}),
        (["--backbone", "ready.h5", "--input-scale", "255"], {"first", "sum", "second", "scores"}),
    ],
)
def test_a_search_of_ones_own_resumes_and_converts(
    eexit_tf: Run, some_digits: Path, tmp_path: Path, option: list[str], exits: set[str]
) -> None:
    if "ready.h5" in option:
        small(keras.layers, keras.Model).save(tmp_path / "ready.h5")
    command = ["search", "--dataset", some_digits, "--output", "out", "--max-trials", "1"]
    for _ in range(2):
        run = eexit_tf(*command, "--epochs", "1", *option, cwd=tmp_path)
        assert run.returncode == 0, run.stderr
    front = json.loads((tmp_path / "out" / "front.json").read_text())
    assert {use["at"] for point in front["points"] for use in point["exits"]} <= exits
    run = eexit_tf("convert", "out", "--output", "m.tflite", "--quantize", "ptq", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    run = eexit_tf(*command, "--epochs", "1", cwd=tmp_path)
    assert (run.returncode, "holds another search" in run.stderr) == (2, True)
    if option[1] == "mine:backbone":
        changed = CODE.read_text().replace('"width", [4, 8]', '"width", [4, 6]')
        (tmp_path / "mine.py").write_text(changed)
        run = eexit_tf(*command, "--epochs", "1", *option, cwd=tmp_path)
        assert (run.returncode, "'width' is [4, 8] there, [4, 6] now" in run.stderr) == (2, True)


@pytest.mark.parametrize("option", [["--backbone", "mine:tiny"], ["--space", "mine:Tiny"]])
def test_inputs_may_be_smaller_than_our_families_take(
    eexit_tf: Run, tmp_path: Path, option: list[str]
) -> None:
    y = np.arange(120) % 3
    x = np.random.default_rng(0).normal(y[:, None, None, None], size=(120, 4, 6, 2))
    np.savez(tmp_path / "tiny.npz", x_train=x, y_train=y)
    command = ["search", "--dataset", "tiny.npz", "--output", "out", "--max-trials", "1"]
    run = eexit_tf(*command, "--epochs", "1", *option, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    run = eexit_tf("convert", "out", "--output", "m.tflite", "--quantize", "ptq", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    run = eexit_tf(*command, "--overwrite", cwd=tmp_path)
    assert (run.returncode, "4 x 6, too small" in run.stderr) == (2, True), run.stderr


def test_wrong_options_are_explained(eexit_tf: Run, some_digits: Path, tmp_path: Path) -> None:
    few = ["--max-macs", "9k", "--overwrite"]
    for options, said in (
        (["--backbone", "mine:backbone", "--space", "mine:Space"], "not both"),
        (["--train", "heads"], "go with a backbone"),
        (["--backbone", "mine:unsearchable"], r"hp.Choice('rate', [...])"),
        (["--space", "mine:backbone"], "mine:backbone"),
        (["--space", "mine:more_by_name"], "mine:more_by_name needs arguments; expected a class"),
        (["--space", "mine:INSTANCE"], "is a Space; expected a function, such as one that returns"),
        (["--backbone", "gone.keras"], "no such model file"),
        (["--backbone", "mine:logits"], "without a softmax; end it with a softmax"),
        (["--backbone", "mine:two"], "has 2 outputs; expected one"),
        (["--backbone", "mine:unbuilt"], "not been built: its first layer must be an Input"),
        (["--backbone", "mine:between"], "takes first, second; expected hp or nothing"),
        (["--backbone", "mine:operation"], "'add' is a Add, which tf_keras does not have"),
        (["--backbone", "mine:taken"], "'head_kernel' of mine:taken is the search's own"),
        (["--backbone", "mine:twice"], "layer 'again' is called more than once"),
        (["--backbone", "mine:spaced"], "layer 'a b' cannot be converted from Keras 3"),
        (["--backbone", "mine:unbuilt3"], "its first layer must be an Input"),
        (["--backbone", "builtins:dict"], "builtins:dict is no function of yours"),
        (["--space", "mine:Space", "--max-params", "5"], "proposed keeps max_params 5; the first"),
        (["--backbone", "mine:unnamed", "--max-macs", "10"], "reading the 64 values of an input"),
        (["--space", "mine:Unlearning"], "of mine:Unlearning is 0.0; expected a float above 0"),
        (["--space", "mine:Logits"], "is not that of a softmax"),
        (["--space", "mine:Infeasible"], "no network can be built: width 2: none will do"),
        (["--space", "mine:Never"], "no network can be built: the only network: never"),
        (["--space", "mine:Infeasible", *few], "the first one: none will do"),
        (["--backbone", "mine:leaving"], "in leaving: sys.exit(0)"),
        (["--space", "mine:Leaving"], "space mine:Leaving wants to end the command: SystemExit: 0"),
        (["--backbone", "mine:separated"], "'stage1__conv' of mine:separated cannot have an exit"),
        (["--backbone", "mine:separated_end"], "layer 'a__b' of mine:separated_end cannot have"),
        (["--backbone", "mine:nested"], "does not know; build with its layers, such as Model(base"),
        (["--backbone", "mine:rescaled"], "times larger takes --input-scale N"),
        (["--backbone", "mine:half"], "'two' of model from mine:half computes in float16, where"),
        (["--backbone", "mine:double"], "from mine:double computes in float64, where int8"),
        (["--space", "mine:Half"], "'two' of model from mine:Half computes in float16, where"),
        (["--backbone", "mine:countless"], "is a Int without steps, or with more than 64"),
        (["--space", "mine:SameName"], "'width' is declared in two scopes"),
    ):
        run = eexit_tf(
            *("search", "--dataset", some_digits, "--output", "out", *options), cwd=tmp_path
        )
        assert run.returncode == 2, run.stderr
        assert said in run.stderr, run.stderr
        assert "Traceback" not in run.stderr
