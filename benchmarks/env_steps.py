"""Env steps per second of CarlaEnv on the embedded simulator, through the real carla client.

    python benchmarks/env_steps.py [--steps 2000] [--rounds 3]

The scenarios are measured in turn, several rounds, so that a busy machine slows all of them; the table shows the
median and the range over the rounds. The env is as users make it, with its picture alone as observation; the actions
are those of a driver that keeps the lane, so that resets are rare, as with a trained policy. They were noted before, on
an env with the same seed that tells the driver where the lane is, so neither that nor the driver's time counts.
The cost of a step grows with the number of NPC vehicles (traffic manager, physics, drawing) and with the picture's
pixels.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

from sb3_carla import CarlaEnv
from sb3_carla.envs.pursuit import PursuitDriver

CASES: dict[str, dict[str, Any]] = {
    "lane_following": {},
    "lane_following, isolated=False": {"isolated": False},
    "light_traffic": {"scenario": "light_traffic"},
}


def noted_actions(steps: int, **arguments: Any) -> list[Any]:
    """What the driver does from the first reset on."""
    env, driver, actions = CarlaEnv(seed=0, observation="dict", **arguments), PursuitDriver(), []
    observation, _ = env.reset()
    for _ in range(steps):
        actions.append(driver.predict(observation)[0])
        observation, _, terminated, truncated, _ = env.step(actions[-1])
        if terminated or truncated:
            observation, _ = env.reset()
    env.close()
    return actions


def steps_per_second(actions: list[Any], **arguments: Any) -> float:
    env = CarlaEnv(seed=0, **arguments)
    env.reset()
    begin = time.perf_counter()
    for action in actions:
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    rate = len(actions) / (time.perf_counter() - begin)
    env.close()
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000, help="env steps per round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    actions = {name: noted_actions(options.steps, **arguments) for name, arguments in CASES.items()}
    rates: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(options.rounds):
        for name, arguments in CASES.items():
            rates[name].append(steps_per_second(actions[name], **arguments))
    print(f"{'case':34s} {'env steps/s':>12s} {'range':>15s}")
    for name, values in rates.items():
        print(f"{name:34s} {statistics.median(values):12.0f} {min(values):9.0f}-{max(values):.0f}")


if __name__ == "__main__":
    main()
