"""Bad input through the command: a clear message, exit code 2, and nothing left behind.

The cases are command lines. They run in the folder that `bad_inputs` fills; none of them may change
it, and each has a place of its own for output, `{out}`.
"""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from bad_inputs import ARRAYS, make_inputs
from conftest import Run

pytestmark = pytest.mark.filterwarnings("ignore:Statistics for quantized inputs:UserWarning")

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
    "folders/nested": "b/more is a folder; expected images .*png",
    "folders/other_kind": "b/last.tif is an image of another kind; expected images .*png",
    "folders/deep": "more than 8 bits.* convert the images to 8 bits",
    "folders/parts": "train has a, b, and test a, c",
    "folders/validation": "expected train and test.* but there are train, val",
    "nowhere:load": "no module nowhere",
    "mine.inside:load": "no module mine.inside|cannot be imported",
    ":load": "unknown data set ':load'",
    "mine:": "unknown data set 'mine:'",
    "mine:absent": r"mine \(.*mine.py\) has no function absent",
    "mine:NUMBER": r"NUMBER in mine \(.*mine.py\) is a int; expected a function, such as one that",
    "mine:nonsense": r"expected \(\(x_train, .* but nonsense\(\) returned int 42",
    "mine:nothing": r"nothing\(\) returned NoneType None",
    "mine:ragged": "the inputs are not one array",
    "mine:words": "inputs must be numbers",
    "mine:fails": r"fails\(\) failed: ZeroDivisionError.*mine.py, line \d+, in divide: .*1 / 0",
    "mine:leaves": r"leaves\(\) failed: SystemExit: 3",
    "syntax:load": "syntax cannot be imported: .*syntax.py.*SyntaxError",
    "lacks:load": r"lacks cannot be imported: ModuleNotFoundError: .*lacks.py, line 1",
}

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
    f"{SEARCH} --max-flash 1k": "nothing in the search space keeps max_flash 1,000: .* of flash",
    f"{SEARCH} --max-arena 500": "nothing in the search space keeps max_arena 500",
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
    f"{SEARCH} --max-macs 10": "nothing in the search space keeps max_macs 10: .* 8 x 8 x 1 need",
    f"{SEARCH} --max-mean-macs 5": "nothing in the search space keeps max_mean_macs 5: .* MACs",
    f"{FIND} --dataset good.npz --seed 7 --max-params 9k": "found holds another search "
    r"\(its data is .* as it was then, not good.npz; seed is 0 there, 7 here; max_params "
    r"is none there, 9000 here\); give another .*--overwrite",
    **{
        f"{FIND} --dataset digits.npz --output {name}": said
        for name, said in {
            "no_oracle": "the state of the search in no_oracle/trials cannot be read .*oracle.json",
            "no_trial": "no_trial/trials cannot be read .no trial.json of trial 0",
            "trial_damaged": "trial_0/front.json is not the front of a trial",
            "trial_gone": "front of a trial is gone: trial_gone/.*front.json; --overwrite starts",
            "trial_edited": "trial 0 in trial_edited/trials has no sound value of 'shrink'",
        }.items()
    },
    f"{FIND} --dataset digits.npz --output stranger --overwrite": "without a search.json beside it",
    "front nowhere": "nowhere has no front.json; give the folder of a search",
    "front good.npz": "good.npz has no front.json",
    "front front_truncated": "front_truncated/front.json is not a front of eexit-tf",
    "front front_binary": "front_binary/front.json is not a front of eexit-tf",
    "front front_deep": "front_deep/front.json is not a front of eexit-tf",
    "front front_schema": "schema 99, expected 1",
    "front front_keys": "front_keys/front.json is not a front of eexit-tf",
    "front front_free": "is not a front of eexit-tf: mean_macs must be above 0 and finite",
    "front front_nan": "is not a front of eexit-tf: val_accuracy must be from 0 to 1, but is nan",
    "front front_flash": "front_flash/front.json is not a front of eexit-tf: .*'much'",
    "front front_volume": "front_volume/front.json is not a front of eexit-tf: .*'much'",
    "convert nowhere --output {out}/m.tflite": "nowhere has no front.json",
    "convert front_truncated --output {out}/m.tflite": "is not a front of eexit-tf",
    "convert search_damaged --output {out}/m.tflite": "search.json is not the manifest of a search",
    "convert search_schema --output {out}/m.tflite": "of a search: schema 99; expected 1",
    "convert no_weights --output {out}/m.tflite": "the weights of trial 0 are missing",
    "convert weights_damaged --output {out}/m.tflite": "network.weights.h5 do not fit the network",
    "convert moved --output {out}/m.tflite": "no such .npz.*give --dataset if it has moved",
    f"{CONVERT} --dataset good.npz": "found holds a search on .*digits.npz, not good.npz",
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
    f"{EVALUATE} --json found/search.json": "found/search.json is no earlier report; choose",
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


def snapshot(folder: Path) -> dict[str, bytes]:
    """All files but the lock of a search, which says who asked last."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def inputs(small_search: Path, some_digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which all cases run."""
    place = tmp_path_factory.mktemp("inputs")
    make_inputs(place, small_search, some_digits)
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
    check_refusal(found, "no network keeps .*min_accuracy 1: the best of 1 trial reach .*loosen")
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
