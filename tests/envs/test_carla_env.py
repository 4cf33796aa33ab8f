from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import carla
import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from sb3_carla import CarlaEnv
from sb3_carla.envs import REWARD_PRESETS, SCENARIOS, CarlaEnvError, ConfigurationError
from sb3_carla.envs.pursuit import PursuitDriver
from sb3_carla.envs.registration import gym_id
from sb3_carla.simulator import EmbeddedServer

Policy = Callable[[Any], Any]
FULL_THROTTLE = np.array([0.0, 1.0], np.float32)
STAND = np.zeros(2, np.float32)
WITH_TRAFFIC = [name for name, scenario in SCENARIOS.items() if scenario.npc_vehicles > 0]


def episode(env: CarlaEnv, policy: Policy, seed: int | None = None) -> tuple[float, int, dict[str, Any], bool]:
    """Run one episode: the return, the length, the last info, whether it was truncated."""
    observation, info = env.reset(seed=seed)
    total, length, terminated, truncated = 0.0, 0, False, False
    while not (terminated or truncated):
        observation, reward, terminated, truncated, info = env.step(policy(observation))
        total += float(reward)
        length += 1
    return total, length, info, truncated


def trajectory(seed: int, steps: int, **options: Any) -> list[Any]:
    """Everything that an env returns under seeded random actions."""
    env = CarlaEnv(**options)
    rng = np.random.default_rng(seed)
    observation, _ = env.reset(seed=seed)
    result: list[Any] = [observation.tobytes()]
    for _ in range(steps):
        action = np.array([0.5 * rng.normal(), rng.uniform(0.0, 1.0)], np.float32)
        observation, reward, terminated, truncated, info = env.step(action)
        result.append((observation.tobytes(), reward, terminated, truncated, info))
        if terminated or truncated:
            observation, _ = env.reset()
            result.append(observation.tobytes())
    env.close()
    return result


@pytest.mark.filterwarnings("ignore:.*not in the normal range")
@pytest.mark.filterwarnings("ignore:.*Infinity")
@pytest.mark.parametrize("env_id", ["Carla-v0", *(gym_id(name) for name in SCENARIOS)])
def test_the_env_checkers_pass(env_id: str, address: str) -> None:
    scenario = gym.spec(env_id).kwargs.get("scenario", "lane_following")
    options = {"npc_vehicles": 2} if scenario in WITH_TRAFFIC else {}
    if SCENARIOS[scenario].town is None:
        options["server"] = address
    env = gym.make(env_id, image_size=36, **options)
    gymnasium_check_env(env.unwrapped, skip_render_check=True)
    sb3_check_env(env.unwrapped)
    env.close()


def test_the_observation_is_four_frames_the_newest_last(env: CarlaEnv) -> None:
    first, _ = env.reset(seed=1)
    assert first.shape == (4, 84, 84)
    assert first.dtype == np.uint8
    assert all(np.array_equal(first[0], frame) for frame in first)
    for _ in range(20):
        before, *_ = env.step(FULL_THROTTLE)
    after, *_ = env.step(FULL_THROTTLE)
    np.testing.assert_array_equal(after[:3], before[1:])
    assert not np.array_equal(after[3], after[2])


def test_an_observation_is_not_changed_by_later_steps(env: CarlaEnv) -> None:
    first, _ = env.reset(seed=1)
    kept = first.copy()
    for _ in range(10):
        env.step(FULL_THROTTLE)
    np.testing.assert_array_equal(first, kept)


def test_the_dict_observation_holds_image_and_state(address: str) -> None:
    env = CarlaEnv(address, observation="dict", seed=0)
    observation, _ = env.reset()
    assert env.observation_space.contains(observation)
    x, y = observation["state"][4:6]
    assert np.hypot(x, y) == pytest.approx(5.0, abs=0.7)
    assert x > 4.0
    env.close()


def test_the_same_seed_gives_the_same_trajectory_bit_for_bit() -> None:
    assert trajectory(seed=3, steps=500) == trajectory(seed=3, steps=500)


def test_the_same_seed_gives_the_same_trajectory_among_20_npcs() -> None:
    assert trajectory(3, 500, scenario="light_traffic") == trajectory(3, 500, scenario="light_traffic")


