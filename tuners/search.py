"""A whole search: set up or resumed in a folder, run to its end, its front kept up to date."""

import contextlib
import io
import os
import shutil
from pathlib import Path

import keras_tuner

from eexit_tf.augmentation import UNCHANGED, Augmentation
from eexit_tf.bounds import Bounds
from eexit_tf.data import Dataset
from eexit_tf.errors import UserError
from eexit_tf.files import write_json
from eexit_tf.fronts import FRONT, SearchFront
from eexit_tf.keras import tf
from eexit_tf.locks import locked
from eexit_tf.pareto import hypervolume
from eexit_tf.ranges import check_count, check_not_negative
from eexit_tf.reporter import SILENT, Reporter
from eexit_tf.tuners.archive import pairs
from eexit_tf.tuners.candidates import CandidateSpace, Check
from eexit_tf.tuners.chief import Chief
from eexit_tf.tuners.local_workers import serve
from eexit_tf.tuners.networks import FAMILIES, Networks
from eexit_tf.tuners.oracle import ParetoOracle
from eexit_tf.tuners.progress import SearchProgress
from eexit_tf.tuners.settings import MANIFEST, SearchSettings, data_sha256
from eexit_tf.tuners.tuner import ExitTuner
from eexit_tf.tuners.worker import Address
from eexit_tf.vocabulary import Front, counted


def search(
    data: Dataset,
    output: Path,
    *,
    bounds: Bounds,
    max_trials: int,
    epochs: int,
    seed: int,
    networks: Networks = FAMILIES,
    augmentation: Augmentation = UNCHANGED,
    workers: int = 0,
    chief: Address | None = None,
    tensorboard: bool = False,
    overwrite: bool = False,
    convertible: Check | None = None,
    reporter: Reporter = SILENT,
) -> Front:
    """Run a search, or resume it where it was stopped.

    A trial's training depends on the seed, the trial's number and its hyperparameters alone, to
    the last bit on the same kind of processor with the same number of threads. What a trial tries,
    and whether it is stopped early, depends on the seed, its number and the trials that had ended
    by then. So without workers or with one, the same seed gives the same search, in a fresh
    process and after any number of stops. With several, what has ended when a trial begins depends
    on how fast each is: the first ones, before anything is learnt (`proposals.FEWEST_LEARNT`), are
    the same.

    Args:
        data: what to train and validate on.
        output: the search's folder; gets `search.json`, `front.json` and `trials/`.
        bounds: what the networks must keep to.
        max_trials: trainings in all, those of an interrupted run included.
        epochs: of each training.
        seed: of the proposals and the trainings.
        networks: what is searched, if not our families.
        augmentation: of the training samples.
        workers: processes on this machine that train, each with its share of the threads, at most
            one a trial; with 0 and no `chief` this one does. They read `data` again, by its name.
        chief: where workers on other machines, started with `join`, find this one.
        tensorboard: keep each training's curves in its trial's folder.
        overwrite: start over instead of resuming.
        convertible: refuses networks that cannot be quantised, of which there is a warning.
        reporter: told about epochs and trials.

    Returns:
        The front over all trials, within the bounds.

    Raises:
        UserError: no trials, bounds that nothing can meet, a space that has changed since the
            search began, or a folder that holds another search or in which one runs.
        TrialError: a worker stopped the search; says why.
        Exception: what a trial raised in this process.
    """
    if "KERASTUNER_ORACLE_IP" in os.environ:
        raise UserError("KERASTUNER_ORACLE_IP is set; unset it, and use --chief and --join")
    check_count("max_trials", max_trials)
    check_not_negative("workers", workers)
    settings = SearchSettings(
        data.name, data_sha256(data), seed, epochs, bounds, networks.located(), augmentation
    )
    space = settings.space(data)
    space.check_bounds()
    if convertible and (doubt := space.doubt(convertible)):
        reporter.say(doubt)
    if output.exists() and not output.is_dir():
        raise UserError(f"--output {output} is a file, not a folder")
    with locked(output) as token:
        _prepare(output, settings, overwrite)
        tuner = make_tuner(space, output, settings, max_trials, tensorboard)
        found = _write_front(tuner, output, settings)
        write_json(output / MANIFEST, settings.to_json())  # the same data may have moved
        progress = SearchProgress(reporter, tuner.oracle, epochs, found, space.describe)

        def after_trial(trial_id: str) -> None:
            progress.ended(trial_id, _write_front(tuner, output, settings))

        if workers or chief:
            tuner.save()
            server = Chief(tuner.oracle, progress, after_trial, token)
            busy = min(workers, max_trials)
            serve(server, output, busy, chief, tensorboard=tensorboard, reporter=reporter)
        else:
            tuner.on_epoch, tuner.after_trial = progress.epoch, after_trial
            stopped: BaseException | None = None
            try:
                tuner.search(data, epochs)
            except keras_tuner.errors.FatalError as error:
                stopped = error.__cause__ or error
            if stopped is not None:  # raised where nothing takes the place of its own cause
                raise stopped
        found = _write_front(tuner, output, settings)
        if not found.front.points:
            if not found.trials:
                raise UserError(space.never_met())
            raise UserError(_nothing_found(tuner.oracle.archive().front(), found.trials, bounds))
    return found.front


