"""Several CarlaEnvs, each with a server of its own, as one VecEnv of Stable-Baselines3."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from copy import deepcopy
from typing import Any

import numpy as np
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from sb3_carla.envs import CarlaEnv, ConfigurationError, ServerUnavailableError

logger = logging.getLogger("sb3_carla")

PORT_STEP = 10  # between local servers: each takes its port and the two above it
RETRY_SECONDS = 10.0  # [s] between attempts at a server that does not come back
# [s] A step waits so long for envs that are away. A black step costs nothing: without a pause, thousands of them would
# fill the replay buffer, use up the training's steps and shift VecNormalize's statistics while a server starts.
BLACK_STEP_SECONDS = 0.25


def make_carla_vec_env(
    n_envs: int,
    servers: str | Sequence[str] | None = None,
    scenario: str = "lane_following",
    seed: int | None = None,
    monitor_dir: str | None = None,
    **overrides: Any,
) -> CarlaVecEnv:
    """``n_envs`` environments, each on a server of its own, started one after the other.

    :param n_envs: how many
    :param servers: one per env, as :class:`~sb3_carla.envs.CarlaEnv` takes it; a single address stands for it and the
        ports 10, 20, ... above it; a single other text, and None, for one such server per env
    :param scenario: name of a scenario
    :param seed: of the first env; each further one has the next
    :param monitor_dir: folder for the monitors' files; None: none are written
    :param overrides: fields of :class:`~sb3_carla.envs.Scenario`
    :raises ConfigurationError: for numbers that do not match, or an option that cannot be
    :raises ServerUnavailableError: when one of the servers is not to be had
    """
    addresses = server_list(n_envs, servers)

    def maker(index: int) -> Callable[[], Any]:
        def make() -> Any:
            first = None if seed is None else seed + index
            env = CarlaEnv(addresses[index], scenario, first, **overrides)
            return Monitor(env, None if monitor_dir is None else f"{monitor_dir}/{index}")

        return make

    return CarlaVecEnv([maker(index) for index in range(n_envs)])


def server_list(n_envs: int, servers: str | Sequence[str] | None) -> list[str | None]:
    """One server per env, see :func:`make_carla_vec_env`.

    >>> server_list(3, "localhost:2000")
    ['localhost:2000', 'localhost:2010', 'localhost:2020']
    >>> server_list(2, None)
    [None, None]
    """
    if n_envs < 1:
        raise ConfigurationError(f"n_envs={n_envs} is no positive number. Give one.")
    if servers is None:
        return [None] * n_envs
    if isinstance(servers, str):
        host, separator, port = servers.rpartition(":")
        if separator and port.isdigit():
            return [f"{host}:{int(port) + PORT_STEP * index}" for index in range(n_envs)]
        return [servers] * n_envs
    if len(servers) != n_envs:
        raise ConfigurationError(f"There are {len(servers)} servers for n_envs={n_envs}. Give one server per env.")
    taken = [server for server in servers if ":" in server and list(servers).count(server) > 1]
    if taken:
        raise ConfigurationError(f"The server {taken[0]} is named twice. Give each env a server of its own.")
    return list(servers)


class CarlaVecEnv(DummyVecEnv):
    """Steps its environments at the same time, in threads: each waits for a client process of its own.

    An env that loses its server is started anew in the background while the others go on, with a few steps a second.
    Until it is back, its steps are truncated episodes of one black observation with reward 0 and ``info["carla"]``:
    nothing that was seen on the road is bootstrapped from them, and no terminal state is invented.

    :param env_fns: make one :class:`~sb3_carla.envs.CarlaEnv` each
    """

    def __init__(self, env_fns: list[Callable[[], Any]]) -> None:
        made: list[Any] = []

        def keep(make: Callable[[], Any]) -> Callable[[], Any]:
            def kept() -> Any:
                made.append(make())
                return made[-1]

            return kept

        try:
            super().__init__([keep(make) for make in env_fns])
        except BaseException:
            for env in made:
                env.close()
            raise
        self._pool = ThreadPoolExecutor(max_workers=self.num_envs, thread_name_prefix="CarlaVecEnv")
        self._returning: list[Future[tuple[Any, dict[str, Any]]] | None] = [None] * self.num_envs

    def reset(self) -> VecEnvObs:
        """Begin an episode in every env; servers that are lost meanwhile are waited for."""
        for index, future in enumerate(self._returning):
            if future is not None:
                future.cancel()
                self._returning[index] = None
        futures = [self._pool.submit(self._reset, index) for index in range(self.num_envs)]
        for index, future in enumerate(futures):
            observation, self.reset_infos[index] = future.result()
            self._save_obs(index, observation)
        self._reset_seeds()
        self._reset_options()
        return self._obs_from_buf()

    def step_wait(self) -> VecEnvStepReturn:
        """Step every env that has its server, after a moment's wait for those that have none."""
        away = [future for future in self._returning if future is not None]
        if away:
            wait(away, BLACK_STEP_SECONDS, FIRST_COMPLETED)
        for future in [self._pool.submit(self._step, index) for index in range(self.num_envs) if self._is_there(index)]:
            future.result()
        return self._obs_from_buf(), np.copy(self.buf_rews), np.copy(self.buf_dones), deepcopy(self.buf_infos)

    def close(self) -> None:
        """Close every env."""
        for future in self._returning:
            if future is not None:
                future.cancel()
        list(self._pool.map(lambda env: env.close(), self.envs))
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _step(self, index: int) -> None:
        env = self.envs[index]
        observation, reward, terminated, truncated, info = env.step(self.actions[index])
        self.buf_rews[index], self.buf_dones[index] = float(reward), terminated or truncated
        info["TimeLimit.truncated"] = truncated and not terminated
        self.buf_infos[index] = info
        if terminated or truncated:
            info["terminal_observation"] = observation
            if "carla" in info:  # the server is gone: do not let the others wait
                self._begin_return(index, 0.0)
                observation = self._black()
            else:
                try:
                    observation, self.reset_infos[index] = env.reset()
                except ServerUnavailableError as error:
                    info["carla"] = str(error)
                    self._begin_return(index, RETRY_SECONDS)
                    observation = self._black()
        self._save_obs(index, observation)

    def _is_there(self, index: int) -> bool:
        """Whether an env can be stepped; one that cannot gets the step of a lost one."""
        future = self._returning[index]
        if future is None:
            return True
        info: dict[str, Any] = {"carla": "the server is being started anew", "TimeLimit.truncated": True}
        observation = self._black()
        info["terminal_observation"] = observation
        if future.done():
            self._returning[index] = None
            try:
                observation, self.reset_infos[index] = future.result()
            except ServerUnavailableError as error:
                logger.warning("CarlaVecEnv: env %d has no server: %s", index, error)
                info["carla"] = str(error)
                self._begin_return(index, RETRY_SECONDS)
        self.buf_rews[index], self.buf_dones[index], self.buf_infos[index] = 0.0, True, info
        self._save_obs(index, observation)
        return False

    def _begin_return(self, index: int, delay: float) -> None:
        """Start the server of an env anew, in the background."""

        def come_back() -> tuple[Any, dict[str, Any]]:
            time.sleep(delay)
            result: tuple[Any, dict[str, Any]] = self.envs[index].reset()
            return result

        self._returning[index] = self._pool.submit(come_back)

    def _reset(self, index: int) -> tuple[Any, dict[str, Any]]:
        options = {"options": self._options[index]} if self._options[index] else {}
        result: tuple[Any, dict[str, Any]] = self.envs[index].reset(seed=self._seeds[index], **options)
        return result

    def _black(self) -> Any:
        """An observation that no camera gives."""
        space: Any = self.observation_space
        if hasattr(space, "spaces"):
            return {key: np.zeros(part.shape, part.dtype) for key, part in space.spaces.items()}
        return np.zeros(space.shape, space.dtype)
