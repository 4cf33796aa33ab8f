"""CarlaEnv: the Gymnasium face of driving in CARLA."""

from __future__ import annotations

import logging
import math
import time
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from sb3_carla.envs.actions import action_space, discrete_action
from sb3_carla.envs.catalogue import make_scenario
from sb3_carla.envs.checks import require_integer, require_number
from sb3_carla.envs.errors import CarlaEnvError, ConfigurationError, ServerUnavailableError, did_you_mean
from sb3_carla.envs.isolation import ClientLostError, ClientProcess, ServerLostError
from sb3_carla.envs.local_client import LocalClient
from sb3_carla.envs.observation import State, observation_space
from sb3_carla.envs.scenario import Scenario
from sb3_carla.envs.servers import Server, make_server, resident_memory
from sb3_carla.envs.window import require_display, show

logger = logging.getLogger("sb3_carla")
if not logger.hasHandlers():  # a user who configured logging decides; everybody else still reads which server is used
    logger.addHandler(logging.StreamHandler())
    logger.setLevel(logging.INFO)

OPEN_TIMEOUT = 120.0  # [s] to connect, load the town and build the actors
RESET_TIMEOUT = 60.0  # [s] in the town that is loaded
STEP_TIMEOUT = 15.0  # [s] beyond the client's own 10 s for a call
START_ATTEMPTS = 3  # before the server counts as not to be had
RETURN_ATTEMPTS = 6  # at one that was there before: half a minute, in which somebody may start it again
BACK_OFF = 1.0  # [s] before the second attempt, doubled for each further one
SLOW_ROUND_TRIP = 0.01  # [s] from which the user is told; on one machine it is well below a millisecond
RESET_TICKS = 20  # that an episode's begin takes at most
CALLS_PER_TICK = 10  # that wait for their answer at most, the traffic manager's included
CALLS_PER_NPC = 20  # to make one, and to hand it to the traffic manager

RESET_OPTIONS = ("autopilot",)

Observation = Any  # (frame_stack * channels, height, width) uint8, or a dict of that and the state vector
Action = Any  # (2,) float32, or an integer


