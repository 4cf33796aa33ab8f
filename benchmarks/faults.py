"""What CarlaEnv makes of every fault of a server's life, injected again and again in a training.

    python benchmarks/faults.py [--times 50] [--only NAME ...] [--jobs 3] [--patience 1] [--out faults.json]

Each fault hits an SB3 training that collects transitions (SAC, no gradient steps), at a drawn moment of a step or of a
reset. The table says how often it was injected, how often the training went on, how many steps were lost by it, how
many terminal states the replay buffer then holds that nobody drove into, and what was left behind on the machine and in
the world. A finished fault is kept in the file and not repeated: the command can be interrupted. Most of the time is
spent waiting for deadlines, so several faults run side by side. The deadlines are short; on a machine that is busy with
something else ``--patience`` makes them longer, or slow is taken for hung.

Exit status 1 when a training broke off, a terminal state was invented, or anything was left behind.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from fault_proxy import Link
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import BaseCallback

from sb3_carla import CarlaEnv
from sb3_carla.envs import CarlaEnvError, carla_env
from sb3_carla.simulator import EmbeddedServer

STEPS = 12  # env steps from one injection to the next
EPISODE = 8  # env steps of an episode, so that resets are frequent
SLOW_SECONDS = 1.0
DEADLINES = 2.0, 5.0  # [s] for a step and a reset: those of CarlaEnv would make the table take the night
NONE = ("invented terminals", "processes left", "actors left")
COLUMNS = ("injected", "survived", "steps lost", *NONE)
COUNT_ACTORS = """
import carla, os, sys
client = carla.Client("127.0.0.1", int(sys.argv[1])); client.set_timeout(10.0)
world = client.get_world()
if world.get_settings().synchronous_mode: world.tick()
else: world.wait_for_tick()
actors = world.get_actors()
print(len(actors.filter("vehicle.*")) + len(actors.filter("sensor.*"))); sys.stdout.flush(); os._exit(0)
"""


def send(pid: int | None, number: int) -> None:
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def pause(env: CarlaEnv) -> None:
    pid = env.server_pid
    send(pid, signal.SIGSTOP)
    threading.Timer(SLOW_SECONDS, send, (pid, signal.SIGCONT)).start()


def misbehave(mode: str) -> Callable[[Link], None]:
    def inject(link: Link) -> None:
        link.calls.mode = mode

    return inject


def drop_frame(link: Link) -> None:
    link.streams.mode = "drop"


def refuse(link: Link) -> None:
    link.calls.refuse()
    threading.Timer(SLOW_SECONDS, link.calls.listen).start()


# name: (call, inject)
PROCESS_FAULTS: dict[str, tuple[str, Callable[[CarlaEnv], None]]] = {
    "server killed in a step": ("step", lambda env: send(env.server_pid, signal.SIGKILL)),
    "server killed in a reset": ("reset", lambda env: send(env.server_pid, signal.SIGKILL)),
    "server hangs in a step": ("step", lambda env: send(env.server_pid, signal.SIGSTOP)),
    "server hangs in a reset": ("reset", lambda env: send(env.server_pid, signal.SIGSTOP)),
    "server slow for a second": ("step", pause),
    "client aborts in a step": ("step", lambda env: send(env.client_pid, signal.SIGABRT)),
    "client aborts in a reset": ("reset", lambda env: send(env.client_pid, signal.SIGABRT)),
    "client hangs in a step": ("step", lambda env: send(env.client_pid, signal.SIGSTOP)),
}
LINK_FAULTS: dict[str, Callable[[Link], None]] = {
    "camera frame lost": drop_frame,
    "answers lost": misbehave("silent"),
    "garbage for answers": misbehave("garbage"),
    "connection closed": misbehave("close"),
    "connection refused for a second": refuse,
    "link 20 ms slow": misbehave("delay"),
}


class Moments(gym.Wrapper):
    """Injects a fault at a drawn moment of the next step or reset, of which it knows how long they take."""

    def __init__(self, env: CarlaEnv) -> None:
        super().__init__(env)
        self._armed: dict[str, Callable[[], None]] = {}  # by the name of the call
        self._seconds: dict[str, list[float]] = {"reset": [], "step": []}
        self._rng = np.random.default_rng(0)

    def arm(self, call: str, inject: Callable[[], None]) -> None:
        """Inject in the next call of that name."""
        self._armed[call] = inject

    def reset(self, **options: Any) -> Any:
        """Begin an episode."""
        return self._timed("reset", lambda: self.env.reset(**options))

    def step(self, action: Any) -> Any:
        """Drive for one step."""
        return self._timed("step", lambda: self.env.step(action))

    def _timed(self, call: str, run: Callable[[], Any]) -> Any:
        inject = self._armed.pop(call, None)
        if inject is not None:
            moment = float(self._rng.uniform(0.0, np.median(self._seconds[call])))
            threading.Timer(moment, inject).start()
        begin = time.perf_counter()
        answer = run()
        if inject is None:
            self._seconds[call].append(time.perf_counter() - begin)
        return answer


class Injector(BaseCallback):
    """Arms a fault every :data:`STEPS` steps and notes what the env said.

    :param moments: the env
    :param call: in which of its calls
    :param inject: does harm
    :param mend: undoes it, some time later
    :param times: how often
    """

    def __init__(
        self, moments: Moments, call: str, inject: Callable[[], None], mend: Callable[[], None], times: int
    ) -> None:
        super().__init__()
        self.moments, self.call, self.inject, self.mend, self.times = moments, call, inject, mend, times
        self.injected = 0
        self.lost: list[int] = []  # steps
        self._next = STEPS

    def _on_step(self) -> bool:
        info = self.locals["infos"][0]
        if "carla" in info and "metrics" not in info:
            self.lost.append(self.n_calls)
        if self.n_calls >= self._next and self.injected < self.times:
            self._next = self.n_calls + STEPS
            self.moments.arm(self.call, self._inject)
        return True

    def _inject(self) -> None:
        self.injected += 1
        self.inject()
        threading.Timer(2.0 * SLOW_SECONDS, self.mend).start()


def training(injector: Injector) -> dict[str, int]:
    """Train until every fault was injected; the counts."""
    steps = (injector.times + 2) * STEPS
    model = SAC("CnnPolicy", injector.moments, buffer_size=steps + 1, learning_starts=steps + 1, seed=0)
    failure = 0
    try:
        model.learn(steps, callback=injector)
    except Exception as error:  # what must not happen: it is counted
        print(f"  the training broke off: {type(error).__name__}: {error}", file=sys.stderr)
        failure = 1
    buffer = model.replay_buffer
    rows = [step - 1 for step in injector.lost]
    invented = sum(bool(buffer.dones[row, 0]) and not bool(buffer.timeouts[row, 0]) for row in rows)
    return {
        "injected": injector.injected,
        "survived": injector.injected - failure,
        "steps lost": len(injector.lost),
        "invented terminals": invented,
    }


def children() -> int:
    listing = subprocess.run(["ps", "-eww", "-o", "ppid,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 1) for line in listing.splitlines()[1:]]
    return sum(int(parent) == os.getpid() and "sb3_carla." in text for parent, text in rows)


def process_fault(name: str, times: int) -> dict[str, int]:
    call, inject = PROCESS_FAULTS[name]
    env = CarlaEnv(seed=0, image_size=36, max_episode_steps=EPISODE, npc_vehicles=2)
    counts = training(Injector(Moments(env), call, lambda: inject(env), lambda: None, times))
    env.close()
    return {**counts, "processes left": children(), "actors left": 0}  # the world ended with its server


def link_fault(name: str, times: int) -> dict[str, int]:
    with EmbeddedServer() as server:
        link = Link(server.port, server.stream_port)

        def mend() -> None:
            link.calls.mode = link.streams.mode = "pass"

        env = CarlaEnv(link.address, seed=0, image_size=36, max_episode_steps=EPISODE, npc_vehicles=2)
        counts = training(Injector(Moments(env), "step", lambda: LINK_FAULTS[name](link), mend, times))
        mend()
        env.close()
        command = [sys.executable, "-c", COUNT_ACTORS, str(server.port)]
        actors = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        return {**counts, "processes left": children() - 1, "actors left": int(actors)}


def fault(name: str, times: int, patience: float) -> tuple[str, dict[str, int]]:
    """One row of the table, in a process of its own."""
    logging.getLogger("sb3_carla").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    carla_env.STEP_TIMEOUT, carla_env.RESET_TIMEOUT = (patience * seconds for seconds in DEADLINES)
    begin = time.monotonic()
    try:
        counts = (process_fault if name in PROCESS_FAULTS else link_fault)(name, times)
    except CarlaEnvError as error:  # before the training began: no row, and the other faults go on
        print(f"{name} could not be tried: {error}", file=sys.stderr)
        counts = dict.fromkeys(COLUMNS, 0)
    return name, {**counts, "seconds": round(time.monotonic() - begin)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=50, help="injections per fault")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="faults whose name holds one of these words")
    parser.add_argument("--jobs", type=int, default=3, help="faults at the same time")
    parser.add_argument("--patience", type=float, default=1.0, help="times the deadlines")
    parser.add_argument("--out", type=Path, default=Path("faults.json"))
    options = parser.parse_args()
    done: dict[str, dict[str, int]] = json.loads(options.out.read_text()) if options.out.exists() else {}
    names = [
        name
        for name in (*PROCESS_FAULTS, *LINK_FAULTS)
        if not options.only or any(word in name for word in options.only)
    ]
    due = [name for name in names if done.get(name, {}).get("injected", 0) < options.times]
    with multiprocessing.get_context("spawn").Pool(options.jobs, maxtasksperchild=1) as pool:
        for name, counts in pool.imap_unordered(
            partial(fault, times=options.times, patience=options.patience), due, chunksize=1
        ):
            done[name] = counts
            options.out.write_text(json.dumps(done, indent=1))
            print(f"{name}: {counts}", file=sys.stderr, flush=True)
    print(f"| fault | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}")
    for name in names:
        print(f"| {name} | {' | '.join(str(done[name][column]) for column in COLUMNS)} |")
    bad = [name for name in names if done[name]["survived"] < options.times or any(done[name][c] for c in NONE)]
    print(f"\nNot as it should be: {', '.join(bad) or 'none'}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
