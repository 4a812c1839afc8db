"""`eexit-tf demo`: the whole pipeline on scikit-learn's digits."""

import hashlib
import json
import shlex
from pathlib import Path

import click

from eexit_tf.cli.console import out
from eexit_tf.cli.options import output_folder, quiet_option, seed_option


@click.command(short_help="All of it on the digits that scikit-learn carries, in minutes.")
@click.option(
    "--output",
    type=output_folder,
    default="eexit-demo",
    show_default=True,
    metavar="DIR",
    help="What is made stays there.",
)
@click.option("--overwrite", is_flag=True, help="Start over instead of resuming.")
@seed_option
@quiet_option
@click.pass_context
def demo(ctx: click.Context, output: Path, overwrite: bool, seed: int, quiet: bool) -> None:
    """Search, look at the front, convert and evaluate, each command shown as it is typed."""
    from eexit_tf.reports import summary_table
    from eexit_tf.tflite.cards import card_path

    model = output / "model.tflite"
    card = card_path(model)
    common = ["--seed", str(seed), *(["--quiet"] if quiet else [])]
    search = ["--dataset", "digits", "--output", str(output), "--max-macs", "200k"]
    search += ["--min-accuracy", "0.97", "--max-trials", "6", "--epochs", "15"]
    _run(ctx, ["search", *search, *(["--overwrite"] if overwrite else []), *common])
    _run(ctx, ["front", str(output), *common])
    if up_to_date(model, card, output / "front.json"):
        out.print(f"{model} is there already, made from this front")
    else:
        _run(ctx, ["convert", str(output), "--output", str(model), *common])
    evaluations = {}
    for runtime in ("litert", "tflm"):
        path = output / f"evaluate-{runtime}.json"
        evaluate = [str(model), "--dataset", "digits", "--runtime", runtime, "--json", str(path)]
        _run(ctx, ["evaluate", *evaluate, *common])
        evaluations[runtime] = json.loads(path.read_text("utf-8"))
    out.print()
    out.print(summary_table(json.loads(card.read_text("utf-8")), evaluations))


def _run(ctx: click.Context, arguments: list[str]) -> None:
    assert ctx.parent is not None
    group = ctx.parent.command
    out.print(f"\n$ eexit-tf {shlex.join(arguments)}", style="bold")
    group.main(arguments, prog_name="eexit-tf", standalone_mode=False)


def up_to_date(model: Path, card: Path, front: Path) -> bool:
    """Whether the card is of this file and younger than the front that both were made from."""
    from eexit_tf.tflite.cards import read_card

    if not (model.exists() and card.exists()) or card.stat().st_mtime < front.stat().st_mtime:
        return False
    described = read_card(card)
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    return described is not None and described["sha256"] == digest
