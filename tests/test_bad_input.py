"""Bad input through the command: a clear message, exit code 2, and nothing left behind.

The cases are command lines. They run in a folder that holds what `inputs` makes; none of them may
change it, and each has a place of its own for output, `{out}`.
"""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from conftest import Run
from networks import convert, keras_network
from PIL import Image

pytestmark = pytest.mark.filterwarnings("ignore:Statistics for quantized inputs:UserWarning")

X = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
Y = np.arange(60) % 3
FLOAT = X.astype(np.float32)
FLOAT[7, 2, 3] = np.nan

# Arrays in a `.npz` beside or instead of X and Y, and what is said of them.
ARRAYS: dict[str, tuple[dict[str, np.ndarray], str]] = {
    "labels short": ({"y_train": Y[:-1]}, "60 inputs, but 59 labels"),
    "labels float": ({"y_train": Y / 1.0}, "labels must be whole numbers.* float64"),
    "labels one-hot": ({"y_train": np.eye(3)[Y]}, "take the argmax"),
    "labels text": ({"y_train": Y.astype(str)}, "labels must be whole numbers.* <U"),
    "labels with gaps": ({"y_train": Y * 2}, "without gaps"),
    "labels huge": ({"y_train": Y * 10**12}, "go up to 2000000000000"),
    "labels from 1": ({"y_train": Y + 1}, "go up to 3, and no training sample has 0"),
    "labels negative": ({"y_train": Y - 1}, "must not be negative, but go down to -1"),
    "one class": ({"y_train": Y * 0}, "only one class, 0, to tell apart"),
    "rare class": ({"y_train": np.where(np.arange(60) < 4, 1, 0)}, "class 1 has 4 samples.* 5"),
    "NaN": ({"x_train": FLOAT}, "1 of 60 inputs hold NaN"),
    "infinite": ({"x_train": X * 1e300}, "60 of 60 inputs hold NaN or infinity"),
    "too small": ({"x_train": X[:, :4]}, "4 x 8, too small.* at least 8 x 8"),
    "channels first": ({"x_train": np.stack([X] * 3, 1)}, "channels must be the last"),
    "few steps": ({"x_train": np.zeros((60, 40, 6))}, r"40 x 6.*\(samples, 1, steps, channels\)"),
    "flat": ({"x_train": X.reshape(60, 64)}, r"\(samples, height, width\).* \(60, 64\)"),
    "five dimensions": ({"x_train": X[..., None, None]}, r"but are \(60, 8, 8, 1, 1\)"),
    "text": ({"x_train": X.astype(str)}, "inputs must be numbers, but are <U"),
    "no samples": ({"x_train": X[:0], "y_train": Y[:0]}, "there are no samples"),
    "objects": ({"x_train": np.array([[1], [2, 3]], object)}, "object arrays"),
    "class names": ({"class_names": np.array(["a", "b"])}, "expected 3 class names"),
    "test without labels": ({"x_test": X}, "both or none of x_test and y_test"),
    "test of other shape": ({"x_test": np.stack([X, X], 3), "y_test": Y}, "one shape"),
    "test of other units": ({"x_test": X / 255, "y_test": Y}, "uint8, test float32"),
    "test of other classes": ({"x_test": X, "y_test": Y + 5}, "test has the label 7"),
    "test too small": ({"x_test": X[:, :4, :4], "y_test": Y}, "test part: .*too small"),
}

