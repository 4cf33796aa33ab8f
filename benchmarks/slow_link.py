"""CarlaEnv on a server that is far away: how long things take, and whether anything is lost.

    python benchmarks/slow_link.py [--round-trips 0 20 100] [--npcs 0 5] [--steps 50]

Both ports of an embedded server are put behind a link that delays every byte in both directions; more can be under way
meanwhile, as on a long cable. The table: seconds to open the env and to begin an episode, milliseconds per step, and
in how many of the steps the env gave its server up.
"""

from __future__ import annotations

import argparse
import logging
import time

import numpy as np
from fault_proxy import Link

from sb3_carla import CarlaEnv
from sb3_carla.simulator import EmbeddedServer

THROTTLE = np.array([0.0, 0.4], np.float32)


def measure(round_trip: float, npcs: int, steps: int) -> tuple[float, float, float, int]:
    """One row of the table."""
    with EmbeddedServer() as server:
        link = Link(server.port, server.stream_port, round_trip)
        marks = [time.perf_counter()]
        env = CarlaEnv(link.address, seed=0, npc_vehicles=npcs)
        marks.append(time.perf_counter())
        env.reset()
        marks.append(time.perf_counter())
        driven, lost = 0.0, 0
        for _ in range(steps):
            begin = time.perf_counter()
            *_, terminated, truncated, info = env.step(THROTTLE)
            driven += time.perf_counter() - begin
            lost += "carla" in info
            if terminated or truncated:
                env.reset()
        env.close()
        link.close()
    return marks[1] - marks[0], marks[2] - marks[1], driven / steps * 1e3, lost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--round-trips", type=float, nargs="+", default=[0.0, 20.0, 100.0], metavar="MS")
    parser.add_argument("--npcs", type=int, nargs="+", default=[0, 5])
    parser.add_argument("--steps", type=int, default=50)
    options = parser.parse_args()
    logging.getLogger("sb3_carla").setLevel(logging.ERROR)
    print("| round trip [ms] | NPCs | open [s] | reset [s] | step [ms] | steps lost |\n|---|---|---|---|---|---|")
    for round_trip in options.round_trips:
        for npcs in options.npcs:
            opened, reset, step, lost = measure(round_trip / 1e3, npcs, options.steps)
            print(f"| {round_trip:g} | {npcs} | {opened:.1f} | {reset:.1f} | {step:.0f} | {lost} |", flush=True)


if __name__ == "__main__":
    main()
