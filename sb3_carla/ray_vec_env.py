"""Environments on many machines: each CarlaEnv with its server lives in a Ray actor, and a VecEnv here steps them all.

Ray (``pip install ".[ray]"`` in a checkout) decides where an actor runs, starts it anew on another machine when its own
is lost, and carries calls and answers; this module says what that means for a training. sb3_carla must be installed on
every machine of the cluster.
"""

from __future__ import annotations

import contextlib
import logging
import time
from typing import Any

import gymnasium as gym
import numpy as np
import ray
from ray.exceptions import ActorUnavailableError, RayError, RayTaskError
from stable_baselines3.common.monitor import Monitor

from sb3_carla.envs import CarlaEnv, ConfigurationError, Scenario, ServerUnavailableError, register_scenario
from sb3_carla.envs.actions import action_space
from sb3_carla.envs.catalogue import make_scenario
from sb3_carla.envs.observation import observation_space
from sb3_carla.vec_env import CarlaVecEnv

logger = logging.getLogger("sb3_carla")

STEP_TIMEOUT = 60.0  # [s] after which a machine counts as lost; CarlaEnv gives its server up well before
RESET_TIMEOUT = 300.0  # [s] for Ray to find a place, and for CarlaEnv to start its server there, as often as it tries
CLOSE_TIMEOUT = 30.0  # [s]
LOOK_ROUND = 0.5  # [s] between two questions whether an actor was started anew
ENV_OPTIONS = ("server", "render_mode", "isolated", "recycle_episodes", "recycle_gb")  # that are none of the scenario


def make_ray_vec_env(
    n_envs: int,
    scenario: str = "lane_following",
    seed: int | None = None,
    monitor_dir: str | None = None,
    cpus_per_env: float = 2.0,
    **options: Any,
) -> CarlaVecEnv:
    """``n_envs`` environments, spread over the machines of the Ray cluster, each with a server on its own machine.

    Connect to the cluster with ``ray.init(address="auto")`` before; otherwise Ray uses this machine alone.

    :param n_envs: how many
    :param scenario: name of a scenario
    :param seed: of the first env; each further one has the next
    :param monitor_dir: folder on this machine for the monitors' files; None: none are written
    :param cpus_per_env: processor cores that Ray sets aside for an env; server and client process keep two busy
    :param options: of :class:`~sb3_carla.envs.CarlaEnv` and its scenario; ``server`` is started on each machine, so an
        address of a single server is of use for one env only
    :raises ConfigurationError: for an option that cannot be; no actor was started then
    """
    if n_envs < 1:
        raise ConfigurationError(f"n_envs={n_envs} is no positive number. Give one.")

    def maker(index: int) -> Any:
        def make() -> Any:
            first = None if seed is None else seed + index
            env = RayCarlaEnv(scenario, first, cpus_per_env, **options)
            return Monitor(env, None if monitor_dir is None else f"{monitor_dir}/{index}")

        return make

    return CarlaVecEnv([maker(index) for index in range(n_envs)])


