"""The frame buffer samples what Stable-Baselines3's buffers sample, byte for byte, from an eighth of the memory."""

from __future__ import annotations

import gc
import pickle
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.buffers import DictReplayBuffer, NStepReplayBuffer, ReplayBuffer

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


DICT = spaces.Dict(
    camera=image_space(),
    state=spaces.Box(-1, 1, (3,), np.float32),
    gear=spaces.Discrete(5),
    other_camera=image_space(2),
    mask=spaces.Box(0, 255, (1, 4, 4), np.uint8),  # one channel: no stack
)


class DictEnvs:
    """`StackedEnvs` with two cameras and other entries of every kind."""

    def __init__(self, seed: int, n_envs: int) -> None:
        self.cameras = StackedEnvs(seed, n_envs, 4), StackedEnvs(seed + 1, n_envs, 2)
        self.rng, self.n_envs = np.random.default_rng(seed), n_envs

    def step(self) -> tuple[Any, ...]:
        camera, next_camera, *rest = self.cameras[0].step()
        other_camera, next_other_camera, *_ = self.cameras[1].step()
        return (
            self._entries(camera, other_camera),
            self._entries(next_camera, next_other_camera),
            *rest,
        )

    def _entries(self, camera: np.ndarray, other_camera: np.ndarray) -> dict[str, np.ndarray]:
        return {
            "camera": camera,
            "state": self.rng.uniform(-1, 1, (self.n_envs, 3)).astype(np.float32),
            "gear": self.rng.integers(0, 5, self.n_envs),
            "other_camera": other_camera,
            "mask": self.rng.integers(0, 256, (self.n_envs, 1, 4, 4), dtype=np.uint8),
        }


@given(
    seed=st.integers(0, 2**32 - 2),
    n_envs=st.integers(1, 3),
    buffer_size=st.integers(1, 40),
    steps=st.integers(1, 60),
    handle_timeouts=st.booleans(),
)
def test_samples_of_dict_observations_equal_those_of_sb3_byte_for_byte(
    seed: int, n_envs: int, buffer_size: int, steps: int, handle_timeouts: bool
) -> None:
    kwargs: dict[str, Any] = {"device": "cpu", "n_envs": n_envs, "handle_timeout_termination": handle_timeouts}
    stock = DictReplayBuffer(buffer_size, DICT, ACTIONS, **kwargs)
    ours = FrameReplayBuffer(buffer_size, DICT, ACTIONS, **kwargs)
    envs = DictEnvs(seed, n_envs)
    for _ in range(steps):
        transition = envs.step()
        stock.add(*transition)
        ours.add(*transition)
    np.random.seed(seed % 1000)  # noqa: NPY002
    expected = stock.sample(16)
    np.random.seed(seed % 1000)  # noqa: NPY002
    found = ours.sample(16)
    assert type(found) is type(expected)
    for one, other in zip(expected, found, strict=True):
        pairs = [(one, other)] if not isinstance(one, dict) else [(one[key], other[key]) for key in DICT.spaces]
        assert_equal_samples(*([None if x is None else x.numpy() for x in side] for side in zip(*pairs, strict=True)))


def test_n_step_returns_of_dict_observations_are_those_of_sb3_for_images() -> None:
    stock = NStepReplayBuffer(30, DICT["camera"], ACTIONS, device="cpu", n_envs=2, n_steps=3, gamma=0.9)
    ours = FrameReplayBuffer(30, DICT, ACTIONS, device="cpu", n_envs=2, n_steps=3, gamma=0.9)
    envs = DictEnvs(0, 2)
    for _ in range(50):
        observations, next_observations, *rest = envs.step()
        stock.add(observations["camera"], next_observations["camera"], *rest)
        ours.add(observations, next_observations, *rest)
    np.random.seed(0)  # noqa: NPY002
    expected = stock.sample(32)
    np.random.seed(0)  # noqa: NPY002
    found = ours.sample(32)
    found = found._replace(
        observations=found.observations["camera"], next_observations=found.next_observations["camera"]
    )
    assert_equal_samples(*([tensor.numpy() for tensor in batch] for batch in (expected, found)))


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
    assert len(np.unique(buffer.images["image"].ids[:300])) == 300
    assert buffer.images["image"].store._used == 303


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
    column = buffer.images["image"]
    used = set(column.ids.ravel()) | set(column.next_ids.ravel())
    free = column.store._free
    assert len(free) == len(set(free))
    assert used.isdisjoint(free)
    assert used | set(free) == set(range(column.store._used))


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
    assert buffer.images["image"].store.nbytes == 0
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
        (spaces.Dict(state=spaces.Box(-1, 1, (3,))), {}, "stores uint8 images"),
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


