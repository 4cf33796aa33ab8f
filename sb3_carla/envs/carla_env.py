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
from sb3_carla.envs.errors import CarlaEnvError, ConfigurationError, ServerUnavailableError, did_you_mean
from sb3_carla.envs.isolation import ClientLostError, ClientProcess, ServerLostError
from sb3_carla.envs.observation import State, observation_space
from sb3_carla.envs.scenario import Scenario
from sb3_carla.envs.servers import Server, make_server
from sb3_carla.envs.window import require_display, show

logger = logging.getLogger("sb3_carla")
if not logger.hasHandlers():  # a user who configured logging decides; everybody else still reads which server is used
    logger.addHandler(logging.StreamHandler())
    logger.setLevel(logging.INFO)

OPEN_TIMEOUT = 120.0  # [s] to connect, load the town and build the actors
RESET_TIMEOUT = 60.0  # [s]
STEP_TIMEOUT = 15.0  # [s] beyond the client's own 10 s for a call
START_ATTEMPTS = 3  # before the server counts as not to be had
BACK_OFF = 1.0  # [s] before the second attempt, doubled for each further one

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
      ``speed_limiter`` takes the throttle away. With ``actions="discrete"`` one of 15 pairs
      (:mod:`sb3_carla.envs.actions`).
    - Reward: the sum of ``info["reward_terms"]``, see :mod:`sb3_carla.envs.reward`.
    - Terminated: collision, off road, wrong way, stuck, off route, goal; ``info["termination"]`` says which.
    - ``info["metrics"]`` at an episode's end: :class:`sb3_carla.envs.metrics.EpisodeMetrics` as a dict.
    - Truncated: after ``max_episode_steps``, or when the server or the client process was lost: then
      ``info["carla"]`` says what happened, and the next reset starts them anew.

    :param server: ``"embedded"`` (our simulator, the default), ``"host:port"`` of a CARLA 0.9.16 server, or the path
        of its start script (``CarlaUE4.sh``), which is then started and ended by the env. The environment variable
        ``SB3_CARLA_SERVER`` replaces the default. There is no fall-back from one to another.
    :param scenario: name of a scenario, see :data:`sb3_carla.envs.SCENARIOS`
    :param seed: seed of the first reset that is given none; by default it is drawn
    :param render_mode: ``"rgb_array"`` (a camera behind the car, 640x360), ``"human"`` (in a window) or None
    :param isolated: run the carla client in a process of its own; False runs it in this one, for a debugger
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
        self._isolated = isolated
        self._next_seed = seed
        self._frames = np.zeros(0, np.uint8)  # the stack, oldest first
        self._state: State | None = None
        self._steps: int | None = None  # None: no episode under way
        self._client: ClientProcess | LocalClient | None = None
        self._server: Server = make_server(server, self.scenario.town)
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
            seed, self._next_seed = self._next_seed, None
        attempt = 0
        while True:
            client = self._connect()
            try:
                (frame, self._state), info = client.ask("reset", seed, autopilot, timeout=RESET_TIMEOUT)
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
        self._frames = np.tile(frame, (self.scenario.frame_stack, 1, 1))
        self._steps = 0
        self._show()
        return self._observation(), info

    def step(self, action: Action) -> tuple[Observation, SupportsFloat, bool, bool, dict[str, Any]]:
        """Drive for one step of ``fixed_delta_seconds * action_repeat``.

        :param action: (2,) steer and throttle/brake, clipped to [-1, 1]; or the index of a discrete action
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
            answer = self._client.ask("step", _clip(steer), _clip(pedal), timeout=STEP_TIMEOUT)
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
            host, port = self._server.start()
            try:
                client = ClientProcess(self._server.is_alive) if self._isolated else LocalClient()
                description = client.open(host, port, self.scenario, self.render_mode is not None, OPEN_TIMEOUT)
            except CarlaEnvError:
                client.close()
                raise
            except ClientLostError as error:
                if isinstance(error, ServerLostError):
                    self._server.stop()
                attempt += 1
                if attempt == START_ATTEMPTS:
                    raise ServerUnavailableError(
                        f"No CARLA server could be used at {self._server.name} in {attempt} attempts ({error}). "
                        "Check that a CARLA 0.9.16 server runs there."
                    ) from error
                time.sleep(BACK_OFF * 2 ** (attempt - 1))
            else:
                self._client = client
                logger.info("CarlaEnv uses %s at %s:%d: %s", self._server.name, host, port, description)
        return self._client

    def _lose_client(self, error: ClientLostError) -> None:
        logger.warning("CarlaEnv: %s; the episode is truncated and the next one starts anew", error)
        self._client = None
        if isinstance(error, ServerLostError):
            self._server.stop()

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


class LocalClient:
    """The task in this process, with the same face as ClientProcess but neither deadline nor protection."""

    def __init__(self) -> None:
        self._task: Any = None

    def open(self, host: str, port: int, scenario: Scenario, render: bool, timeout: float) -> str:
        """Connect to a server and build the task; return the server's version and map."""
        from sb3_carla.envs.task import DrivingTask  # imports carla

        self._task = DrivingTask(host, port, scenario, render)
        return str(self._task.description)

    def ask(self, name: str, *arguments: Any, timeout: float) -> Any:
        """Call a method of the task."""
        try:
            return getattr(self._task, name)(*arguments)
        except CarlaEnvError:
            raise
        except RuntimeError as error:
            self.close()
            raise ServerLostError(f"the server did not answer: {error}") from error

    def close(self) -> None:
        """Put the server back as it was."""
        task, self._task = self._task, None
        if task is not None:
            task.close()