# Other data sets, and what is said of them.
DATA = {
    "nope": "unknown data set 'nope': expected one of digits,",
    "missing.npz": "no such .npz file: missing.npz",
    "a_folder.npz": "no such .npz file",
    "empty.npz": "empty.npz is not an .npz file",
    "random.npz": "random.npz is not an .npz file",
    "really_npy.npz": "not an .npz file; numpy.savez",
    "truncated.npz": "truncated.npz cannot be read .*truncated, damaged",
    "damaged.npz": "damaged.npz cannot be read .*truncated, damaged",
    "other_keys.npz": "must have x_train and y_train.* but has images, labels",
    "good.npz/inside": "unknown data set",
    "folders/none": "no folders of images",
    "folders/empty_class": "b has no images",
    "folders/broken": "broken.png cannot be read as an image",
    "folders/sizes": "0.png is 8 x 8 gray and .*2.png is 8 x 9 gray",
    "folders/kinds": "0.png is 8 x 8 gray and .*2.png is 8 x 8 RGB",
    "folders/deep": "more than 8 bits.* convert the images to 8 bits",
    "folders/parts": "train has a, b, and test a, c",
    "folders/validation": "expected train and test.* but there are train, val",
    "nowhere:load": "no module nowhere",
    "mine.inside:load": "no module mine.inside|cannot be imported",
    ":load": "unknown data set ':load'",
    "mine:": "unknown data set 'mine:'",
    "mine:absent": r"mine \(.*mine.py\) has no function absent",
    "mine:NUMBER": "has no function NUMBER",
    "mine:nonsense": r"expected \(\(x_train, .* but nonsense\(\) returned int 42",
    "mine:nothing": r"nothing\(\) returned NoneType None",
    "mine:ragged": "the inputs are not one array",
    "mine:words": "inputs must be numbers",
    "mine:fails": r"fails\(\) failed: ZeroDivisionError.*mine.py, line \d+, in divide: .*1 / 0",
    "mine:leaves": r"leaves\(\) failed: SystemExit: 3",
    "syntax:load": "syntax cannot be imported: .*syntax.py.*SyntaxError",
    "lacks:load": r"lacks cannot be imported: ModuleNotFoundError: .*lacks.py, line 1",
}

MINE = """
NUMBER = 42
def nonsense(): return 42
def nothing(): pass
def ragged(): return ([[1], [2, 3]], [0, 1]), ([[1], [2, 3]], [0, 1])
def words(): return ("a", "b"), ("c", "d")
def divide(): return 1 / 0
def leaves(): raise SystemExit(3)
def fails(): return divide()
"""

SEARCH = "search --dataset good.npz --output {out} --max-trials 1 --epochs 1"
FIND = "search --output found --max-macs 40k --max-trials 1 --epochs 1"
EVALUATE = "evaluate early.tflite --dataset good.npz"
COMPILE = "compile multi.tflite --output {out}/m.tflite --thresholds 0.9,0.8"
CONVERT = "convert found --output {out}/m.tflite"

