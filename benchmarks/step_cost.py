"""Where the time of one env step goes, on the embedded simulator and through the real carla client.

    python benchmarks/step_cost.py [--scenario lane_following] [--steps 500] [--rounds 4]

Two envs take turns, so that a busy machine slows both: one with the client in this process, whose parts are timed, and
one with a client process of its own, which takes longer by the transfer between the processes. Prints a Markdown table
of the first, part by part, and the processor time that the processes of the second use (Linux). Resets are not counted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from sb3_carla import CarlaEnv
from sb3_carla.envs import task as driving
from sb3_carla.envs.pursuit import PursuitDriver

TICK = "server: the tick, until the client has its snapshot"
PICTURE = "server: what is left of the picture's time then"
SENDING = "client: sending the controls"
TASK = "client: poses, lane, info"
REWARD = "reward and episode's end"
OBSERVATION = "observation"
ENV = "env: stacking frames, checking actions"
TRANSFER = "transfer between trainer and client process"


class Stopwatch:
    """Sums up the time that functions take, without that of timed functions which they call."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inner = [0.0]  # time in timed functions, for each one under way

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, with its time counted for a part."""

        def call(*arguments: Any, **named: Any) -> Any:
            self._inner.append(0.0)
            begin = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                passed = time.perf_counter() - begin
                self.seconds[part] += passed - self._inner.pop()
                self._inner[-1] += passed

        return call


def watch(env: CarlaEnv) -> Stopwatch:
    """Time the parts of an env whose client is in this process."""
    watch = Stopwatch()
    task = env._client._task  # type: ignore[union-attr]
    task.client.tick = watch.timed(TICK, task.client.tick)
    task.ego.apply_control = watch.timed(SENDING, task.ego.apply_control)
    sensor = task._ego._camera._sensor
    sensor.at_frame = watch.timed(PICTURE, sensor.at_frame)
    task._parts = watch.timed(OBSERVATION, task._parts)
    task._event = watch.timed(REWARD, task._event)
    driving.reward_terms = watch.timed(REWARD, driving.reward_terms)  # type: ignore[attr-defined]
    task.step = watch.timed(TASK, task.step)
    env.step = watch.timed(ENV, env.step)  # type: ignore[method-assign]
    return watch


class Drive:
    """An env and its driver, one round after the other."""

    def __init__(self, env: CarlaEnv) -> None:
        self.env, self._driver = env, PursuitDriver()
        self._observation, _ = env.reset()

    def seconds_per_step(self, steps: int) -> float:
        """Drive so many steps; the time of the steps alone."""
        passed = 0.0
        for _ in range(steps):
            action = self._driver.predict(self._observation)[0]
            begin = time.perf_counter()
            self._observation, _, terminated, truncated, _ = self.env.step(action)
            passed += time.perf_counter() - begin
            if terminated or truncated:
                self._observation, _ = self.env.reset()
        return passed / steps


def processor_time(pid: int) -> float:
    """Processor time that all threads of a process have used [s] (Linux)."""
    threads = os.listdir(f"/proc/{pid}/task")
    return sum(int(open(f"/proc/{pid}/task/{one}/schedstat").read().split()[0]) for one in threads) * 1e-9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", default="lane_following")
    parser.add_argument("--steps", type=int, default=500, help="env steps per round and env")
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    inside = Drive(CarlaEnv(scenario=options.scenario, seed=0, observation="dict", isolated=False))
    outside = Drive(CarlaEnv(scenario=options.scenario, seed=0, observation="dict"))
    pids = {"trainer": os.getpid(), "client": outside.env.client_pid, "server": outside.env.server_pid}
    clock = watch(inside.env)
    parts: dict[str, list[float]] = {}
    used: dict[str, list[float]] = {}
    for _ in range(options.rounds):
        clock.seconds.clear()
        inner = inside.seconds_per_step(options.steps)
        before = {name: processor_time(pid) for name, pid in pids.items() if pid is not None}
        outer = outside.seconds_per_step(options.steps)
        for name, earlier in before.items():
            used.setdefault(name, []).append((processor_time(pids[name] or 0) - earlier) / options.steps)
        for part in (TICK, PICTURE, SENDING, TASK, REWARD, OBSERVATION, ENV):
            parts.setdefault(part, []).append(clock.seconds[part] / options.steps)
        parts.setdefault(TRANSFER, []).append(outer - inner)
        parts.setdefault("one step", []).append(outer)
    inside.env.close()
    outside.env.close()
    whole = statistics.median(parts["one step"])
    print(f"| {options.scenario:52s} | {'us/step':>8s} | {'share':>6s} |\n|{'-' * 54}|{'-' * 9}:|{'-' * 7}:|")
    for part, seconds in parts.items():
        cost = statistics.median(seconds)
        print(f"| {part:52s} | {1e6 * cost:8.0f} | {cost / whole:6.0%} |")
    medians = ", ".join(f"{name} {1e6 * statistics.median(seconds):.0f}" for name, seconds in used.items())
    print(f"\nProcessor time, us/step: {medians}")


if __name__ == "__main__":
    main()