def _prepare(output: Path, settings: SearchSettings, overwrite: bool) -> None:
    begun, trials = (output / MANIFEST).exists(), output / "trials"
    if trials.exists() and not begun:
        raise UserError(f"{trials} is there without a {MANIFEST} beside it; give another --output")
    if begun and not overwrite:
        settings.check_same(SearchSettings.load(output), output)
        return
    if begun:
        shutil.rmtree(trials, ignore_errors=True)
        (output / FRONT).unlink(missing_ok=True)
    write_json(output / MANIFEST, settings.to_json())


def make_tuner(
    space: CandidateSpace,
    output: Path,
    settings: SearchSettings,
    max_trials: int,
    tensorboard: bool = False,
) -> ExitTuner:
    """KerasTuner's tuner of a search, as it was left in the folder.

    Raises:
        UserError: its state cannot be read, or the space is not the one that it began with.
    """
    oracle = ParetoOracle(
        max_trials=max_trials,
        bounds=settings.bounds,
        reference_macs=space.reference_macs(),
        rejected=space.rejected,
        costs=space.costs,
        canonical=space.canonical,
        smallest=space.smallest,
        seed=settings.seed,
        candidates=space.candidates,
    )
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # KerasTuner says that it reloads
            tuner = ExitTuner(
                oracle,
                space,
                output,
                seed=settings.seed,
                augmentation=settings.augmentation,
                tensorboard=tensorboard,
            )
    except (  # how KerasTuner fails where its files are not as it wrote them
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RuntimeError,
        tf.errors.OpError,
    ) as error:
        raise UserError(
            f"the state of the search in {output / 'trials'} cannot be read ({error}); "
            f"--overwrite starts over"
        ) from error
    for trial in list(oracle.trials.values())[:1]:  # all have the same
        check_same_space(space, trial.hyperparameters, output)
    for number, trial in oracle.trials.items():
        for choice in oracle.get_space().space:
            if trial.hyperparameters.values.get(choice.name) not in choice.values:
                raise UserError(
                    f"trial {number} in {output / 'trials'} has no sound value of "
                    f"{choice.name!r}; --overwrite starts over"
                )
    return tuner


def check_same_space(
    space: CandidateSpace, then: keras_tuner.HyperParameters, output: Path
) -> None:
    """Refuse to go on when the user's own code has other hyperparameters than a trial had.

    Raises:
        UserError: names one.
    """
    now = keras_tuner.HyperParameters()
    space.declare_hyperparameters(now)
    mine, its = ({choice.name: list(choice.values) for choice in hp.space} for hp in (now, then))
    for name in mine | its:
        if mine.get(name) != its.get(name):
            raise UserError(
                f"the search in {output} began with other hyperparameters: {name!r} is "
                f"{its.get(name, 'not there')} there, {mine.get(name, 'gone')} now; give another "
                f"--output, or --overwrite to replace it"
            )


def _nothing_found(tried: Front, trials: int, bounds: Bounds) -> str:
    if not tried.points:
        return f"none of {counted(trials, 'trial')} learnt anything; search longer"
    return (
        f"no network keeps {bounds}: the best of {counted(trials, 'trial')} reach "
        f"{tried.points[-1].val_accuracy:.2%} and the cheapest need "
        f"{tried.points[0].mean_macs:,.0f} mean MACs; loosen the bounds or search longer"
    )


def _write_front(tuner: ExitTuner, output: Path, settings: SearchSettings) -> SearchFront:
    archive = tuner.oracle.archive()
    front = archive.front().within(settings.bounds)
    found = SearchFront(
        dataset=settings.dataset,
        seed=settings.seed,
        bounds=settings.bounds,
        trials=len(archive.fronts),
        hypervolume=hypervolume(pairs(front), archive.reference_macs),
        reference_macs=archive.reference_macs,
        front=front,
    )
    if found.trials:
        found.save(output)
    return found
