"""How many steps per second the embedded simulator makes through the real carla client, in synchronous mode.

    python benchmarks/simulator_ticks.py [--seconds 5] [--map Town_Blocks] [--only NAME ...]

Prints what a step costs against actors, sensors and the picture's size, as a Markdown table: steps per second, and the
processor time per step of the server and of the client. Each case
gets a new server, and a client process that ends without clean-up: the client's threads do not survive a normal exit.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from typing import Any, NamedTuple

from sb3_carla.simulator import EmbeddedServer


class Case(NamedTuple):
    """What is in the world while it is timed."""

    title: str
    image: tuple[int, int] | None  # size of one rgb camera [pixels]
    npcs: int  # driven by the traffic manager
    lidar: bool = False  # one ray-cast lidar with CARLA's usual attributes, a full turn per step


CASES = {
    "vehicle": Case("one car", None, 0),
    "camera": Case("one car, camera 84x84", (84, 84), 0),
    "camera256": Case("one car, camera 256x256", (256, 256), 0),
    "camera800": Case("one car, camera 800x600", (800, 600), 0),
    "lidar": Case("one car, lidar", None, 0, lidar=True),
    "traffic": Case("one car, camera 84x84, 20 NPCs", (84, 84), 20),
    "traffic100": Case("one car, camera 84x84, 100 NPCs", (84, 84), 100),
    "traffic800": Case("one car, camera 800x600, 20 NPCs", (800, 600), 20),
    "traffic_lidar": Case("one car, lidar, 20 NPCs", None, 20, lidar=True),
}
_WARM_UP = 100  # steps before the clock starts


def measure(case: Case, port: int, server_pid: int, seconds: float) -> dict[str, float]:
    """Drive one case; runs in the client process."""
    import queue

    import carla

    client = carla.Client("127.0.0.1", port)
    client.set_timeout(20.0)
    world = client.get_world()
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
    world.apply_settings(settings)
    library, points = world.get_blueprint_library(), world.get_map().get_spawn_points()
    ego = world.spawn_actor(library.find("vehicle.tesla.model3"), points[0])
    measured: queue.SimpleQueue[Any] = queue.SimpleQueue()
    mount = carla.Transform(carla.Location(x=1.5, z=2.4))
    attributes = {}
    if case.image is not None:
        attributes["sensor.camera.rgb"] = {"image_size_x": case.image[0], "image_size_y": case.image[1]}
    if case.lidar:
        attributes["sensor.lidar.ray_cast"] = {"rotation_frequency": 20}
    sensors = []
    for name, values in attributes.items():
        blueprint = library.find(name)
        for attribute, value in values.items():
            blueprint.set_attribute(attribute, str(value))
        sensors.append(world.spawn_actor(blueprint, mount, attach_to=ego))
        sensors[-1].listen(measured.put)
    if case.npcs:
        manager = client.get_trafficmanager(free_port())
        manager.set_synchronous_mode(True)
        manager.set_random_device_seed(1)
        far_apart = [point for point in points[1:] if point.location.distance(points[0].location) > 10.0]
        for point in far_apart[:: max(1, len(far_apart) // case.npcs)][: case.npcs]:
            npc = world.try_spawn_actor(library.find("vehicle.audi.tt"), point)
            if npc is not None:
                npc.set_autopilot(True, manager.get_port())
        ego.set_autopilot(True, manager.get_port())

    def step(number: int) -> None:
        if not case.npcs:
            ego.apply_control(carla.VehicleControl(throttle=0.4, steer=0.001 * (number % 7)))
        frame = world.tick()
        while sensors and measured.get(timeout=10.0).frame < frame:
            pass

    for number in range(_WARM_UP):
        step(number)
    server_before, client_before, began = cpu_time(server_pid), time.process_time(), time.perf_counter()
    steps = 0
    while time.perf_counter() - began < seconds:
        step(steps)
        steps += 1
    passed = time.perf_counter() - began
    return {
        "rate": steps / passed,
        "server_us": 1e6 * (cpu_time(server_pid) - server_before) / steps,
        "client_us": 1e6 * (time.process_time() - client_before) / steps,
    }


def free_port() -> int:
    """A port that nobody listens on, for the traffic manager."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def cpu_time(pid: int) -> float:
    """Processor time that a process has used [s] (Linux)."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="per case")
    parser.add_argument("--map", default="Town_Blocks")
    parser.add_argument("--only", choices=CASES, nargs="+", metavar="NAME", help=f"some of: {', '.join(CASES)}")
    parser.add_argument("--client", nargs=2, metavar=("PORT", "PID"), type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        port, pid = options.client
        result = measure(CASES[options.only[0]], port, pid, options.seconds)
        print(json.dumps(result), flush=True)
        os._exit(0)  # a live traffic manager may abort the process at a normal exit
    print(f"| {'case':32s} | {'steps/s':>8s} | {'server us/step':>14s} | {'client us/step':>14s} |")
    print(f"|{'-' * 34}|{'-' * 9}:|{'-' * 15}:|{'-' * 15}:|", flush=True)
    for name in options.only or CASES:
        with EmbeddedServer(options.map) as server:
            command = [sys.executable, __file__, "--only", name, "--seconds", str(options.seconds)]
            command += ["--client", str(server.port), str(server.pid)]
            done = subprocess.run(command, stdout=subprocess.PIPE, timeout=120.0 + options.seconds)
        if done.returncode:
            print(f"| {CASES[name].title:32s} | failed: the client ended with status {done.returncode} |")
            continue
        result = json.loads(done.stdout.splitlines()[-1])
        figures = f"{result['rate']:8.0f} | {result['server_us']:14.0f} | {result['client_us']:14.0f}"
        print(f"| {CASES[name].title:32s} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