class CarlaEnv(gym.Env[Observation, Action]):
    """Drive a car in CARLA from its front camera.

    - Observation: ``Box(0, 255, (4, 84, 84), uint8)``, grayscale, channel first, the oldest frame first; with
      ``observation="dict"`` a ``Dict`` of that as ``image`` and a ``state`` (:mod:`sb3_carla.envs.observation`).
      Other cameras and sizes: :mod:`sb3_carla.envs.cameras`.
    - Action: ``Box(-1, 1, (2,), float32)``: steer (right positive) and throttle (positive) or brake (negative);
      1 and -1 stand for the scenario's ``max_steer`` and ``max_brake``; above the target speed its
      ``speed_limiter`` takes the throttle away. With ``actions="speed"`` the second is the wanted speed, -1 standing,
      1 the target speed, and steering that would push the car sideways by more than ``max_lateral_acceleration``
      slows it down; with ``actions="discrete"`` one of 15 pairs (:mod:`sb3_carla.envs.actions`).
    - Reward: the sum of ``info["reward_terms"]``, see :mod:`sb3_carla.envs.reward`.
    - Terminated: collision, off road, wrong way, stuck, off route, goal; ``info["termination"]`` says which.
    - ``info["metrics"]`` at an episode's end: :class:`sb3_carla.envs.metrics.EpisodeMetrics` as a dict.
    - Truncated: after ``max_episode_steps``, or when the server or the client process was lost: then
      ``info["carla"]`` says what happened, and the next reset starts them anew.

    :param server: ``"embedded"`` (our simulator, the default), ``"host:port"`` of a CARLA 0.9.16 server, the path of
        its start script (``CarlaUE4.sh``) or ``"docker:IMAGE"``, which the env then starts and ends. The variable
        ``SB3_CARLA_SERVER`` replaces the default. There is no fall-back from one to another.
    :param scenario: name of a scenario, see :data:`sb3_carla.envs.SCENARIOS`
    :param seed: of the first reset, unless that is given one; by default it is drawn
    :param render_mode: ``"rgb_array"`` (a camera behind the car, 640x360), ``"human"`` (in a window) or None
    :param isolated: run the carla client in a process of its own; False runs it in this one, for a debugger
    :param recycle_episodes: start a server of ours anew after so many episodes; CARLA's grow and get slower
    :param recycle_gb: start it anew when it holds more than this memory [GB] at the beginning of an episode
    :param overrides: single fields of :class:`~sb3_carla.envs.scenario.Scenario`, e.g. ``npc_vehicles=5``
    :raises ConfigurationError: for an option or value that cannot be; nothing was started then
    :raises ServerUnavailableError: when no server answers
    """

    metadata: dict[str, Any] = {"render_modes": ["human", "rgb_array"], "render_fps": 20}  # noqa: RUF012 (Gymnasium's)

    def __init__(
        self,
        server: str | None = None,
        scenario: str = "lane_following",
        seed: int | None = None,
        render_mode: str | None = None,
        isolated: bool = True,
        recycle_episodes: int | None = None,
        recycle_gb: float | None = None,
        **overrides: Any,
    ) -> None:
        self.scenario: Scenario = make_scenario(scenario, overrides)
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ConfigurationError(f"render_mode={render_mode!r} is not known. Give None, 'human' or 'rgb_array'.")
        if render_mode == "human":
            require_display()
        self.render_mode = render_mode
        step_seconds = self.scenario.fixed_delta_seconds * self.scenario.action_repeat
        self.metadata = {**self.metadata, "render_fps": round(1.0 / step_seconds)}
        self.observation_space = observation_space(self.scenario)
        self.action_space = action_space(self.scenario)
        self.reward_range = self.scenario.reward_range
        if recycle_episodes is not None:
            require_integer("recycle_episodes", recycle_episodes, minimum=1)
        if recycle_gb is not None:
            require_number("recycle_gb", recycle_gb, minimum=0.01)
        self._recycle_episodes, self._recycle_gb = recycle_episodes, recycle_gb
        self._episodes = 0  # since the server was started
        self._was_connected = False
        self._round_trip = 0.0  # [s] to the server and back
        self._isolated = isolated
        self._next_seed = seed
        self._frames = np.zeros(0, np.uint8)  # the stack, oldest first
        self._state: State | None = None
        self._steps: int | None = None  # None: no episode under way
        self._client: ClientProcess | LocalClient | None = None
        self._server: Server = make_server(server, self.scenario.towns[0])
        try:
            self._connect()
        except BaseException:
            self.close()
            raise

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode: the car is teleported to a drawn spawn point.

        :param seed: makes everything that follows reproducible on the embedded simulator, traffic included
        :param options: ``{"autopilot": True}`` lets CARLA's traffic manager drive the episode, whatever the actions
        :return: the first frame, stacked, and info
        :raises ServerUnavailableError: when a lost server does not come back
        :raises ConfigurationError: for an unknown option
        """
        super().reset(seed=seed)
        for name in options or {}:
            if name not in RESET_OPTIONS:
                raise ConfigurationError(f"There is no reset option {name!r}. {did_you_mean(name, RESET_OPTIONS)}")
        autopilot = bool((options or {}).get("autopilot", False))
        if seed is None:
            seed = self._next_seed
        self._next_seed = None
        recycled = self._recycle()
        attempt = 0
        while True:
            if self._client is None and seed is None:
                seed = int(self.np_random.integers(2**31))  # a new client goes on from this env's generator
            client = self._connect()
            try:
                seconds = RESET_TIMEOUT if len(self.scenario.towns) == 1 else OPEN_TIMEOUT
                patience = self._patience(seconds, RESET_TICKS, self.scenario.npc_vehicles)
                (frame, self._state), info = client.ask("reset", seed, autopilot, timeout=patience)
                break
            except ClientLostError as error:
                self._lose_client(error)
                attempt += 1
                if attempt == START_ATTEMPTS:
                    raise ServerUnavailableError(
                        f"{self._server.name} was lost {attempt} times while an episode was started ({error}). "
                        "Look at the server's own log."
                    ) from error
                time.sleep(BACK_OFF * 2 ** (attempt - 1))
        self._episodes += 1
        if recycled:
            info["carla"] = recycled
        self._frames = np.tile(frame, (self.scenario.frame_stack, 1, 1))
        self._steps = 0
        self._show()
        return self._observation(), info

    def step(self, action: Action) -> tuple[Observation, SupportsFloat, bool, bool, dict[str, Any]]:
        """Drive for one step of ``fixed_delta_seconds * action_repeat``.

        :param action: (2,) steer and throttle/brake or wanted speed, clipped to [-1, 1]; or a discrete action's index
        """
        if self._steps is None:
            raise CarlaEnvError("step() was called without an episode under way. Call reset() first.")
        if self.scenario.actions == "discrete":
            steer, pedal = discrete_action(int(action))
        else:
            steer, pedal = np.asarray(action, np.float64).tolist()
        if not math.isfinite(steer + pedal):
            raise CarlaEnvError(f"The action {action!r} is not finite. The policy that made it has diverged.")
        self._steps += 1
        try:
            if self._client is None:
                raise ClientLostError("the server was lost while a frame was rendered")
            patience = self._patience(STEP_TIMEOUT, self.scenario.action_repeat)
            answer = self._client.ask("step", _clip(steer), _clip(pedal), timeout=patience)
        except ClientLostError as error:
            self._lose_client(error)
            self._steps = None
            return self._observation(), 0.0, False, True, {"carla": str(error), "reward_terms": {}}
        (frame, self._state), reward, terminated, info = answer
        self._frames = np.concatenate([self._frames[len(frame) :], frame])
        truncated = not terminated and self._steps >= self.scenario.max_episode_steps
        if terminated or truncated:
            self._steps = None
        self._show()
        return self._observation(), reward, terminated, truncated, info

    def render(self) -> npt.NDArray[np.uint8] | None:
        """The newest frame of the camera behind the car: (360, 640, 3), uint8, RGB; None without ``"rgb_array"``."""
        if self.render_mode != "rgb_array":
            return None
        return self._rendered()

    def close(self) -> None:
        """Destroy the actors, put the server's settings back, end what was started here; safe to call again."""
        client, self._client, self._steps = self._client, None, None
        if client is not None:
            client.close()
        self._server.stop()

    def lane_lines(self) -> list[npt.NDArray[np.float64]]:
        """The centre lines of all lanes of the map, to draw it with: (n, 2) world points [m] each."""
        lines: list[npt.NDArray[np.float64]] = self._connect().ask("lane_lines", timeout=RESET_TIMEOUT)
        return lines

    def route_line(self) -> npt.NDArray[np.float64] | None:
        """The planned route of the episode under way: (n, 2) world points [m]; None for a free one."""
        line: npt.NDArray[np.float64] | None = self._connect().ask("route_line", timeout=RESET_TIMEOUT)
        return line

    @property
    def client_pid(self) -> int | None:
        """The id of the client process; None when it does not run or the client is not isolated."""
        return self._client.pid if isinstance(self._client, ClientProcess) else None

    @property
    def server_pid(self) -> int | None:
        """The id of the server's process; None when it does not run or is not ours."""
        return self._server.pid

    def __del__(self) -> None:
        if hasattr(self, "_server"):  # an env that was refused never got so far
            self.close()

    def _observation(self) -> Observation:
        if self._state is None:
            return self._frames.copy()
        return {"image": self._frames.copy(), "state": self._state}

    def _connect(self) -> ClientProcess | LocalClient:
        """Start what is not running: the server, the client; try again with back-off when they get lost meanwhile."""
        attempt = 0
        while self._client is None:
            reason: Exception
            try:
                self._client = self._opened()
                self._was_connected = True
                break
            except ServerUnavailableError as error:
                if not self._was_connected and self._server.pid is None:
                    raise  # never seen, and not ours to start anew
                self._server.stop()
                reason = error
            except ClientLostError as error:
                if isinstance(error, ServerLostError):
                    self._server.stop()
                reason = error
            attempt += 1
            if attempt == (RETURN_ATTEMPTS if self._was_connected else START_ATTEMPTS):
                raise ServerUnavailableError(
                    f"No CARLA server could be used at {self._server.name} in {attempt} attempts ({reason}). "
                    "Check that a CARLA 0.9.16 server runs there."
                ) from reason
            time.sleep(BACK_OFF * 2 ** (attempt - 1))
        return self._client

    def _opened(self) -> ClientProcess | LocalClient:
        """A client that is connected to the server."""
        host, port = self._server.start()
        client = ClientProcess(self._server.is_alive) if self._isolated else LocalClient()
        try:
            description = client.open(host, port, self.scenario, self.render_mode is not None, OPEN_TIMEOUT)
            self._round_trip = client.ask("round_trip", timeout=RESET_TIMEOUT)
        except CarlaEnvError:
            client.close()
            raise
        logger.info("CarlaEnv uses %s at %s:%d: %s", self._server.name, host, port, description)
        if self._round_trip > SLOW_ROUND_TRIP:
            logger.warning(
                "CarlaEnv: a call to %s takes %.0f ms there and back, and every tick waits for one or more. "
                "Run the env on the server's machine for speed.",
                self._server.name,
                self._round_trip * 1e3,
            )
        return client

    def _patience(self, seconds: float, ticks: int, npcs: int = 0) -> float:
        """A deadline [s] that a slow link does not take for a hung server.

        :param seconds: on a fast link
        :param ticks: that are waited for
        :param npcs: that are made
        """
        return seconds + self._round_trip * (CALLS_PER_TICK * ticks + CALLS_PER_NPC * npcs)

    def _lose_client(self, error: ClientLostError) -> None:
        logger.warning("CarlaEnv: %s; the episode is truncated and the next one starts anew", error)
        self._client = None
        if isinstance(error, ServerLostError):
            self._server.stop()
            self._episodes = 0

    def _recycle(self) -> str | None:
        """End a server of ours that is due, so that it is started anew; a sentence why, for ``info["carla"]``."""
        pid = self._server.pid
        if pid is None or self._client is None:
            return None
        reason = None
        if self._recycle_episodes is not None and self._episodes >= self._recycle_episodes:
            reason = f"the server was started anew after {self._episodes} episodes"
        elif self._recycle_gb is not None and (held := resident_memory(pid) / 1e9) > self._recycle_gb:
            reason = f"the server was started anew: it held {held:.2f} GB"
        if reason is not None:
            logger.info("CarlaEnv: %s", reason)
            self._client.close()
            self._client = None
            self._server.stop()
            self._episodes = 0
        return reason

    def _show(self) -> None:
        """Show the newest frame in a window, for ``render_mode="human"``."""
        if self.render_mode == "human":
            image = self._rendered()
            if image is not None:
                show(image)

    def _rendered(self) -> npt.NDArray[np.uint8] | None:
        """The newest frame for render(); None if the server is lost over it, which the next step reports."""
        if self._client is None:
            return None
        try:
            image: npt.NDArray[np.uint8] = self._client.ask("render", timeout=STEP_TIMEOUT)
        except ClientLostError as error:
            self._lose_client(error)
            return None
        return image


def _clip(value: float) -> float:
    return min(max(value, -1.0), 1.0)
