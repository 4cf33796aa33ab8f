from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import carla
import numpy as np
import pytest
from stable_baselines3.common.callbacks import BaseCallback

from sb3_carla import TD3, CarlaEnv
from sb3_carla.buffers import FrameReplayBuffer
from sb3_carla.envs import ConfigurationError, ServerUnavailableError
from sb3_carla.envs.client import require_same_version
from sb3_carla.envs.traffic import NPC_ROLE
from sb3_carla.simulator import EmbeddedServer

THROTTLE = np.array([0.0, 0.5], np.float32)


def children() -> set[int]:
    """The ids of all living descendants of this process that belong to us."""
    listing = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listing.splitlines()[1:]]
    return {int(pid) for pid, parent, args in rows if "sb3_carla." in args and int(parent) == os.getpid()}


@pytest.mark.parametrize("victim", ["server", "client"])
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGABRT, signal.SIGSTOP])
def test_a_lost_process_truncates_the_episode_and_the_next_one_goes_on(
    victim: str, sent: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sb3_carla.envs.carla_env.STEP_TIMEOUT", 2.0)
    before = children()
    env = CarlaEnv(seed=0)
    env.reset()
    last, *_ = env.step(THROTTLE)
    os.kill(env.server_pid if victim == "server" else env.client_pid, sent)
    observation, reward, terminated, truncated, info = env.step(THROTTLE)
    assert (reward, terminated, truncated) == (0.0, False, True)
    np.testing.assert_array_equal(observation, last)
    assert victim in info["carla"] or "did not answer" in info["carla"]
    env.reset()
    assert not env.step(THROTTLE)[3]
    env.close()
    assert children() == before


def test_a_client_lost_while_rendering_truncates_at_the_next_step() -> None:
    env = CarlaEnv(seed=0, render_mode="rgb_array")
    env.reset()
    os.kill(env.client_pid, signal.SIGKILL)
    assert env.render() is None
    *_, terminated, truncated, info = env.step(THROTTLE)
    assert (terminated, truncated) == (False, True)
    assert "lost" in info["carla"]
    env.reset()
    assert env.render() is not None
    env.close()


def test_a_server_lost_between_episodes_is_replaced_at_reset() -> None:
    env = CarlaEnv(seed=0)
    env.reset()
    os.kill(env.server_pid, signal.SIGKILL)
    time.sleep(0.1)
    observation, _ = env.reset()
    assert observation.any()
    env.close()


def test_a_server_that_hangs_when_a_new_client_comes_is_started_anew() -> None:
    env = CarlaEnv(seed=0, image_size=16)
    env.reset()
    before = env.server_pid
    os.kill(env.server_pid, signal.SIGSTOP)
    os.kill(env.client_pid, signal.SIGKILL)
    observation, _ = env.reset()
    assert observation.any()
    assert env.server_pid != before
    env.close()


class KillAt(BaseCallback):
    """Kills the env's server at one step of a training and its client process at another."""

    def __init__(self, env: CarlaEnv, server_step: int, client_step: int) -> None:
        super().__init__()
        self.env, self.server_step, self.client_step = env, server_step, client_step
        self.truncations: dict[int, str] = {}

    def _on_step(self) -> bool:
        info = self.locals["infos"][0]
        if "carla" in info:
            self.truncations[self.n_calls] = info["carla"]
        if self.n_calls == self.server_step:
            os.kill(self.env.server_pid, signal.SIGKILL)
        if self.n_calls == self.client_step:
            os.kill(self.env.client_pid, signal.SIGABRT)
        return True


def test_training_goes_on_after_server_and_client_were_killed() -> None:
    before = children()
    env = CarlaEnv(seed=0, npc_vehicles=3)
    model = TD3("CnnPolicy", env, buffer_size=1000, learning_starts=20, train_freq=20, batch_size=8, seed=0)
    killer = KillAt(env, server_step=50, client_step=100)
    model.learn(160, callback=killer)
    assert model.num_timesteps == 160
    assert list(killer.truncations) == [51, 101]
    # What is stored of a lost step is no terminal state: the target bootstraps through it.
    assert isinstance(model.replay_buffer, FrameReplayBuffer)
    assert model.replay_buffer.timeouts[[50, 100], 0].tolist() == [1.0, 1.0]
    env.close()
    assert children() == before


def test_nothing_is_left_behind_when_the_trainer_is_killed() -> None:
    script = (
        "import time; from sb3_carla import CarlaEnv; env = CarlaEnv(); env.reset();"
        "print(env.server_pid, env.client_pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as trainer:
        assert trainer.stdout is not None
        pids = [int(pid) for pid in trainer.stdout.readline().split()]
        trainer.kill()
    deadline = time.monotonic() + 10.0
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(pids) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def assert_as_found(server: EmbeddedServer) -> None:
    """The world runs asynchronously and holds neither vehicles nor sensors."""
    client = carla.Client(server.host, server.port)
    client.set_timeout(5.0)
    world = client.get_world()
    assert not world.get_settings().synchronous_mode
    world.wait_for_tick()
    assert len(world.get_actors().filter("vehicle.*")) == 0
    assert len(world.get_actors().filter("sensor.*")) == 0


def test_a_server_at_an_address_is_used_and_put_back() -> None:
    with EmbeddedServer() as server:
        env = CarlaEnv(f"127.0.0.1:{server.port}", npc_vehicles=2, seed=0)
        env.reset()
        env.step(THROTTLE)
        env.close()
        assert server.is_alive()
        assert_as_found(server)


def test_a_car_that_somebody_destroys_is_missed_by_nobody_and_replaced_at_the_next_reset() -> None:
    # The traffic manager does so with cars that stand for too long.
    with EmbeddedServer() as server:
        env = CarlaEnv(f"127.0.0.1:{server.port}", seed=0, image_size=16, npc_vehicles=3, observation="dict")
        env.reset()
        world = carla.Client("127.0.0.1", server.port).get_world()

        def cars() -> list[carla.Actor]:
            env.step(THROTTLE)
            deadline = time.monotonic() + 5.0
            while len(found := list(world.get_actors().filter("vehicle.*"))) < 4 and time.monotonic() < deadline:
                time.sleep(0.05)  # the snapshot of that step is on its way
            return found

        next(car for car in cars() if car.attributes["role_name"] == NPC_ROLE).destroy()
        infos = [env.step(THROTTLE)[4] for _ in range(3)]
        assert not any("carla" in info for info in infos)
        env.reset()
        assert len(cars()) == 4
        env.close()


def test_actors_that_a_killed_run_left_are_removed() -> None:
    with EmbeddedServer() as server:
        for _ in range(3):
            env = CarlaEnv(f"127.0.0.1:{server.port}", npc_vehicles=2, seed=0)
            env.reset()
            os.kill(env.client_pid, signal.SIGKILL)
        env = CarlaEnv(f"127.0.0.1:{server.port}", isolated=True, seed=0)
        env.reset()
        env.close()
        assert_as_found(server)


def test_the_environment_variable_names_the_default_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SB3_CARLA_SERVER", "127.0.0.1:9")
    with pytest.raises(ServerUnavailableError, match=r"No CARLA server listens at 127\.0\.0\.1:9"):
        CarlaEnv()


@pytest.mark.parametrize(
    "server", ["embeded", "localhost", "localhost:0", "localhost:99999", "/no/such/CarlaUE4.sh", ":1"]
)
def test_something_that_is_no_server_is_refused(server: str) -> None:
    with pytest.raises(ConfigurationError, match="neither 'embedded'"):
        CarlaEnv(server)


def test_a_port_that_does_not_speak_carla_is_a_clear_error() -> None:
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(ServerUnavailableError, match="No CARLA server answered"):
            CarlaEnv(f"127.0.0.1:{silent.getsockname()[1]}")


# Runs our server under the flags of CarlaUE4.sh, as docker and the script itself are called.
STAND_IN = f"""#!/bin/sh
for a in "$@"; do case $a in
    -carla-rpc-port=*) {sys.executable} -m sb3_carla.simulator.server --port "${{a#*=}}";;
esac; done
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "CarlaUE4.sh"
    path.write_text(STAND_IN)
    path.chmod(0o755)
    return path


def running(text: str) -> list[str]:
    """The processes whose command line holds a text."""
    listing = subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listing.splitlines() if text in line and "ps -eww" not in line]


def test_a_server_script_is_started_and_ended_with_its_children(script: Path) -> None:
    before = children()
    env = CarlaEnv(str(script), seed=0)
    env.reset()
    env.step(THROTTLE)
    assert running(str(script))
    env.close()
    assert children() == before
    assert not running(str(script))


def test_a_container_image_is_run_by_docker_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker = tmp_path / "docker"
    docker.write_text(STAND_IN + f'echo "$@" >> {tmp_path}/calls\n')
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    env = CarlaEnv("docker:carlasim/carla:0.9.16", seed=0)
    env.reset()
    started = running("carlasim/carla:0.9.16 ./CarlaUE4.sh -RenderOffScreen -carla-rpc-port=")
    assert started
    name = next(word for word in started[0].split() if word.startswith("--name=")).removeprefix("--name=")
    env.close()
    assert (tmp_path / "calls").read_text() == f"rm --force {name}\n"
    assert not running("carlasim/carla:0.9.16")


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_script_ends_with_a_trainer_that_is_killed(sent: signal.Signals, script: Path) -> None:
    code = (
        "import time; from sb3_carla import CarlaEnv; "
        f"env = CarlaEnv({str(script)!r}); env.reset(); print('ready', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as trainer:
        assert trainer.stdout is not None
        assert trainer.stdout.readline() == "ready\n"
        trainer.send_signal(sent)
    deadline = time.monotonic() + 15.0
    while running(str(script)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not running(str(script))


def test_a_server_is_started_anew_after_its_episodes_and_says_so() -> None:
    env = CarlaEnv(seed=0, image_size=16, recycle_episodes=2)
    pids, said = [], []
    for _ in range(4):
        _, info = env.reset()
        pids.append(env.server_pid)
        said.append(info.get("carla"))
    env.close()
    assert pids[0] == pids[1] != pids[2] == pids[3]
    assert said == [None, None, "the server was started anew after 2 episodes", None]


def test_a_server_that_holds_too_much_memory_is_started_anew() -> None:
    env = CarlaEnv(seed=0, image_size=16, recycle_gb=0.01)
    env.reset()
    before = env.server_pid
    _, info = env.reset()
    assert env.server_pid != before
    assert "GB" in info["carla"]
    env.close()


def test_a_server_of_another_version_is_refused() -> None:
    with pytest.raises(ServerUnavailableError, match=r"is CARLA 0\.9\.15 and the installed client is 0\.9\.16"):
        require_same_version("0.9.16", "0.9.15", "localhost:2000")


@pytest.mark.parametrize("content", ["", "no xml", "<OpenDRIVE/>"])
def test_a_file_that_is_no_map_is_a_clear_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "bad.xodr"
    path.write_text(content)
    before = children()
    with pytest.raises((ConfigurationError, ServerUnavailableError), match=r"bad\.xodr"):
        CarlaEnv(town=str(path))
    assert children() == before
