"""Frames to an MP4 file."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray

from sb3_carla.command_line import CommandError


class VideoError(CommandError):
    """A video file that cannot be written."""


class VideoFile:
    """An MP4 file that is opened with the first frame, since that one decides the size.

    :param path: the file; missing folders are made
    :param fps: frames per second; read when the first frame comes
    """

    def __init__(self, path: Path, fps: float = 30.0) -> None:
        self.path, self.fps, self.frames = path, fps, 0
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)  # width, height [pixel]
        if path.suffix.lower() != ".mp4":
            raise VideoError(f"{path} does not end in .mp4. Give such a file name.")

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Append one frame.

        :param frame: (height, width, 3), RGB; every frame has the first one's size
        """
        if self._writer is None:
            self._writer = self._open(frame)
        if (frame.shape[1], frame.shape[0]) != self._size:  # OpenCV would drop it without a word
            raise VideoError(f"A frame of {frame.shape} does not fit {self.path}, which has {self._size}.")
        self._writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        self.frames += 1

    def close(self) -> None:
        """Finish the file; safe to call again."""
        if self._writer is not None:
            self._writer.release()
            self._writer = None

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, frame: NDArray[np.uint8]) -> cv2.VideoWriter:
        self._size = (frame.shape[1], frame.shape[0])
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise VideoError(f"{self.path} cannot be written: {error.strerror}. Choose another folder.") from error
        writer = cv2.VideoWriter(str(self.path), cv2.VideoWriter.fourcc(*"mp4v"), self.fps, self._size)
        if not writer.isOpened():
            raise VideoError(f"OpenCV cannot write {self.path}. Check the folder's permissions and the disk.")
        return writer
