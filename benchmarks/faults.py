"""What CarlaEnv makes of every fault of a server's life, injected again and again in a training.

    python benchmarks/faults.py [--times 50] [--only NAME ...] [--out faults.json]

Each fault hits an SB3 training that collects transitions (SAC, no gradient steps): at a drawn step, or at a drawn
moment of a reset. The table says how often it was injected, how often the training went on, how many steps were lost by
it, how many terminal states the replay buffer then holds that nobody drove into, and what was left behind on the
machine and in the world. A finished fault is kept in the file and not repeated: the command can be interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from fault_proxy import FaultProxy
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import BaseCallback

from sb3_carla import CarlaEnv
from sb3_carla.envs import carla_env
from sb3_carla.simulator import EmbeddedServer

STEPS = 12  # env steps from one injection to the next
EPISODE = 8  # env steps of an episode, so that resets are frequent
RESET_SECONDS = 0.6  # within which a moment of a reset is drawn
SLOW_SECONDS = 1.0
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


def misbehave(mode: str) -> Callable[[CarlaEnv, FaultProxy], None]:
    def inject(env: CarlaEnv, proxy: FaultProxy) -> None:
        proxy.mode = mode

    return inject


def refuse(env: CarlaEnv, proxy: FaultProxy) -> None:
    proxy.refuse()
    threading.Timer(SLOW_SECONDS, proxy.listen).start()


# name: (in a reset, inject)
PROCESS_FAULTS: dict[str, tuple[bool, Callable[[CarlaEnv], None]]] = {
    "server killed in a step": (False, lambda env: send(env.server_pid, signal.SIGKILL)),
    "server killed in a reset": (True, lambda env: send(env.server_pid, signal.SIGKILL)),
    "server hangs in a step": (False, lambda env: send(env.server_pid, signal.SIGSTOP)),
    "server hangs in a reset": (True, lambda env: send(env.server_pid, signal.SIGSTOP)),
    "server slow for a second": (False, pause),
    "client aborts in a step": (False, lambda env: send(env.client_pid, signal.SIGABRT)),
    "client aborts in a reset": (True, lambda env: send(env.client_pid, signal.SIGABRT)),
    "client hangs in a step": (False, lambda env: send(env.client_pid, signal.SIGSTOP)),
}
LINK_FAULTS: dict[str, Callable[[CarlaEnv, FaultProxy], None]] = {
    "answers lost": misbehave("silent"),
    "garbage for answers": misbehave("garbage"),
    "connection closed": misbehave("close"),
    "connection refused for a second": refuse,
    "link 20 ms slow": misbehave("delay"),
}


class Injector(BaseCallback):
    """Injects a fault every :data:`STEPS` steps and notes what the env said."""

    def __init__(self, inject: Callable[[], None], mend: Callable[[], None], in_reset: bool, times: int) -> None:
        super().__init__()
        self.inject, self.mend, self.in_reset, self.times = inject, mend, in_reset, times
        self.injected = 0
        self.lost: list[int] = []  # steps
        self._rng = np.random.default_rng(0)
        self._next = STEPS

    def _on_step(self) -> bool:
        info, done = self.locals["infos"][0], self.locals["dones"][0]
        if "carla" in info and "metrics" not in info:
            self.lost.append(self.n_calls)
        due = self.n_calls >= self._next and self.injected < self.times
        if due and (not self.in_reset or self.n_calls % EPISODE == EPISODE - 1 or done):
            self.injected += 1
            self._next = self.n_calls + STEPS
            if self.in_reset:  # the step that follows ends the episode: the reset is under way soon
                threading.Timer(float(self._rng.uniform(0.0, RESET_SECONDS)), self.inject).start()
            else:
                self.inject()
                threading.Timer(2.0 * SLOW_SECONDS, self.mend).start()
        return True


def training(env: CarlaEnv, injector: Injector) -> dict[str, int]:
    """Train until every fault was injected; the counts."""
    steps = (injector.times + 2) * (STEPS + EPISODE)
    model = SAC("CnnPolicy", env, buffer_size=steps + 1, learning_starts=steps + 1, seed=0)
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
    in_reset, inject = PROCESS_FAULTS[name]
    env = CarlaEnv(seed=0, image_size=36, max_episode_steps=EPISODE, npc_vehicles=2)
    counts = training(env, Injector(lambda: inject(env), lambda: None, in_reset, times))
    env.close()
    return {**counts, "processes left": children(), "actors left": 0}  # the world ended with its server


def link_fault(name: str, times: int) -> dict[str, int]:
    with EmbeddedServer() as server:
        proxy = FaultProxy(server.port)

        def mend() -> None:
            proxy.mode = "pass"

        env = CarlaEnv(f"127.0.0.1:{proxy.port}", seed=0, image_size=36, max_episode_steps=EPISODE, npc_vehicles=2)
        counts = training(env, Injector(lambda: LINK_FAULTS[name](env, proxy), mend, False, times))
        mend()
        env.close()
        command = [sys.executable, "-c", COUNT_ACTORS, str(server.port)]
        actors = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        return {**counts, "processes left": children() - 1, "actors left": int(actors)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=50, help="injections per fault")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="faults whose name holds one of these words")
    parser.add_argument("--out", type=Path, default=Path("faults.json"))
    options = parser.parse_args()
    logging.getLogger("sb3_carla").setLevel(logging.ERROR)
    carla_env.STEP_TIMEOUT, carla_env.RESET_TIMEOUT = 3.0, 15.0  # a hung server must not take the night
    done = json.loads(options.out.read_text()) if options.out.exists() else {}
    for name in [*PROCESS_FAULTS, *LINK_FAULTS]:
        if options.only and not any(word in name for word in options.only):
            continue
        if done.get(name, {}).get("injected", 0) < options.times:
            begin = time.monotonic()
            run = process_fault if name in PROCESS_FAULTS else link_fault
            done[name] = {**run(name, options.times), "seconds": round(time.monotonic() - begin)}
            options.out.write_text(json.dumps(done, indent=1))
        print(f"{name}: {done[name]}", flush=True)
    columns = ["injected", "survived", "steps lost", "invented terminals", "processes left", "actors left"]
    print(f"\n| fault | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for name, counts in done.items():
        print(f"| {name} | {' | '.join(str(counts[column]) for column in columns)} |")


if __name__ == "__main__":
    main()