def test_traffic_drives_the_same_on_a_machine_that_halts_now_and_then(address: str) -> None:
    def states(halts: bool) -> list[Any]:
        env = CarlaEnv(address, "light_traffic", observation="dict", state="traffic", image_size=16)
        rng = np.random.default_rng(3)
        result = [env.reset(seed=3)[0]["state"].tolist()]
        done = threading.Event()

        def halt() -> None:
            assert env.client_pid is not None
            while not done.wait(0.05):
                os.kill(env.client_pid, signal.SIGSTOP)
                time.sleep(0.4)
                os.kill(env.client_pid, signal.SIGCONT)

        thread = threading.Thread(target=halt)
        if halts:
            thread.start()
        for _ in range(230):  # several episodes: where one begins depends on where all the cars are
            action = np.array([0.5 * rng.normal(), rng.uniform(0.0, 1.0)], np.float32)
            observation, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                observation, _ = env.reset()
            result.append(observation["state"].tolist())
        done.set()
        if halts:
            thread.join()
        env.close()
        return result

    assert states(halts=True) == states(halts=False)


def test_a_client_in_the_same_process_gives_the_same_trajectory() -> None:
    # In an interpreter of its own: the carla wheel may abort the process that it leaves.
    code = (
        f"import os, sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); "
        "from test_carla_env import trajectory; "
        "print(hash(str(trajectory(3, 50, isolated=False)))); sys.stdout.flush(); os._exit(0)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    code = code.replace("isolated=False", "isolated=True")
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert run.stdout == other.stdout


def test_a_seed_begins_a_sequence_of_episodes_that_can_be_begun_again(address: str) -> None:
    env = CarlaEnv(address, seed=0, image_size=16)
    starts = [[env.reset(seed=seed)[1]["pose"] for seed in (0, None, None)] for _ in range(2)]
    env.close()
    assert starts[0] == starts[1]
    assert len(set(starts[0])) > 1


def test_another_seed_gives_another_trajectory(address: str) -> None:
    assert trajectory(3, 5, server=address) != trajectory(4, 5, server=address)


def test_standing_still_ends_as_stuck_and_costs(env: CarlaEnv) -> None:
    total, length, info, truncated = episode(env, lambda _: STAND, seed=0)
    assert (info["termination"], truncated) == ("stuck", False)
    assert length == pytest.approx(1.5 / 0.05, abs=2)
    assert total == pytest.approx(-env.scenario.reward.stuck, abs=0.1)


def test_full_throttle_leaves_the_lane_or_hits_something(env: CarlaEnv) -> None:
    _, _, info, truncated = episode(env, lambda _: FULL_THROTTLE, seed=0)
    assert info["termination"] in ("off_road", "wrong_way", "collision")
    assert not truncated
    assert info["distance"] > 5.0
    assert info["reward_terms"][info["termination"]] < 0.0


@pytest.mark.parametrize("preset", REWARD_PRESETS)
def test_better_driving_earns_more_under_every_preset(preset: str, address: str) -> None:
    env = CarlaEnv(address, observation="dict", max_episode_steps=300, image_size=16, reward=preset)
    rng = np.random.default_rng(0)
    policies: dict[str, Policy] = {
        "stand": lambda _: STAND,
        "random": lambda _: rng.uniform(-1, 1, 2).astype(np.float32),
        "throttle": lambda _: FULL_THROTTLE,
        "pursuit": lambda observation: PursuitDriver().predict(observation)[0],
    }
    returns = {name: np.mean([episode(env, policy, seed)[0] for seed in range(3)]) for name, policy in policies.items()}
    env.close()
    assert max(returns["stand"], returns["random"]) < returns["throttle"] < returns["pursuit"], returns
    if preset != "founding":  # which pays per second and charges for comfort: random driving may cost more than none
        assert returns["stand"] < returns["random"], returns
    if preset == "ours":
        assert returns["pursuit"] > 0.5 * 300 * env.scenario.reward_range[1]


def test_the_time_limit_truncates_and_does_not_terminate(address: str) -> None:
    env = CarlaEnv(address, max_episode_steps=7, seed=0)
    _, length, info, truncated = episode(env, lambda _: FULL_THROTTLE)
    assert (length, truncated) == (7, True)
    assert "termination" not in info
    env.close()


def test_action_repeat_drives_several_ticks_per_step(address: str) -> None:
    distances = []
    for repeat in (1, 4):
        env = CarlaEnv(address, action_repeat=repeat, seed=0)
        env.reset()
        for _ in range(12 // repeat):
            *_, info = env.step(FULL_THROTTLE)
        distances.append(info["distance"])
        env.close()
    assert distances[0] == pytest.approx(distances[1], abs=1e-3)


def test_steering_right_turns_right(env: CarlaEnv) -> None:
    env.reset(seed=0)
    for _ in range(25):
        *_, terminated, _, info = env.step(np.array([0.5, 0.6], np.float32))
        if terminated:
            break
    assert info["lateral_deviation"] > 0.05


def test_the_reward_is_the_sum_of_its_terms(env: CarlaEnv) -> None:
    env.reset(seed=0)
    for _ in range(30):
        _, reward, *_, info = env.step(FULL_THROTTLE)
        assert reward == pytest.approx(sum(info["reward_terms"].values()))


def test_a_step_without_an_episode_is_refused(env: CarlaEnv) -> None:
    with pytest.raises(CarlaEnvError, match=r"reset\(\)"):
        env.step(STAND)


def test_an_action_that_is_not_finite_is_refused(env: CarlaEnv) -> None:
    env.reset()
    with pytest.raises(CarlaEnvError, match="not finite"):
        env.step(np.array([np.nan, 0.0], np.float32))


def test_rgb_array_shows_the_car_from_behind(address: str) -> None:
    env = CarlaEnv(address, render_mode="rgb_array", seed=0)
    env.reset()
    first = env.render()
    for _ in range(20):
        env.step(FULL_THROTTLE)
    image = env.render()
    assert image is not None
    assert first is not None
    assert (image.shape, image.dtype) == ((360, 640, 3), np.uint8)
    assert not np.array_equal(first, image)
    env.close()


def test_a_human_window_without_a_display_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(ConfigurationError, match="needs a display"):
        CarlaEnv(render_mode="human")


def test_the_npcs_of_a_scenario_drive(server: EmbeddedServer) -> None:
    env = CarlaEnv(f"{server.host}:{server.port}", "light_traffic", npc_vehicles=8, stuck_seconds=60.0, seed=0)
    env.reset()
    client = carla.Client(server.host, server.port)  # another client, which only looks
    client.set_timeout(10.0)
    world = client.get_world()
    env.step(STAND)
    deadline = time.monotonic() + 10.0
    while not len(world.get_actors()) and time.monotonic() < deadline:
        time.sleep(0.01)  # a client knows no actors before it has received a frame, which another one's tick sends
    npcs = [one for one in world.get_actors().filter("vehicle.*") if "npc" in one.attributes["role_name"]]
    before = [one.get_location() for one in npcs]
    for _ in range(100):
        env.step(STAND)
    driven = [one.get_location().distance(start) for one, start in zip(npcs, before, strict=True)]
    env.close()
    assert len(driven) == 8
    assert np.median(driven) > 5.0


def test_of_several_towns_the_seed_draws_one() -> None:
    env = CarlaEnv(town=("Town_Blocks", "Town_Curves"), image_size=36)
    try:
        first = {seed: (env.reset(seed=seed)[0].tobytes(), len(env.lane_lines())) for seed in range(6)}
        again = {seed: (env.reset(seed=seed)[0].tobytes(), len(env.lane_lines())) for seed in reversed(range(6))}
        assert first == again
        assert len({lanes for _, lanes in first.values()}) == 2
    finally:
        env.close()


def test_without_a_seed_a_town_is_kept_for_a_while() -> None:
    env = CarlaEnv(town=("Town_Blocks", "Town_Curves"), image_size=16)  # isolated: load_world can crash the client
    try:
        env.reset(seed=0)
        town, client, steps, stays = len(env.lane_lines()), env.client_pid, 0, []
        for _ in range(10_000):
            _, _, terminated, truncated, _ = env.step(FULL_THROTTLE)
            steps += 1
            if terminated or truncated:
                env.reset()
                if env.client_pid != client:  # it did, and the new one draws a town of its own
                    client, town, steps = env.client_pid, len(env.lane_lines()), 0
                elif len(env.lane_lines()) != town:
                    stays.append(steps)
                    break
        assert stays
        assert stays[0] >= 1000
    finally:
        env.close()


def test_a_town_of_several_that_the_server_has_not_is_told_at_the_start() -> None:
    with pytest.raises(ConfigurationError, match=r"no map 'Town_Curvs'.*'Town_Curves'"):
        CarlaEnv(town=("Town_Blocks", "Town_Curvs"))


@pytest.mark.parametrize("town", [(), ("Town_Blocks", 3), ("Town_Blocks", "my.xodr"), ("Town_Blocks", None)])
def test_lists_of_towns_that_cannot_be_are_refused(town: Any) -> None:
    with pytest.raises(ConfigurationError, match="town="):
        CarlaEnv(town=town)
