"""A long run: synchronous ticks with traffic, a camera and resets; does it ever hang, and does memory stay flat?

    python benchmarks/soak.py [--ticks 200000] [--npcs 20] [--reset-every 1000] [--every 5000] [--map Town_Blocks]

The real client drives: one car with a camera, and other cars under the real traffic manager. A reset destroys and
spawns all of them anew, every tenth loads the world again. Prints a line every so many ticks: rate, memory of the
server and of the client, what went wrong so far.

The last lines say whether memory is flat, by this criterion: a straight line is fitted to the readings after the first
tenth of the run, and from its beginning to its end it rises by at most ``--allowed`` percent. The client's memory is
the wheel's affair, but it is judged in the same way. Exit status 1 when a call failed, a picture did not come with its
tick, or the server's memory is not flat. A soak is one server's one life: it cannot be resumed.
"""

from __future__ import annotations

import argparse
import os
import queue
import sys
import time
from pathlib import Path
from typing import Any

import carla
import numpy as np

from sb3_carla.simulator import EmbeddedServer

RELOAD_EVERY = 10  # resets
TRAFFIC_MANAGER_PORT = 18_650


def memory(pid: int) -> float:
    """What a process holds [MB]."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS:"))


def flatness(readings: list[tuple[int, float]], ticks: int, allowed: float) -> tuple[bool, str]:
    """Whether memory is flat, and the figures in words.

    :param readings: ticks done, and memory [MB] then
    :param ticks: of the whole run
    :param allowed: rise of the fitted line [%]
    """
    settled = np.array([reading for reading in readings if reading[0] > ticks / 10])
    if len(settled) < 5:
        return False, f"{len(settled)} readings after the first tenth are too few to say (give a smaller --every)"
    line = np.polyfit(*settled.T, 1)
    fitted = np.polyval(line, settled[[0, -1], 0])
    percent = 100.0 * (fitted[1] - fitted[0]) / fitted[0]
    flat = bool(percent <= allowed)
    return flat, (
        f"{'flat' if flat else 'NOT FLAT'}: {settled[0, 1]:.1f} to {settled[-1, 1]:.1f} MB, fitted {percent:+.2f} % "
        f"({line[0] * 1e5:+.2f} MB per 100 000 ticks), flat is at most {allowed:g} %"
    )


class Traffic:
    """The car with its camera, and the others.

    :param client: of the server
    :param npcs: how many others
    """

    def __init__(self, client: carla.Client, npcs: int):
        self.client = client
        self.npcs = npcs
        self.manager: Any = client.get_trafficmanager(TRAFFIC_MANAGER_PORT)
        self.manager.set_synchronous_mode(True)
        self.manager.set_random_device_seed(1)
        self.pictures: queue.Queue[int] = queue.Queue()
        self.vehicles: list[Any] = []
        self.camera: Any = None

    def reset(self, *, reload: bool) -> None:
        """Take everything away and put it up again."""
        if self.camera is not None:
            self.camera.stop()
            self.camera.destroy()
        for vehicle in self.vehicles[1:]:
            vehicle.set_autopilot(False, TRAFFIC_MANAGER_PORT)
        for vehicle in self.vehicles:
            vehicle.destroy()
        world = self.client.get_world()
        world.tick()
        if reload:
            world = self.client.reload_world(False)
        settings = world.get_settings()
        settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
        world.apply_settings(settings)
        library, places = world.get_blueprint_library(), world.get_map().get_spawn_points()
        models = [one for one in library.filter("vehicle.*") if one.get_attribute("base_type") == "car"]
        step = max(1, len(places) // (self.npcs + 1))
        self.vehicles = [
            world.spawn_actor(models[i % len(models)], place) for i, place in enumerate(places[::step][: self.npcs + 1])
        ]
        eye = library.find("sensor.camera.rgb")
        eye.set_attribute("image_size_x", "84")
        eye.set_attribute("image_size_y", "84")
        mount = carla.Transform(carla.Location(x=1.5, z=2.4))
        self.camera = world.spawn_actor(eye, mount, self.vehicles[0])
        self.pictures = queue.Queue()
        pictures = self.pictures
        self.camera.listen(lambda picture: pictures.put(picture.frame))
        world.tick()
        for vehicle in self.vehicles[1:]:
            vehicle.set_autopilot(True, TRAFFIC_MANAGER_PORT)
        self.world = world
        self.pictures.get(timeout=20.0)

    def tick(self, number: int) -> bool:
        """One tick; whether its picture came with it."""
        self.vehicles[0].apply_control(carla.VehicleControl(throttle=0.4, steer=0.2 if number % 200 < 100 else -0.2))
        frame = self.world.tick()
        return bool(self.pictures.get(timeout=20.0) == frame)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ticks", type=int, default=200_000)
    parser.add_argument("--npcs", type=int, default=20)
    parser.add_argument("--reset-every", type=int, default=1000)
    parser.add_argument("--every", type=int, default=5000, help="ticks from line to line")
    parser.add_argument("--allowed", type=float, default=3.0, help="rise of the fitted line that counts as flat [%%]")
    parser.add_argument("--map", default="Town_Blocks")
    arguments = parser.parse_args()
    wrong: list[str] = []
    held: dict[str, list[tuple[int, float]]] = {"server": [], "client": []}
    with EmbeddedServer(arguments.map) as server:
        assert server.pid is not None
        client = carla.Client(server.host, server.port)
        client.set_timeout(30.0)
        client.get_world()
        traffic = Traffic(client, arguments.npcs)
        started = told = time.monotonic()
        print(f"{'ticks':>9s} {'ticks/s':>8s} {'server MB':>10s} {'client MB':>10s} {'faults':>7s}", flush=True)
        done = 0
        while done < arguments.ticks and len(wrong) < 20 and server.is_alive():
            try:
                if done % arguments.reset_every == 0:
                    traffic.reset(reload=done // arguments.reset_every % RELOAD_EVERY == RELOAD_EVERY - 1)
                if not traffic.tick(done):
                    wrong.append(f"tick {done}: the picture is of another frame")
            except (RuntimeError, queue.Empty) as error:
                wrong.append(f"tick {done}: {error!r}")
            done += 1
            if done % arguments.every == 0 and server.is_alive():
                now = time.monotonic()
                rate, told = arguments.every / (now - told), now
                for name, pid in (("server", server.pid), ("client", os.getpid())):
                    held[name].append((done, memory(pid)))
                figures = [readings[-1][1] for readings in held.values()]
                print(f"{done:9d} {rate:8.0f} {figures[0]:10.1f} {figures[1]:10.1f} {len(wrong):7d}", flush=True)
        state = "alive" if server.is_alive() else "DEAD"
        print(f"{done} ticks in {time.monotonic() - started:.0f} s, faults: {len(wrong)}, server {state}")
        for one in wrong[:5]:
            print(f"  {one}")
        flat = True
        for name, readings in held.items():
            is_flat, words = flatness(readings, done, arguments.allowed)
            print(f"memory of the {name}: {words}")
            flat = flat and (is_flat or name == "client")
        good = not wrong and flat and server.is_alive()
        # The client's traffic manager must be gone before its server is.
        traffic.manager.shut_down()
        sys.stdout.flush()
    os._exit(0 if good else 1)  # the client's threads do not always end by themselves


if __name__ == "__main__":
    main()
