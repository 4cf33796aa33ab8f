"""Replay buffers for Stable-Baselines3's off-policy algorithms.

- `FrameReplayBuffer`: stacked images, every frame stored once
- `PrioritizedReplayBuffer`: draws by TD error; `PrioritizedFrameReplayBuffer` does both
"""

from sb3_carla.buffers.frame_buffer import FrameReplayBuffer
from sb3_carla.buffers.prioritized import (
    PrioritizedFrameReplayBuffer,
    PrioritizedReplayBuffer,
    PrioritizedSamples,
    frame_storing,
)

__all__ = [
    "FrameReplayBuffer",
    "PrioritizedFrameReplayBuffer",
    "PrioritizedReplayBuffer",
    "PrioritizedSamples",
    "frame_storing",
]
