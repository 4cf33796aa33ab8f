"""Prioritized replay draws, weighs and forgets as its formulas say."""

from __future__ import annotations

import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3.common.buffers import ReplayBuffer

from sb3_carla.buffers import FrameReplayBuffer, PrioritizedFrameReplayBuffer, PrioritizedReplayBuffer
from sb3_carla.buffers.sum_tree import SumTree
from sb3_carla.td3 import TD3

VECTORS, ACTIONS = spaces.Box(-1, 1, (3,), np.float32), spaces.Box(-1, 1, (2,), np.float32)
IMAGES = spaces.Box(0, 255, (4, 13, 13), np.uint8)


@given(
    values=st.lists(st.floats(0, 1e3), min_size=1, max_size=40).filter(lambda values: sum(values) > 1e-3),
    shares=st.lists(st.floats(0, 0.999), min_size=1, max_size=10),
)
def test_the_tree_finds_what_a_search_in_the_cumulative_sum_finds(values: list[float], shares: list[float]) -> None:
    tree = SumTree(len(values))
    tree.set(np.arange(len(values)), np.array(values))
    assert tree.total == pytest.approx(sum(values))
    found = tree.find(np.array(shares) * tree.total)
    upper = np.cumsum(values)
    lower = upper - values
    wanted = np.array(shares) * tree.total
    slack = 1e-9 * tree.total
    assert (lower[found] - slack <= wanted).all()
    assert (wanted <= upper[found] + slack).all()
    assert (np.array(values)[found] > 0).all(), "an index of value zero is never found"


def filled(buffer_class: type[ReplayBuffer], steps: int = 20, size: int = 20, n_envs: int = 1, **kwargs: Any) -> Any:
    space = IMAGES if issubclass(buffer_class, FrameReplayBuffer) else VECTORS
    buffer = buffer_class(size, space, ACTIONS, device="cpu", n_envs=n_envs, **kwargs)
    rng = np.random.default_rng(0)
    for step in range(steps):
        observations, following = (rng.integers(0, 256, (n_envs, *space.shape)).astype(space.dtype) for _ in range(2))
        rewards = step * n_envs + np.arange(n_envs)  # tell which transition a sample is
        buffer.add(observations, following, np.zeros((n_envs, 2)), rewards, np.zeros(n_envs), [{}] * n_envs)
    return buffer


@pytest.mark.parametrize("buffer_class", [PrioritizedReplayBuffer, PrioritizedFrameReplayBuffer])
def test_transitions_come_as_often_as_their_priorities_say(buffer_class: Any) -> None:
    buffer = filled(buffer_class, n_envs=2, size=20, steps=10, alpha=0.5, beta=0.7, epsilon=1e-9)
    errors = np.linspace(0.1, 3, 20)
    buffer.update_priorities(np.arange(20), -errors)
    np.random.seed(0)  # noqa: NPY002
    batches = [buffer.sample(50) for _ in range(200)]
    counts = np.bincount(np.concatenate([batch.places for batch in batches]), minlength=20)
    probabilities = errors**0.5 / (errors**0.5).sum()
    np.testing.assert_allclose(counts / counts.sum(), probabilities, atol=0.01)

    weights = (20 * probabilities[batches[0].places]) ** -0.7
    np.testing.assert_allclose(batches[0].weights[:, 0], weights / weights.max(), rtol=1e-5)
    np.testing.assert_array_equal(batches[0].rewards[:, 0], batches[0].places)


def test_a_new_transition_has_the_largest_priority_and_an_overwritten_one_is_gone() -> None:
    buffer = filled(PrioritizedReplayBuffer, steps=20, size=20)
    buffer.update_priorities(np.arange(20), np.full(20, 1e-3))
    buffer.update_priorities(np.array([7]), np.array([50.0]))
    buffer.add(np.zeros((1, 3)), np.zeros((1, 3)), np.zeros((1, 2)), np.array([99.0]), np.zeros(1), [{}])
    rewards = np.concatenate([buffer.sample(10).rewards[:, 0] for _ in range(100)])
    assert abs((rewards == 99).mean() - (rewards == 7).mean()) < 0.05
    assert (rewards == 99).mean() > 0.4
    assert not (rewards == 0).any()


