"""The frame buffer samples what Stable-Baselines3's buffers sample, byte for byte, from an eighth of the memory."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer

from sb3_carla.buffers import FrameReplayBuffer, frame_buffer
from sb3_carla.buffers.frame_store import FrameStore

SIZE = 13  # [px]: as small as twelve channels (four RGB frames) allow
ACTIONS = spaces.Box(-1, 1, (2,), np.float32)


def image_space(channels: int = 4, size: int = SIZE) -> spaces.Box:
    return spaces.Box(0, 255, (channels, size, size), np.uint8)


class StackedEnvs:
    """Histories of several environments as SB3 hands them to a buffer, with every kind of end and break.

    :param frame_channels: 1 for grayscale stacks, 3 for RGB
    :param values: pixels take so many values: few make frames repeat by chance
    """

    def __init__(self, seed: int, n_envs: int, frames: int, frame_channels: int = 1, values: int = 256) -> None:
        self.rng = np.random.default_rng(seed)
        self.shape = (frame_channels, SIZE, SIZE)
        self.n_envs, self.frames, self.values = n_envs, frames, values
        self.stacks = np.stack([self._first_stack() for _ in range(n_envs)])

    def _frame(self) -> np.ndarray:
        return self.rng.integers(0, self.values, self.shape, dtype=np.uint8)

    def _first_stack(self) -> np.ndarray:
        kind = self.rng.integers(3)
        if kind == 0:  # the first frame repeated
            return np.concatenate([self._frame()] * self.frames)
        if kind == 1:  # zeros, then the first frame, as VecFrameStack does
            return np.concatenate([*[np.zeros(self.shape, np.uint8)] * (self.frames - 1), self._frame()])
        return np.concatenate([self._frame() for _ in range(self.frames)])

    def step(self) -> tuple[Any, ...]:
        observations, next_observations = self.stacks.copy(), self.stacks.copy()
        dones, infos = np.zeros(self.n_envs, bool), []
        for env in range(self.n_envs):
            kind = self.rng.random()
            if kind < 0.8:
                moved = np.concatenate([self.stacks[env][self.shape[0] :], self._frame()])
            elif kind < 0.9:
                moved = self.stacks[env].copy()  # a camera that delivered nothing new
            else:
                moved = np.concatenate([self._frame() for _ in range(self.frames)])
            next_observations[env] = self.stacks[env] = moved
            dones[env] = self.rng.random() < 0.2
            infos.append({"TimeLimit.truncated": bool(dones[env] and self.rng.random() < 0.5)})
            if dones[env] or self.rng.random() < 0.05:  # an observation may also change without an end
                self.stacks[env] = self._first_stack()
        actions = self.rng.uniform(-1, 1, (self.n_envs, 2)).astype(np.float32)
        rewards = self.rng.normal(size=self.n_envs).astype(np.float32)
        return observations, next_observations, actions, rewards, dones, infos


def samples(buffer: ReplayBuffer, seed: int, batch_size: int = 16) -> list[np.ndarray | None]:
    np.random.seed(seed)  # noqa: NPY002  # what SB3's buffers draw from
    return [None if tensor is None else tensor.numpy() for tensor in buffer.sample(batch_size)]


def assert_equal_samples(expected: list[np.ndarray | None], found: list[np.ndarray | None]) -> None:
    for one, other in zip(expected, found, strict=True):
        if one is None or other is None:
            assert one is other
            continue
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert one.tobytes() == other.tobytes()


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_envs=st.integers(1, 3),
    frames=st.integers(2, 4),
    frame_channels=st.sampled_from([1, 3]),
    values=st.sampled_from([1, 2, 256]),
    buffer_size=st.integers(1, 40),
    steps=st.integers(1, 100),
    n_steps=st.sampled_from([1, 1, 2, 3]),
    handle_timeouts=st.booleans(),
)
def test_samples_equal_those_of_sb3_byte_for_byte(
    seed: int,
    n_envs: int,
    frames: int,
    frame_channels: int,
    values: int,
    buffer_size: int,
    steps: int,
    n_steps: int,
    handle_timeouts: bool,
) -> None:
    space = image_space(frames * frame_channels)
    kwargs: dict[str, Any] = {"device": "cpu", "n_envs": n_envs, "handle_timeout_termination": handle_timeouts}
    n_step = {"n_steps": n_steps, "gamma": 0.9} if n_steps > 1 else {}
    stock_class = NStepReplayBuffer if n_steps > 1 else ReplayBuffer
    stock = stock_class(buffer_size, space, ACTIONS, **kwargs, **n_step)
    ours = FrameReplayBuffer(buffer_size, space, ACTIONS, **kwargs, **n_step)
    envs = StackedEnvs(seed, n_envs, frames, frame_channels, values)
    for step in range(steps):
        transition = envs.step()
        stock.add(*transition)
        ours.add(*transition)
        if step % 9 == 0 or step == steps - 1:
            assert_equal_samples(samples(stock, seed % 1000 + step), samples(ours, seed % 1000 + step))
    assert (ours.size(), ours.full, ours.pos) == (stock.size(), stock.full, stock.pos)


def fill(buffer: FrameReplayBuffer, steps: int, episode: int = 100, seed: int = 0) -> None:
    """Add episodes of moving stacks of distinct frames, each beginning with its first frame repeated."""
    rng = np.random.default_rng(seed)
    frames, *shape = buffer.obs_shape
    stack = np.zeros(buffer.obs_shape, np.uint8)
    for step in range(steps):
        if step % episode == 0:
            stack = np.repeat(rng.integers(0, 256, (1, *shape), dtype=np.uint8), frames, axis=0)
        moved = np.concatenate([stack[1:], rng.integers(0, 256, (1, *shape), dtype=np.uint8)])
        done = step % episode == episode - 1
        buffer.add(stack[None], moved[None], np.zeros((1, 2)), np.zeros(1), np.array([done]), [{}])
        stack = moved


def test_a_transition_of_4x84x84_takes_less_than_7500_bytes() -> None:
    buffer = FrameReplayBuffer(10_000, image_space(4, 84), ACTIONS)
    fill(buffer, 12_000)
    assert buffer.full
    assert buffer.nbytes / 10_000 <= 7_500
    assert buffer.bytes_when_full / 10_000 <= 7_500
    assert buffer.stock_bytes / 10_000 == pytest.approx(2 * 4 * 84 * 84 + 20)


def test_an_episode_needs_one_frame_per_step_and_one_for_its_start() -> None:
    buffer = FrameReplayBuffer(1_000, image_space(), ACTIONS)
    fill(buffer, 300, episode=100)
    assert len(np.unique(buffer.observation_ids[:300])) == 300
    assert buffer.store._used == 303


def test_memory_stops_growing_when_the_buffer_is_full() -> None:
    buffer = FrameReplayBuffer(500, image_space(), ACTIONS)
    fill(buffer, 600)
    in_use = buffer.nbytes
    fill(buffer, 3_000, seed=1)
    assert buffer.nbytes <= in_use * 1.05


def test_every_stored_frame_is_either_used_by_a_row_or_free() -> None:
    buffer = FrameReplayBuffer(30, image_space(), ACTIONS, n_envs=2)
    envs = StackedEnvs(5, 2, 4)
    for _ in range(200):
        buffer.add(*envs.step())
    used = set(buffer.observation_ids.ravel()) | set(buffer.next_observation_ids.ravel())
    free = buffer.store._free
    assert len(free) == len(set(free))
    assert used.isdisjoint(free)
    assert used | set(free) == set(range(buffer.store._used))


def test_a_saved_buffer_samples_and_goes_on_as_before(tmp_path: Path) -> None:
    buffer = FrameReplayBuffer(60, image_space(), ACTIONS)
    envs = StackedEnvs(1, 1, 4)
    for _ in range(45):
        buffer.add(*envs.step())
    saved = pickle.dumps(buffer)
    assert len(saved) < 200 * SIZE * SIZE + 20_000, "only frames in use are saved"
    loaded = pickle.loads(saved)
    for _ in range(100):
        assert_equal_samples(samples(buffer, 3), samples(loaded, 3))
        transition = envs.step()
        buffer.add(*transition)
        loaded.add(*transition)


def test_memory_is_only_taken_as_the_buffer_fills() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a machine of less than 7 GB is warned
        buffer = FrameReplayBuffer(1_000_000, image_space(4, 84), ACTIONS)
    assert buffer.store.nbytes == 0
    assert "1,000,000 transitions of 4x84x84: 7.1" in buffer.describe_memory()


def test_a_buffer_larger_than_the_memory_is_warned_of_at_construction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_buffer, "physical_memory", lambda: 1_000_000)
    with pytest.warns(UserWarning, match="Lower buffer_size"):
        FrameReplayBuffer(10_000, image_space(), ACTIONS)


@pytest.mark.parametrize(
    ("space", "kwargs", "message"),
    [
        (spaces.Box(-1, 1, (3,)), {}, "stores uint8 images"),
        (spaces.Box(0, 1, (4, 84, 84)), {}, "stores uint8 images"),
        (spaces.Box(0, 255, (84, 84, 4), np.uint8), {}, "stores uint8 images"),
        (image_space(), {"optimize_memory_usage": True}, "Leave it out"),
        (image_space(), {"n_steps": 0}, "n_steps is 0"),
    ],
)
def test_what_cannot_be_stored_is_refused(space: spaces.Space[Any], kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FrameReplayBuffer(10, space, ACTIONS, **kwargs)


def test_a_freed_plane_is_used_again() -> None:
    store = FrameStore(2, 2)
    first, second = (store.put(np.full((2, 2), value, np.uint8)) for value in (1, 2))
    store.hold([first, first, second])
    store.release([first])
    assert store.put(np.zeros((2, 2), np.uint8)) not in (first, second), "one reference is left"
    store.release([first])
    assert store.put(np.full((2, 2), 9, np.uint8)) == first
    np.testing.assert_array_equal(store.take(np.array([[first, second]]))[0, :, 0, 0], [9, 2])
