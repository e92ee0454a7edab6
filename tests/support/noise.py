"""Latencies as a shared machine gives them: runs that resemble their neighbours, drift, wandering, bursts of others."""

import numpy as np

KINDS = ("calm", "drift", "wander", "bursts")
USUAL_MS = 10.0


def noisy_rounds(
    rng: np.random.Generator, kind: str, *, cases: int = 2, rounds: int = 20, runs: int = 40
) -> np.ndarray:
    """Milliseconds by case, round and run, of equally fast cases that run interleaved."""
    levels = rng.normal(0, 0.006, (cases, rounds))
    moments = np.zeros(rounds * cases)
    if kind == "drift":
        moments += np.linspace(0, rng.normal(0, 0.15), moments.size)
    if kind == "wander":
        moments += autocorrelated(rng, (moments.size,), 0.9, 0.01)
    in_turns = moments.reshape(rounds, cases)
    in_turns[1::2] = in_turns[1::2, ::-1]
    levels += in_turns.T
    if kind == "bursts":
        levels += np.where(rng.random(levels.shape) < 0.3, rng.exponential(0.6, levels.shape), 0)
    inside = autocorrelated(rng, (cases, rounds, runs), 0.7, 0.01)
    spikes = np.where(rng.random(inside.shape) < 0.02, rng.exponential(0.5, inside.shape), 0)
    return np.asarray(USUAL_MS * np.exp(levels[..., None] + inside + spikes))


def autocorrelated(rng: np.random.Generator, shape: tuple[int, ...], memory: float, size: float) -> np.ndarray:
    """AR(1) along the last axis, begun where it settles."""
    shocks = rng.normal(0, size, shape)
    shocks[..., 0] /= np.sqrt(1 - memory**2)
    for index in range(1, shape[-1]):
        shocks[..., index] += memory * shocks[..., index - 1]
    return np.asarray(shocks)