class RayCarlaEnv(gym.Env[Any, Any]):
    """A CarlaEnv on some machine of the Ray cluster.

    When its machine, or its process there, is lost, the episode is truncated with the reason in ``info["carla"]``. Ray
    then starts the actor anew where there is room, and the next reset begins an episode there. ``info["node"]`` of a
    reset is Ray's id of the machine.

    :param scenario: name of a scenario
    :param seed: of the first reset, unless that is given one
    :param cpus: processor cores that Ray sets aside
    :param options: of :class:`~sb3_carla.envs.CarlaEnv` and its scenario
    """

    def __init__(self, scenario: str, seed: int | None, cpus: float, **options: Any) -> None:
        own = {name: options.pop(name) for name in ENV_OPTIONS if name in options}
        task = make_scenario(scenario, options)
        self.observation_space, self.action_space = observation_space(task), action_space(task)
        self.render_mode = own.get("render_mode")
        self.metadata = CarlaEnv.metadata
        self._next_seed = seed
        self._observation: Any = None  # the newest
        self._actor: Any = (
            ray.remote(_Actor)
            .options(num_cpus=cpus, max_restarts=-1, max_task_retries=0, scheduling_strategy="SPREAD")
            .remote(task, own)
        )

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode, see :meth:`sb3_carla.envs.CarlaEnv.reset`.

        :raises ServerUnavailableError: when no machine of the cluster has room, or its server does not start
        """
        super().reset(seed=seed)
        if seed is None:
            seed = self._next_seed
        self._next_seed = None
        fallback = int(self.np_random.integers(2**31))  # an actor that was started anew goes on from our generator
        deadline = time.monotonic() + RESET_TIMEOUT
        try:
            while True:
                try:
                    left = max(deadline - time.monotonic(), LOOK_ROUND)
                    answer = self._ask("reset", seed, fallback, options, timeout=left)
                    break
                except _ActorRestartingError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(LOOK_ROUND)
        except _ActorLostError as error:
            raise ServerUnavailableError(
                f"No env could be started in the Ray cluster ({error}). Look at `ray status` for machines with room."
            ) from error
        self._observation = answer[0]
        return answer  # type: ignore[no-any-return]

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Drive for one step; a lost machine truncates the episode."""
        try:
            answer = self._ask("step", np.asarray(action), timeout=STEP_TIMEOUT)
        except _ActorLostError as error:
            logger.warning("RayCarlaEnv: %s; the episode is truncated and the next one starts anew", error)
            return self._observation, 0.0, False, True, {"carla": str(error), "reward_terms": {}}
        self._observation = answer[0]
        return answer  # type: ignore[no-any-return]

    def render(self) -> Any:
        """The newest frame of the camera behind the car; None without ``render_mode="rgb_array"``."""
        try:
            return self._ask("render", timeout=STEP_TIMEOUT)
        except _ActorLostError:  # which the next step reports
            return None

    def close(self) -> None:
        """End the env, its server, and the actor; safe to call again."""
        actor = self._actor
        if actor is None or not ray.is_initialized():
            return
        with contextlib.suppress(RayError):  # one that is lost: its processes have ended with it
            ray.get(actor.close.remote(), timeout=CLOSE_TIMEOUT)
        ray.kill(actor)
        self._actor = None

    def _ask(self, name: str, *arguments: Any, timeout: float) -> Any:
        """Call a method of the actor.

        :raises _ActorLostError: when it or its machine is lost
        :raises CarlaEnvError: what the env there raised on purpose
        """
        try:
            return ray.get(getattr(self._actor, name).remote(*arguments), timeout=timeout)
        except RayTaskError as error:
            raise error.cause from None
        except RayError as error:
            if isinstance(error, TimeoutError):
                ray.kill(self._actor, no_restart=False)
                raise _ActorLostError(f"the Ray actor did not answer '{name}' in {timeout:.0f} s") from None
            kind = _ActorRestartingError if isinstance(error, ActorUnavailableError) else _ActorLostError
            reason = str(error).strip().splitlines()
            raise kind(f"the Ray actor was lost ({type(error).__name__}: {reason[0]})") from None


class _ActorLostError(Exception):
    """The actor or its machine does not answer; the message says what is known."""


class _ActorRestartingError(_ActorLostError):
    """Ray is about to start it anew."""


class _Actor:
    """What runs on the other machine: a CarlaEnv, made by the first reset. Ray makes it anew when it was lost."""

    def __init__(self, scenario: Scenario, options: dict[str, Any]) -> None:
        register_scenario(scenario)  # as it was asked for: this process knows nothing that the trainer registered
        self._scenario, self._options = scenario.name, options
        self._env: CarlaEnv | None = None

    def reset(self, seed: int | None, fallback: int, options: dict[str, Any] | None) -> tuple[Any, dict[str, Any]]:
        if self._env is None:
            self._env = CarlaEnv(scenario=self._scenario, **self._options)
            seed = fallback if seed is None else seed
        observation, info = self._env.reset(seed=seed, options=options)
        return observation, {**info, "node": ray.get_runtime_context().get_node_id()}

    def step(self, action: Any) -> Any:
        if self._env is None:
            raise _ActorLostError("the Ray actor was started anew")
        return self._env.step(action)

    def render(self) -> Any:
        return None if self._env is None else self._env.render()

    def close(self) -> None:
        if self._env is not None:
            self._env.close()
