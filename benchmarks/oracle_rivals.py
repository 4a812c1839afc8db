"""Other searches over the table of `oracle_table.py`: Optuna's, KerasTuner's and NACHOS's.

Each takes a function that runs a trial and calls it until it has run as many as asked for.
"""

import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import keras_tuner
import numpy as np
import optuna
from scipy.stats import kendalltau
from sklearn.ensemble import RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern, WhiteKernel
from sklearn.neural_network import MLPRegressor

from eexit_tf.pareto import pareto_rank

Genome = Mapping[str, tuple]
"""Choices by name; those of numbers are ordered."""
Run = Callable[[dict[str, Any]], tuple[float, ...]]
"""Trains one genome; gives the objectives, all to be maximised."""
Search = Callable[[Genome, Run, int, int, int], None]
"""Of a genome, by a run, with so many objectives, so many trials and a seed."""


def optuna_search(sampler: str) -> Search:
    """Optuna's NSGA-II (`NSGAII`), multi-objective `TPE` or `GP` sampler.

    All settings are Optuna's own, but for NSGA-II's population, which is a sixth of the trials
    instead of 50: so few trials would not leave the first generation.
    """

    def search(genome: Genome, run: Run, objectives: int, trials: int, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        made: optuna.samplers.BaseSampler
        if sampler == "NSGAII":
            made = optuna.samplers.NSGAIISampler(population_size=trials // 6, seed=seed)
        elif sampler == "TPE":
            made = optuna.samplers.TPESampler(seed=seed)
        else:
            made = optuna.samplers.GPSampler(seed=seed, deterministic_objective=True)

        def objective(trial: optuna.Trial) -> tuple[float, ...]:
            return run({name: _suggest(trial, name, c) for name, c in genome.items()})

        directions = ["maximize"] * objectives
        optuna.create_study(sampler=made, directions=directions).optimize(objective, trials)

    return search


def _suggest(trial: optuna.Trial, name: str, choices: tuple) -> Any:
    if len(choices) > 2 and not isinstance(choices[0], str):
        return choices[trial.suggest_int(name, 0, len(choices) - 1)]
    return trial.suggest_categorical(name, choices)


def keras_tuner_search(bayesian: bool) -> Search:
    """KerasTuner's own oracles on the sum of the objectives, as it sums several."""

    def search(genome: Genome, run: Run, objectives: int, trials: int, seed: int) -> None:
        names = [f"objective{i}" for i in range(objectives)]
        kind = (
            keras_tuner.oracles.BayesianOptimizationOracle
            if bayesian
            else keras_tuner.oracles.RandomSearchOracle
        )
        space = keras_tuner.HyperParameters()
        for name, choices in genome.items():
            space.Choice(name, list(choices), ordered=not isinstance(choices[0], str))
        oracle = kind(
            objective=[keras_tuner.Objective(name, "max") for name in names],
            max_trials=trials,
            hyperparameters=space,
            seed=seed + 1,
        )
        oracle.verbose = 0
        with tempfile.TemporaryDirectory() as directory:
            oracle._set_project_dir(directory, "trials")
            for _ in range(trials):
                trial = oracle.create_trial("tuner0")
                if trial.status != "RUNNING":
                    return
                values = dict(zip(names, run(trial.hyperparameters.values), strict=True))
                summed = {oracle.objective.name: oracle.objective.get_value(values)}
                oracle.update_trial(trial.trial_id, values | summed)
                trial.status = "COMPLETED"
                oracle.end_trial(trial)

    return search


POPULATION, INNER_GENERATIONS, BATCH = 40, 20, 8


def nachos_search(genome: Genome, run: Run, objectives: int, trials: int, seed: int) -> None:
    """NACHOS's loop (arXiv 2401.13330): random candidates, then rounds of 8.

    Each round fits a surrogate for each objective, the one of several kinds that orders held-out
    trials best (Kendall's tau), and runs NSGA-II (population 40, 20 generations) on them. Its 100
    random candidates and 30 rounds are scaled down in proportion.
    """
    rng = np.random.default_rng(seed)
    sizes = np.array([len(choices) for choices in genome.values()])
    names = list(genome)
    known: dict[tuple[int, ...], tuple[float, ...]] = {}

    def train(code: tuple[int, ...]) -> None:
        values = {n: genome[n][i] for n, i in zip(names, code, strict=True)}
        known[code] = run(values)

    while len(known) < round(trials * 100 / 340):
        code = tuple(rng.integers(sizes).tolist())
        if code not in known:
            train(code)
    while len(known) < trials:
        x = np.array(list(known)) / np.maximum(1, sizes - 1)
        y = np.array(list(known.values()))
        models = [_best_model(x, y[:, i], seed) for i in range(objectives)]

        def predict(codes: np.ndarray, models: list = models) -> np.ndarray:
            return np.column_stack(
                [model.predict(codes / np.maximum(1, sizes - 1)) for model in models]
            )

        front = _nsga2(predict, sizes, np.array(list(known)), rng)
        fresh = [c for c in map(tuple, front.tolist()) if c not in known]
        fresh = list(dict.fromkeys(fresh))[:BATCH]
        while len(fresh) < BATCH:
            code = tuple(rng.integers(sizes).tolist())
            if code not in known and code not in fresh:
                fresh.append(code)
        for code in fresh[: trials - len(known)]:
            train(code)


def _best_model(x: np.ndarray, y: np.ndarray, seed: int) -> Any:
    kinds = [
        lambda: GaussianProcessRegressor(
            Matern(1.0, nu=2.5) + WhiteKernel(1e-2), normalize_y=True, random_state=seed
        ),
        lambda: RandomForestRegressor(50, random_state=seed),
        lambda: MLPRegressor(
            hidden_layer_sizes=(32, 32), solver="lbfgs", max_iter=200, random_state=seed
        ),
    ]
    held = np.arange(len(x)) % 4 == 0

    def order(kind: Callable[[], Any]) -> float:
        guess = kind().fit(x[~held], y[~held]).predict(x[held])
        return float(np.nan_to_num(kendalltau(guess, y[held]).statistic, nan=-1))

    return max(kinds, key=order)().fit(x, y)


def _nsga2(
    predict: Callable[[np.ndarray], np.ndarray],
    sizes: np.ndarray,
    known: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """The last population, the best and most apart first."""
    population = np.vstack([known, rng.integers(sizes, size=(POPULATION, len(sizes)))])
    population = _select(population, predict)[:POPULATION]
    for _ in range(INNER_GENERATIONS):
        parents = population[rng.integers(len(population), size=(2, POPULATION, 2)).min(axis=2)]
        children = np.where(rng.random(parents[0].shape) < 0.5, parents[0], parents[1])
        mutate = rng.random(children.shape) < 1 / len(sizes)
        children = np.where(mutate, rng.integers(sizes, size=children.shape), children)
        population = _select(np.vstack([population, children]), predict)[:POPULATION]
    return population


def _select(codes: np.ndarray, predict: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """By non-dominated rank, then by crowding distance."""
    codes = np.unique(codes, axis=0)
    values = predict(codes)
    ranks = pareto_rank(values[:, 0], -values[:, 1], np.zeros(len(codes)))
    crowding = np.zeros(len(codes))
    for rank in np.unique(ranks):
        members = np.flatnonzero(ranks == rank)
        for column in values[members].T:
            order = np.argsort(column)
            gaps = np.full(len(members), np.inf)
            width = max(float(np.ptp(column)), 1e-12)
            gaps[order[1:-1]] = (column[order[2:]] - column[order[:-2]]) / width
            crowding[members] += gaps
    return codes[np.lexsort((-crowding, ranks))]