def test_with_alpha_zero_all_are_equal() -> None:
    buffer = filled(PrioritizedReplayBuffer, alpha=0.0)
    buffer.update_priorities(np.arange(20), np.linspace(0, 9, 20))
    batch = buffer.sample(20)
    assert (batch.weights == 1).all()
    assert sorted(batch.places) == list(range(20)), "each of 20 equal shares has one of 20 equal transitions"


def test_beta_rises_to_one() -> None:
    buffer = filled(PrioritizedReplayBuffer, alpha=1.0, beta=0.0, beta_samples=10, epsilon=1e-9)
    buffer.update_priorities(np.arange(20), np.linspace(1, 20, 20))
    assert (buffer.sample(20).weights == 1).all(), "beta is 0"
    batches = [buffer.sample(20) for _ in range(10)]
    probabilities = (batches[-1].places + 1) / 210
    np.testing.assert_allclose(batches[-1].weights[:, 0], probabilities.min() / probabilities, rtol=1e-5)


def test_n_step_returns_are_those_of_sb3() -> None:
    buffer = filled(PrioritizedReplayBuffer, n_steps=3, gamma=0.5, steps=10)
    batch = buffer.sample(10)
    first = batch.places
    for place, reward, discount in zip(first, batch.rewards[:, 0], batch.discounts[:, 0], strict=True):
        steps = [step for step in range(place, place + 3) if step < 10]
        assert reward == pytest.approx(sum(0.5**k * step for k, step in enumerate(steps)))
        assert discount == 0.5 ** len(steps)


def test_a_saved_buffer_draws_as_before() -> None:
    buffer = filled(PrioritizedFrameReplayBuffer)
    buffer.update_priorities(np.arange(20), np.linspace(1, 20, 20))
    loaded = pickle.loads(pickle.dumps(buffer))
    places = []
    for one in (buffer, loaded):
        np.random.seed(3)  # noqa: NPY002
        places.append(one.sample(16).places)
    np.testing.assert_array_equal(*places)


@pytest.mark.parametrize("kwargs", [{"alpha": -1}, {"beta": 2}, {"epsilon": 0}, {"n_steps": 2, "n_envs": 2}])
def test_bad_arguments_are_refused(kwargs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"Give alpha|one environment"):
        PrioritizedReplayBuffer(20, VECTORS, ACTIONS, **kwargs)


def test_td3_weighs_its_loss_and_gives_the_errors_back() -> None:
    env = gym.make("Pendulum-v1")
    model = TD3("MlpPolicy", env, replay_buffer_class=PrioritizedReplayBuffer, seed=0, learning_starts=30, batch_size=8)
    model.learn(31)
    buffer = model.replay_buffer
    assert isinstance(buffer, PrioritizedReplayBuffer)
    drawn = []
    sample = buffer.sample
    buffer.sample = lambda *args, **kwargs: drawn.append(sample(*args, **kwargs)) or drawn[-1]  # type: ignore[method-assign,func-returns-value]
    before = buffer._tree.get(np.arange(31)).copy()
    model.train(gradient_steps=1, batch_size=8)
    changed = np.flatnonzero(buffer._tree.get(np.arange(31)) != before)
    assert len(changed) > 0
    assert set(changed) <= set(drawn[0].places)


class Images(gym.Env[Any, Any]):
    """Random stacks of 4x36x36."""

    observation_space = spaces.Box(0, 255, (4, 36, 36), np.uint8)
    action_space = ACTIONS

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), 1.0, False, False, {}


def test_td3_takes_the_frame_storing_kind_for_images_and_trains_with_it() -> None:
    model = TD3(
        "CnnPolicy",
        Images(),
        replay_buffer_class=PrioritizedReplayBuffer,
        replay_buffer_kwargs={"alpha": 0.7},
        buffer_size=100,
        learning_starts=8,
        batch_size=4,
        device="cpu",
    ).learn(12)
    assert type(model.replay_buffer) is model.replay_buffer_class is PrioritizedFrameReplayBuffer
    assert model.replay_buffer.alpha == 0.7
    assert model.last_update is not None
    assert model.last_update.finite