def test_on_the_disk_it_samples_the_same_and_a_save_is_small(tmp_path: Path) -> None:
    in_memory = FrameReplayBuffer(40, image_space(), ACTIONS)
    on_disk = FrameReplayBuffer(40, image_space(), ACTIONS, folder=tmp_path / "frames")
    assert not (tmp_path / "frames").exists(), "nothing before the first frame"
    envs = StackedEnvs(2, 1, 4)
    for _ in range(130):
        transition = envs.step()
        in_memory.add(*transition)
        on_disk.add(*transition)
        assert_equal_samples(samples(in_memory, 4), samples(on_disk, 4))
    assert len(pickle.dumps(on_disk)) < len(pickle.dumps(in_memory)) - 40 * SIZE * SIZE


@given(seed=st.integers(0, 1000), before=st.integers(0, 60), between=st.integers(0, 60), after=st.integers(0, 60))
def test_a_saved_buffer_on_the_disk_stays_valid_whatever_came_after_it(
    seed: int, before: int, between: int, after: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        buffer = FrameReplayBuffer(20, image_space(), ACTIONS, folder=folder)
        reference = FrameReplayBuffer(20, image_space(), ACTIONS)
        envs = StackedEnvs(seed, 1, 4)
        for steps in (before, between):
            for _ in range(steps + 1):
                transition = envs.step()
                buffer.add(*transition)
                reference.add(*transition)
            saved = pickle.dumps(buffer)
        for _ in range(after):  # lost in a crash
            buffer.add(*envs.step())
        resumed = pickle.loads(saved)
        for _ in range(30):
            assert_equal_samples(samples(reference, 5), samples(resumed, 5))
            transition = envs.step()
            resumed.add(*transition)
            reference.add(*transition)


def test_a_file_of_frames_outlives_the_buffer_only_if_it_was_saved(tmp_path: Path) -> None:
    for saved, files in ((False, 0), (True, 1)):
        buffer = FrameReplayBuffer(20, image_space(), ACTIONS, folder=tmp_path)
        fill(buffer, 5)
        assert len(list(tmp_path.iterdir())) == 1
        if saved:
            pickle.dumps(buffer)
        del buffer
        gc.collect()
        assert len(list(tmp_path.iterdir())) == files


def test_missing_frames_are_an_error_that_names_the_file(tmp_path: Path) -> None:
    buffer = FrameReplayBuffer(20, image_space(), ACTIONS, folder=tmp_path)
    fill(buffer, 5)
    saved = pickle.dumps(buffer)
    file = next(tmp_path.iterdir())
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(FileNotFoundError, match=f"were in {file}, which is missing or too short"):
        pickle.loads(saved)


def test_of_two_saves_on_the_disk_the_earlier_is_refused_once_frames_have_come_in(tmp_path: Path) -> None:
    buffer = FrameReplayBuffer(20, image_space(), ACTIONS, folder=tmp_path)
    fill(buffer, 30)
    earlier = pickle.dumps(buffer)
    fill(buffer, 30, seed=1)
    later = pickle.dumps(buffer)
    pickle.loads(earlier)  # no frame has come in since: all are still there, as after a crash in the second save
    fill(buffer, 1, seed=2)
    with pytest.raises(ValueError, match=r"later ones have taken their place\. Load what was saved last"):
        pickle.loads(earlier)
    pickle.loads(later)


def test_a_buffer_saved_empty_makes_its_folder_with_the_first_frame(tmp_path: Path) -> None:
    buffer = FrameReplayBuffer(20, image_space(), ACTIONS, folder=tmp_path / "new")
    pickle.dumps(buffer)
    fill(buffer, 5)
    assert buffer.size() == 5


def test_a_buffer_that_was_saved_empty_leaves_the_frames_of_later_saves_alone(tmp_path: Path) -> None:
    buffer = FrameReplayBuffer(20, image_space(), ACTIONS, folder=tmp_path)
    empty = pickle.dumps(buffer)
    fill(buffer, 10)
    later = pickle.dumps(buffer)
    rows = np.arange(10)
    before = buffer.observations[rows, 0].copy()
    fill(pickle.loads(empty), 15, seed=1)
    np.testing.assert_array_equal(pickle.loads(later).observations[rows, 0], before)


def test_what_it_takes_on_the_disk_is_said_and_compared_with_the_free_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = FrameReplayBuffer(1_000, image_space(4, 84), ACTIONS, folder=tmp_path / "new")
    assert f"0.01 GB when full, 0.01 GB of it on the disk in {tmp_path / 'new'}" in buffer.describe_memory()
    monkeypatch.setattr(frame_buffer, "free_space", lambda folder: 1_000_000)
    with pytest.warns(UserWarning, match="The disk has 0.0 GB left. Lower buffer_size"):
        FrameReplayBuffer(1_000, image_space(4, 84), ACTIONS, folder=tmp_path / "new")