# Command lines, and what is said of them.
COMMANDS = {
    "serach": "No such command 'serach'",
    "front ''": "an argument is empty",
    f"{SEARCH} --dataset=": "an argument is empty",
    f"{SEARCH} --chief :8000": "':8000' is not HOST:PORT",
    f"{SEARCH} --output good.npz/found": "good.npz is a file; expected a folder",
    f"{SEARCH} --max-mac": "No such option",
    "search --output {out}": "Missing option '--dataset'",
    f"{SEARCH} --max-macs -5": "'-5' is not more than 0",
    f"{SEARCH} --max-macs 0": "'0' is not more than 0",
    f"{SEARCH} --max-params 0.2": "'0.2' is not more than 0",
    f"{SEARCH} --max-mean-macs many": "'many' is not a number such as",
    f"{SEARCH} --max-mean-macs nan": "'nan' is not a number such as",
    f"{SEARCH} --max-macs inf": "'inf' is not a number such as",
    f"{SEARCH} --min-accuracy 1.5": r"--min-accuracy.* 1.5 is not in the range 0<=x<=1",
    f"{SEARCH} --min-accuracy high": "'high' is not a valid float",
    f"{SEARCH} --min-accuracy nan": "min_accuracy must be from 0 to 1, but is nan",
    f"{SEARCH} --max-trials 0": "0 is not in the range x>=1",
    f"{SEARCH} --epochs 0": "0 is not in the range x>=1",
    f"{SEARCH} --seed -1": "-1 is not in the range 0<=x",
    f"{SEARCH} --seed 4294967296": "is not in the range 0<=x<=4294967295",
    f"{SEARCH} --backbone m:f --input-scale nan": "scale must be more than 0, but is nan",
    f"{SEARCH} --space mine": "space mine: expected module:function",
    f"{SEARCH} --output good.npz": "'good.npz' is a file",
    f"{SEARCH} --max-macs 10": "nothing in the search space keeps max_macs 10: .* 8 x 8 x 1 needs",
    f"{SEARCH} --max-mean-macs 5": "nothing in the search space keeps max_mean_macs 5: .* MACs",
    f"{FIND} --dataset good.npz --seed 7 --max-params 9k": "found holds another search "
    r"\(data_sha256 is .* there.*; seed is 0 there, 7 here; bounds is .*--overwrite",
    **{
        f"{FIND} --dataset digits.npz --output {name}": said
        for name, said in {
            "no_oracle": "the state of the search in no_oracle/trials cannot be read .*oracle.json",
            "no_trial": "no_trial/trials cannot be read .no trial.json of trial 0",
            "trial_damaged": "trial_0/front.json is not the front of a trial",
        }.items()
    },
    f"{FIND} --dataset digits.npz --output stranger --overwrite": "without a search.json beside it",
    "front nowhere": "nowhere has no front.json; give the folder of a search",
    "front good.npz": "good.npz has no front.json",
    "front front_truncated": "front_truncated/front.json is not a front of eexit-tf",
    "front front_binary": "front_binary/front.json is not a front of eexit-tf",
    "front front_schema": "schema 99, expected 1",
    "front front_keys": "front_keys/front.json is not a front of eexit-tf",
    "convert nowhere --output {out}/m.tflite": "nowhere has no front.json",
    "convert front_truncated --output {out}/m.tflite": "is not a front of eexit-tf",
    "convert search_damaged --output {out}/m.tflite": "search.json is not the manifest of a search",
    "convert no_weights --output {out}/m.tflite": "the weights of trial 0 are missing",
    "convert weights_damaged --output {out}/m.tflite": "the weights of trial 0 do not fit",
    "convert moved --output {out}/m.tflite": "no such .npz.*give --dataset if it has moved",
    f"{CONVERT} --dataset good.npz": "whose data has changed since",
    f"{CONVERT} --pick 9-9": "no point '9-9' in the front; it has 0-0",
    f"{CONVERT} --max-mean-macs 10": "no point of the front keeps max_mean_macs 10",
    f"{CONVERT} --quantize x": "'x' is not one of 'qat', 'ptq'",
    "convert found --output {out}": "must end in .tflite",
    "convert found --output a_folder.tflite": "'a_folder.tflite' is a directory",
    "convert found --output found/front.tflite": "found/front.json is not the card of a network",
    f"{COMPILE} --thresholds 0.9": "has 3 exits .* expected 2 thresholds, got 1",
    f"{COMPILE} --thresholds 0.9,1.5": "expected a threshold from 0 to 1, got 1.5",
    f"{COMPILE} --thresholds nan,0.5": "expected a threshold from 0 to 1, got nan",
    f"{COMPILE} --thresholds high": "'high' is not a list of numbers such as",
    "compile early.tflite --output {out}/m.tflite --thresholds 0.9": "leaves early by itself",
    f"{COMPILE} --output {{out}}/m.bin": "m.bin must end in .tflite",
    f"{COMPILE} --output multi.tflite": "multi.tflite is the file to compile",
    f"{EVALUATE} --samples 0": "0 is not in the range x>=1",
    f"{EVALUATE} --runtime gpu": "'gpu' is not one of 'litert', 'tflm'",
    f"{EVALUATE} --dataset nope": "unknown data set 'nope'",
    f"{EVALUATE} --dataset wide.npz": r"takes int8 of shape .*8, 8, 1\), got .*\(\d+, 8, 9, 1\)",
    f"{EVALUATE} --dataset classes.npz": "labels up to 6, the network only 5 classes",
    f"{EVALUATE} --json a_folder.tflite": "'a_folder.tflite' is a directory",
    f"{EVALUATE} --json early.tflite": "early.tflite must end in .json",
    f"{EVALUATE} --json early.json": "early.json belongs to early.tflite; choose another name",
    f"{EVALUATE} --json good.npz/e.json": "good.npz is a file; expected a folder",
    "export early.json --format cc --output {out}": "cannot read early.json: No such file",
    "export found/front.json --format cc --output {out}": "not a .tflite file",
}

NOT_OURS = "expected a self-exiting .tflite file that eexit-tf made"

# Files that are no `.tflite` of the right kind: what `evaluate` says, what `compile` says.
FILES = {
    "missing.tflite": ("cannot read missing.tflite: No such file",) * 2,
    "a_folder.tflite": (  # may be one of segments
        "cannot read a_folder.tflite/manifest.json: No such file",
        "cannot read a_folder.tflite: it is a folder, expected a file",
    ),
    "empty.tflite": ("not a .tflite file: .* got b'' and 0 bytes",) * 2,
    "random.tflite": ("not a .tflite file: expected b'TFL3'",) * 2,
    "truncated.tflite": ("not a readable .tflite file|unsound",) * 2,
    "good.npz": ("not a .tflite file: expected b'TFL3'",) * 2,
    "single.tflite": (NOT_OURS, "has one output; expected .* at least two"),
    "float.tflite": (NOT_OURS, ""),
    "multi.tflite": (NOT_OURS, ""),
}

