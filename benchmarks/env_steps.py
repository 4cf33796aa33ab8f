"""Env steps per second of CarlaEnv on the embedded simulator, through the real carla client.

    python benchmarks/env_steps.py [--steps 2000] [--rounds 3]

The scenarios are measured in turn, several rounds, so that a busy machine slows all of them; the table shows the
median and the range over the rounds. Actions are those of a driver that keeps the lane, so that resets are rare, as
with a trained policy. The cost of a step grows with the number of NPC vehicles (traffic manager, physics, drawing) and
with the picture's pixels.
"""

from __future__ import annotations

import argparse
import statistics
import time

import gymnasium as gym

from sb3_carla import CarlaEnv
from sb3_carla.envs.pursuit import PursuitDriver

CASES = {
    "lane_following": {},
    "lane_following, isolated=False": {"isolated": False},
    "light_traffic": {"scenario": "light_traffic"},
}


def steps_per_second(env: gym.Env, steps: int) -> float:
    driver = PursuitDriver()
    observation, _ = env.reset()
    begin = time.perf_counter()
    for _ in range(steps):
        observation, _, terminated, truncated, _ = env.step(driver.predict(observation)[0])
        if terminated or truncated:
            observation, _ = env.reset()
    return steps / (time.perf_counter() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000, help="env steps per round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rates: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(options.rounds):
        for name, arguments in CASES.items():
            env = CarlaEnv(seed=0, observation="dict", **arguments)
            rates[name].append(steps_per_second(env, options.steps))
            env.close()
    print(f"{'case':34s} {'env steps/s':>12s} {'range':>15s}")
    for name, values in rates.items():
        print(f"{name:34s} {statistics.median(values):12.0f} {min(values):9.0f}-{max(values):.0f}")


if __name__ == "__main__":
    main()
