"""A long run: synchronous ticks with traffic, a camera and resets; does it ever hang, and does memory stay flat?

    python benchmarks/soak.py [--ticks 200000] [--npcs 20] [--reset-every 1000] [--every 5000] [--map Town_Blocks]

The real client drives: one car with a camera, and other cars under the real traffic manager. A reset destroys and
spawns all of them anew, every tenth loads the world again. Prints a line every so many ticks: rate, memory of the
server and of the client, what went wrong so far. Exit status 1 when a call failed, a picture did not come with its
tick, or the server's memory has grown by more than ``--allowed`` [MB] since the first tenth of the run.
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

from sb3_carla.simulator import EmbeddedServer

RELOAD_EVERY = 10  # resets
TRAFFIC_MANAGER_PORT = 18_650


def memory(pid: int) -> float:
    """What a process holds [MB]."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS:"))


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
    parser.add_argument("--allowed", type=float, default=30.0, help="growth of the server's memory [MB]")
    parser.add_argument("--map", default="Town_Blocks")
    arguments = parser.parse_args()
    wrong: list[str] = []
    base = 0.0
    with EmbeddedServer(arguments.map) as server:
        assert server.pid is not None
        client = carla.Client(server.host, server.port)
        client.set_timeout(30.0)
        client.get_world()
        traffic = Traffic(client, arguments.npcs)
        started = told = time.monotonic()
        print(f"{'ticks':>9s} {'ticks/s':>8s} {'server MB':>10s} {'client MB':>10s} {'faults':>7s}", flush=True)
        done = 0
        while done < arguments.ticks and len(wrong) < 20:
            try:
                if done % arguments.reset_every == 0:
                    traffic.reset(reload=done // arguments.reset_every % RELOAD_EVERY == RELOAD_EVERY - 1)
                if not traffic.tick(done):
                    wrong.append(f"tick {done}: the picture is of another frame")
            except (RuntimeError, queue.Empty) as error:
                wrong.append(f"tick {done}: {error!r}")
            done += 1
            if done == max(arguments.ticks // 10, 1):
                base = memory(server.pid)
            if done % arguments.every == 0:
                now = time.monotonic()
                rate, told = arguments.every / (now - told), now
                print(
                    f"{done:9d} {rate:8.0f} {memory(server.pid):10.1f} {memory(os.getpid()):10.1f} {len(wrong):7d}",
                    flush=True,
                )
        growth = memory(server.pid) - base if server.is_alive() else float("nan")
        state = "alive" if server.is_alive() else "DEAD"
        print(
            f"{done} ticks in {time.monotonic() - started:.0f} s, faults: {len(wrong)}, "
            f"server's memory since the first tenth: {growth:+.1f} MB, server {state}"
        )
        for one in wrong[:5]:
            print(f"  {one}")
        good = not wrong and growth <= arguments.allowed
        # The client's traffic manager must be gone before its server is.
        traffic.manager.shut_down()
        sys.stdout.flush()
    os._exit(0 if good else 1)  # the client's threads do not always end by themselves


if __name__ == "__main__":
    main()
