"""Runs on a known surface, with noise."""

import numpy as np

from planner.laws.runs import Array, Runs


def surface(params: Array, tokens: Array, floor: float = 1.7) -> Array:
    return np.asarray(floor + 480.0 / params**0.35 + 2100.0 / tokens**0.37)


def runs(*, floor: float = 1.7, noise: float = 0.004, seed: int = 0, low: float = 18.0, high: float = 20.0) -> Runs:
    random = np.random.default_rng(seed)
    flops = np.repeat(10.0 ** np.linspace(low, high, 5), 7)
    params = np.sqrt(flops / 120.0) * np.tile(2.0 ** np.linspace(-2.2, 2.2, 7), 5)
    tokens = flops / 6.0 / params
    loss = surface(params, tokens, floor) * np.exp(noise * random.standard_normal(len(flops)))
    return Runs(params, tokens, loss, flops)


def scaled(of: Runs, *, params: float = 1.0, tokens: float = 1.0, loss: float = 1.0) -> Runs:
    return Runs(of.params * params, of.tokens * tokens, of.loss * loss, of.flops * params * tokens)
