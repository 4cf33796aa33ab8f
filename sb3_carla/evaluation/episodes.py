"""Driving the episodes of an evaluation and keeping what is needed of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sb3_carla.envs import CarlaEnv, ServerUnavailableError
from sb3_carla.evaluation.drivers import Driver
from sb3_carla.evaluation.film import Film

ATTEMPTS = 3  # at an episode whose server gets lost


@dataclass
class Episode:
    """One episode of an evaluation."""

    scenario: str
    seed: int
    metrics: dict[str, Any]  # sb3_carla.envs.metrics.EpisodeMetrics
    poses: npt.NDArray[np.float64]  # (n, 3) x, y [m], yaw [deg]
    speeds: npt.NDArray[np.float64]  # (n,) [km/h]
    route: npt.NDArray[np.float64] | None  # (m, 2) [m]
    seconds: float  # [s] that it took outside of the world
    losses: list[str] = field(default_factory=list)  # why earlier attempts at it were lost


def drive_episodes(env: CarlaEnv, driver: Driver, episodes: int, seed: int, film: Film | None) -> Iterator[Episode]:
    """Drive episode after episode; one that loses its server is driven again.

    :param env: where
    :param driver: who
    :param episodes: how many
    :param seed: of the first; each further one has the next
    :param film: is shown every step, if given
    :raises ServerUnavailableError: when an episode cannot be driven to its end
    """
    for number in range(seed, seed + episodes):
        losses: list[str] = []
        while True:
            episode = _drive(env, driver, number, film)
            if isinstance(episode, Episode):
                break
            losses.append(episode)
            if len(losses) == ATTEMPTS:
                raise ServerUnavailableError(
                    f"The episode with seed {number} was lost {ATTEMPTS} times ({losses[-1]}). "
                    "Look at the server's log."
                )
        episode.losses = losses
        yield episode


def _drive(env: CarlaEnv, driver: Driver, seed: int, film: Film | None) -> Episode | str:
    """Drive one episode; a text if the server was lost."""
    begin = time.monotonic()
    driver.begin(env, seed)
    observation, info = env.reset(seed=seed, options=driver.reset_options)
    route = env.route_line()
    poses, speeds = [info["pose"]], [info["speed_kmh"]]
    if film is not None:
        film.begin(env.render(), observation, driver)
    while True:
        action = driver.act(observation)
        following, reward, terminated, truncated, info = env.step(action)
        if "carla" in info and "metrics" not in info:
            return str(info["carla"])
        poses.append(info["pose"])
        speeds.append(info["speed_kmh"])
        if film is not None:
            film.add(env.render(), observation, action, float(reward), info, driver)
        observation = following
        if terminated or truncated:
            break
    return Episode(
        scenario=env.scenario.name,
        seed=seed,
        metrics=dict(info["metrics"]),
        poses=np.array(poses),
        speeds=np.array(speeds),
        route=route,
        seconds=time.monotonic() - begin,
    )