CASES = {
    **{
        f"arrays {name}": (f"search --dataset {shlex.quote(f'{name}.npz')} --output {{out}}", said)
        for name, (_, said) in ARRAYS.items()
    },
    **{
        f"data {name}": (f"search --dataset {name} --output {{out}}", s) for name, s in DATA.items()
    },
    **{line: (line, said) for line, said in COMMANDS.items()},
    **{
        f"evaluate {name}": (f"evaluate {name} --dataset good.npz --json {{out}}/e.json", said)
        for name, (said, _) in FILES.items()
        if said
    },
    **{
        f"compile {name}": (f"compile {name} --output {{out}}/m.tflite --thresholds 0.9,0.8", said)
        for name, (_, said) in FILES.items()
        if said
    },
}


def save_images(folder: Path, **classes: list[np.ndarray]) -> None:
    for name, images in classes.items():
        (folder / name).mkdir(parents=True)
        for number, image in enumerate(images):
            Image.fromarray(image).save(folder / name / f"{number}.png")


def make_folders(place: Path) -> None:
    good = list(X[:6])
    (place / "none").mkdir(parents=True)
    save_images(place / "empty_class", a=good, b=[])
    save_images(place / "broken", a=good, b=good)
    content = (place / "broken" / "a" / "0.png").read_bytes()
    (place / "broken" / "b" / "broken.png").write_bytes(content[: len(content) // 2])
    save_images(place / "sizes", a=[X[0], X[1], np.zeros((8, 9), np.uint8)])
    save_images(place / "kinds", a=[X[0], X[1], np.zeros((8, 8, 3), np.uint8)])
    save_images(place / "deep", a=[X[0].astype(np.uint16) * 256], b=good)
    save_images(place / "parts" / "train", a=good, b=good)
    save_images(place / "parts" / "test", a=good, c=good)
    save_images(place / "validation" / "train", a=good, b=good)
    save_images(place / "validation" / "val", a=good, b=good)


def make_arrays(place: Path) -> None:
    np.savez(place / "good.npz", x_train=X, y_train=Y)
    np.savez(place / "wide.npz", x_train=np.zeros((60, 8, 9)), y_train=Y)
    np.savez(place / "classes.npz", x_train=X, y_train=np.arange(60) % 7)
    np.savez(place / "other_keys.npz", images=X, labels=Y)
    for name, (arrays, _) in ARRAYS.items():
        np.savez(place / f"{name}.npz", **{"x_train": X, "y_train": Y, **arrays})
    content = (place / "good.npz").read_bytes()
    (place / "truncated.npz").write_bytes(content[: len(content) // 2])
    middle = len(content) // 2
    damaged = content[:middle] + bytes(b ^ 255 for b in content[middle : middle + 9])
    (place / "damaged.npz").write_bytes(damaged + content[middle + 9 :])
    (place / "empty.npz").touch()
    (place / "random.npz").write_bytes(X.tobytes())
    with (place / "really_npy.npz").open("wb") as file:
        np.save(file, X)
    (place / "a_folder.npz").mkdir()


def make_tflite(place: Path) -> None:
    from eexit_tf.tflite.compiler import compile_file

    # Seed 11 is one whose networks take one channel.
    (place / "multi.tflite").write_bytes(convert(keras_network(11, 3)))
    (place / "single.tflite").write_bytes(convert(keras_network(11, 1)))
    (place / "float.tflite").write_bytes(convert(keras_network(11, 3), int8=False))
    early = compile_file(place / "multi.tflite", [0.9, 0.8]).content
    (place / "early.tflite").write_bytes(early)
    (place / "truncated.tflite").write_bytes(early[: len(early) // 2])
    (place / "random.tflite").write_bytes(X.tobytes())
    (place / "empty.tflite").touch()
    (place / "a_folder.tflite").mkdir()


def make_searches(place: Path, search: Path, digits: Path) -> None:
    shutil.copy(digits, place / "digits.npz")
    shutil.copytree(search, place / "found")
    (place / "stranger" / "trials" / "of_something_else").mkdir(parents=True)
    front = json.loads((search / "front.json").read_text())
    content = json.dumps(front).encode()
    for name, damaged in {
        "truncated": content[: len(content) // 2],
        "binary": X.tobytes(),
        "schema": json.dumps({**front, "schema": 99}).encode(),
        "keys": b'{"schema": 1}',
    }.items():
        (place / f"front_{name}").mkdir()
        (place / f"front_{name}" / "front.json").write_bytes(damaged)
    for name in (
        "search_damaged",
        "no_weights",
        "weights_damaged",
        "no_oracle",
        "no_trial",
        "trial_damaged",
        "moved",
    ):
        shutil.copytree(search, place / name)
    (place / "weights_damaged/trials/trial_0/network.weights.h5").write_bytes(X.tobytes())
    (place / "no_oracle/trials/oracle.json").unlink()
    (place / "no_trial/trials/trial_0/trial.json").unlink()
    (place / "trial_damaged/trials/trial_0/front.json").write_text("{}")
    (place / "search_damaged" / "search.json").write_text('{"schema": 1, "seed"')
    next((place / "no_weights").glob("trials/*/*.h5")).unlink()
    moved = {**front, "dataset": "moved-away.npz"}
    (place / "moved" / "front.json").write_text(json.dumps(moved))


def snapshot(folder: Path) -> dict[str, bytes]:
    """All files but the lock of a search, which says who asked last."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def inputs(small_search: Path, some_digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which all cases run."""
    place = tmp_path_factory.mktemp("inputs")
    make_arrays(place)
    make_folders(place / "folders")
    make_tflite(place)
    make_searches(place, small_search, some_digits)
    (place / "mine.py").write_text(MINE)
    (place / "syntax.py").write_text("def load(:\n")
    (place / "lacks.py").write_text("import nowhere_either\n")
    return place


@pytest.fixture(scope="module")
def content(inputs: Path) -> dict[str, bytes]:
    """Of all inputs, before any case has run."""
    return snapshot(inputs)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outputs")


def place_of(case: str, outputs: Path) -> Path:
    return outputs / str(list(CASES).index(case))


def arguments(case: str, outputs: Path) -> list[str]:
    return shlex.split(CASES[case][0].replace("{out}", str(place_of(case, outputs))))


def check_refusal(found: subprocess.CompletedProcess[str], said: str, code: int = 2) -> None:
    everything = found.stdout + found.stderr
    assert "Traceback" not in everything, everything
    assert found.returncode == code, everything
    assert found.stdout == ""
    assert re.search(said, found.stderr, re.DOTALL), found.stderr


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused(
    case: str, eexit_tf: Run, inputs: Path, content: dict[str, bytes], outputs: Path
) -> None:
    check_refusal(eexit_tf(*arguments(case, outputs), cwd=inputs), CASES[case][1])
    assert not place_of(case, outputs).exists()
    assert snapshot(inputs) == content


@pytest.mark.parametrize("case", ["serach", "data mine:fails", "evaluate truncated.tflite"])
def test_the_installed_command_refuses_in_the_same_words(
    case: str, eexit_tf: Run, installed_eexit_tf: Run, inputs: Path, outputs: Path
) -> None:
    said, same = (
        run(*arguments(case, outputs), cwd=inputs) for run in (eexit_tf, installed_eexit_tf)
    )
    assert (same.returncode, same.stdout, same.stderr) == (2, "", said.stderr)


def test_an_accuracy_that_training_does_not_reach(
    eexit_tf: Run, some_digits: Path, tmp_path: Path
) -> None:
    line = "--output found --max-trials 1 --epochs 1 --max-macs 40k --min-accuracy 1"
    found = eexit_tf("search", "--dataset", some_digits, *line.split(), cwd=tmp_path)
    check_refusal(found, "no network keeps .*min_accuracy 1: the best of 1 trials reach .*loosen")
    line = "convert found --output m.tflite"
    check_refusal(eexit_tf(*line.split(), cwd=tmp_path), "the front has no points")
    assert not (tmp_path / "m.tflite").exists()


def test_an_output_where_nothing_can_be_written_is_refused(eexit_tf: Run, inputs: Path) -> None:
    line = COMPILE.format(out="/proc/new")
    said = "/proc/new: No such file|/proc is a folder in which you may not write"
    check_refusal(eexit_tf(*line.split(), cwd=inputs), said)


def test_paths_with_brackets_are_shown_as_they_are(
    eexit_tf: Run, inputs: Path, tmp_path: Path
) -> None:
    line = COMPILE.format(out=tmp_path / "[bold]" / "[")
    found = eexit_tf(*line.split(), cwd=inputs)
    assert found.returncode == 0, found.stderr
    assert f"{tmp_path}/[bold]/[/m.tflite" in found.stdout
