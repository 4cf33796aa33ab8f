"""Env steps per second with several environments at once, and beside other driving environments.

    pip install highway-env
    python benchmarks/compare_envs.py [--steps 500] [--rounds 5] [--envs 1 2 4] [--only scaling others]

The first table: CarlaEnv alone, and :func:`make_carla_vec_env` with 1, 2 and 4 environments, each with a server and a
client process of its own. The second: CarlaEnv beside the image observation of highway-env; both give the same stack of
four 84x84 grey pictures, take two continuous actions and simulate 1/20 s in a step. What they simulate differs:
CarlaEnv draws a town in perspective, with NPCs under CARLA's traffic manager; highway-env draws a straight road from
above.

All cases are measured in turn, several rounds, so that a busy machine slows all of them; the ratio is that of each
round, of which the table shows the median and the range. The actions are a fixed light throttle; resets count.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

from sb3_carla import CarlaEnv
from sb3_carla.vec_env import make_carla_vec_env

SHAPE = (4, 84, 84)
TICKS_PER_SECOND = 20
Measure = Callable[[int], float]  # env steps per second, of all environments together


def steps_per_second(env: gym.Env[Any, Any], action: Any, steps: int) -> float:
    observation, _ = env.reset(seed=0)
    assert observation.shape == SHAPE, f"{env} shows {observation.shape}"
    begin = time.perf_counter()
    for _ in range(steps):
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    return steps / (time.perf_counter() - begin)


def carla(scenario: str) -> Measure:
    def measure(steps: int) -> float:
        env = CarlaEnv(scenario=scenario, seed=0)
        rate = steps_per_second(env, np.array([0.0, 0.3], np.float32), steps)
        env.close()
        return rate

    return measure


def several(n_envs: int) -> Measure:
    def measure(steps: int) -> float:
        envs = make_carla_vec_env(n_envs, seed=0)
        envs.reset()
        actions = np.tile(np.array([0.0, 0.3], np.float32), (n_envs, 1))
        begin = time.perf_counter()
        for _ in range(steps):
            envs.step(actions)
        rate = n_envs * steps / (time.perf_counter() - begin)
        envs.close()
        return rate

    return measure


def highway(others: int) -> Measure:
    import highway_env

    gym.register_envs(highway_env)
    config = {
        "observation": {
            "type": "GrayscaleObservation",
            "observation_shape": SHAPE[1:],
            "stack_size": SHAPE[0],
            "weights": [0.2989, 0.5870, 0.1140],
            "scaling": 1.75,
        },
        "action": {"type": "ContinuousAction"},
        "vehicles_count": others,
        "simulation_frequency": TICKS_PER_SECOND,
        "policy_frequency": TICKS_PER_SECOND,
        "offscreen_rendering": True,
    }

    def measure(steps: int) -> float:
        env = gym.make("highway-v0", config=config)
        rate = steps_per_second(env, np.array([0.3, 0.0], np.float32), steps)
        env.close()
        return rate

    return measure


def others() -> dict[str, Measure]:
    """CarlaEnv and highway-env, without and with traffic."""
    cases = {"CarlaEnv lane_following": carla("lane_following")}
    try:
        cases["highway-env, empty road"] = highway(0)
        cases["highway-env, 50 vehicles"] = highway(50)
    except ImportError:
        raise SystemExit("highway-env is not installed. Say pip install highway-env, or --only scaling.") from None
    cases["CarlaEnv medium_traffic, 50 NPCs"] = carla("medium_traffic")
    return cases


def table(cases: dict[str, Measure], steps: int, rounds: int) -> None:
    """Measure all in turn and print rates, and ratios to the first."""
    rates: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds):
        for name, measure in cases.items():
            rates[name].append(measure(steps))
            print(f"  round {number + 1}, {name}: {rates[name][-1]:.0f}", file=sys.stderr, flush=True)
    first = next(iter(rates.values()))
    print("| | env steps/s, median | range | of the first |\n|---|---|---|---|")
    for name, values in rates.items():
        ratios = [value / base for value, base in zip(values, first, strict=True)]
        spread = f"{min(values):.0f}-{max(values):.0f}"
        ratio = f"x {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        print(f"| {name} | {statistics.median(values):.0f} | {spread} | {ratio} |")
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=500, help="env steps per case and round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--envs", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--only", nargs="+", choices=("scaling", "others"), default=["scaling", "others"])
    options = parser.parse_args()
    logging.getLogger("sb3_carla").setLevel(logging.ERROR)
    if "scaling" in options.only:
        cases = {f"{n} in make_carla_vec_env": several(n) for n in options.envs}
        table({"CarlaEnv": carla("lane_following"), **cases}, options.steps, options.rounds)
    if "others" in options.only:
        table(others(), options.steps, options.rounds)


if __name__ == "__main__":
    main()
