"""Replay buffers for Stable-Baselines3's off-policy algorithms.

- `FrameReplayBuffer`: stacked images, every frame stored once
"""

from sb3_carla.buffers.frame_buffer import FrameReplayBuffer

__all__ = ["FrameReplayBuffer"]
