"""The video of an evaluation: the car from behind, with what the driver sees, does, expects and earns beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sb3_carla.envs.actions import discrete_action
from sb3_carla.envs.observation import CHANNELS
from sb3_carla.envs.scenario import Scenario
from sb3_carla.evaluation.drivers import Driver
from sb3_carla.video import VideoFile

Image = npt.NDArray[np.uint8]  # (height, width, 3), RGB

PANEL = 260  # [pixel] width of the display beside the picture
VIEW = 168  # [pixel] height of the driver's own view in it
MARGIN, LINE = 10, 17  # [pixel]
WHITE, GREY, GREEN, RED, AMBER = (235, 235, 235), (120, 120, 120), (90, 200, 110), (230, 90, 80), (240, 180, 60)


class Film:
    """Films the episodes of one scenario into a file.

    :param path: an MP4 file
    :param scenario: for the step's length and the picture's channels
    :param fps: [1/s]
    :param saliency: show over the driver's view where its network looks
    """

    def __init__(self, path: Path, scenario: Scenario, fps: float, saliency: bool = False) -> None:
        self._file = VideoFile(path, fps)
        self._scenario, self._saliency = scenario, saliency
        self._earned = 0.0

    def begin(self, frame: Image | None, observation: Any, driver: Driver) -> None:
        """Film the first frame of an episode."""
        self._earned = 0.0
        self._write(frame, observation, None, {}, driver)

    def add(
        self, frame: Image | None, observation: Any, action: Any, reward: float, info: dict[str, Any], driver: Driver
    ) -> None:
        """Film a step.

        :param frame: after the step
        :param observation: that the driver saw before it
        :param action: that it chose
        :param reward: of the step
        :param info: of the step
        :param driver: is asked for its value of the action, and where it looks
        """
        self._earned += reward
        self._write(frame, observation, action, info, driver)

    def close(self) -> None:
        """Finish the file."""
        self._file.close()

    def _write(self, frame: Image | None, observation: Any, action: Any, info: dict[str, Any], driver: Driver) -> None:
        if frame is None:  # the server was lost over it
            return
        heat = driver.saliency(observation) if self._saliency else None
        panel = np.full((frame.shape[0], PANEL, 3), 28, np.uint8)
        y = self._draw_view(panel, observation, heat)
        pen = _Pen(panel, y)
        pen.text(f"{driver.name}  {self._scenario.name}", WHITE)
        if action is not None:
            steer, pedal = discrete_action(int(action)) if np.ndim(action) == 0 else np.asarray(action).tolist()
            value = driver.value(observation, action)
            pen.text(f"{info['speed_kmh']:5.1f} km/h   {info['distance']:6.1f} m", WHITE)
            if not driver.reset_options:  # a passenger's actions count for nothing
                pen.bar("steer", steer, GREEN)
                name = "speed" if self._scenario.actions == "speed" else "pedal"
                pen.bar(name, pedal, GREEN if pedal >= 0.0 else RED)
            pen.text(f"reward {self._earned:8.2f}" + ("" if value is None else f"   Q {value:8.2f}"), AMBER)
            for name, term in info["reward_terms"].items():
                if term != 0.0:
                    pen.text(f"  {name:<14s}{term:+8.3f}", GREY if abs(term) < 1.0 else RED if term < 0.0 else GREEN)
            if "termination" in info:
                pen.text(f"ended by {info['termination']}", GREEN if info["termination"] == "goal" else RED)
        self._file.add(np.concatenate([frame, panel], axis=1))

    def _draw_view(self, panel: Image, observation: Any, heat: npt.NDArray[np.float32] | None) -> int:
        """The newest picture that the driver sees, its saliency over it; returns the row below."""
        image = observation["image"] if isinstance(observation, dict) else observation
        newest = image[-CHANNELS[self._scenario.camera] :]
        rgb = np.repeat(newest, 3, axis=0) if len(newest) == 1 else newest
        picture = np.ascontiguousarray(rgb.transpose(1, 2, 0))
        width = min(round(VIEW * picture.shape[1] / picture.shape[0]), PANEL - 2 * MARGIN)
        picture = cv2.resize(picture, (width, VIEW), interpolation=cv2.INTER_NEAREST)
        if heat is not None:
            colours = cv2.applyColorMap((cv2.resize(heat, (width, VIEW)) * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
            picture = cv2.addWeighted(picture, 0.5, colours[:, :, ::-1], 0.7, 0.0)
        panel[MARGIN : MARGIN + VIEW, MARGIN : MARGIN + width] = picture
        return MARGIN + VIEW


class _Pen:
    """Writes line after line into a panel, as far as there is room."""

    def __init__(self, panel: Image, y: int) -> None:
        self._panel, self._y = panel, y

    def text(self, text: str, colour: tuple[int, int, int]) -> None:
        """One line of text."""
        self._y += LINE
        if self._y < len(self._panel):
            place = (MARGIN, self._y)
            cv2.putText(self._panel, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)

    def bar(self, name: str, value: float, colour: tuple[int, int, int]) -> None:
        """A value from -1 to 1 as a bar from the middle."""
        self.text(f"{name} {value:+.2f}", WHITE)
        left, right = MARGIN + 100, PANEL - MARGIN
        middle, half = (left + right) // 2, (right - left) // 2
        cv2.rectangle(self._panel, (left, self._y - 9), (right, self._y), GREY, 1)
        end = middle + round(min(max(value, -1.0), 1.0) * half)
        cv2.rectangle(self._panel, (min(middle, end), self._y - 9), (max(middle, end), self._y), colour, -1)
