"""The actor loss reaches the actor through the action only, and what happens where it does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from pixels import FixedBatches, PixelEnv
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.utils import polyak_update
from torch import nn
from torch.nn import functional as F

from sb3_carla.td3 import TD3

TRANSITIONS = 400
UPDATES = 200
GAMMA = 0.99


class SmallCNN(BaseFeaturesExtractor):
    """Convolutions of 4, 8 and 8 channels and 64 plain features: unbounded, as in the system that blew up."""

    def __init__(self, observation_space: spaces.Box) -> None:
        super().__init__(observation_space, 64)
        self.layers = nn.Sequential(
            nn.Conv2d(4, 4, 8, 4),
            nn.LeakyReLU(),
            nn.Conv2d(4, 8, 4, 2),
            nn.LeakyReLU(),
            nn.Conv2d(8, 8, 3),
            nn.LeakyReLU(),
            nn.Flatten(),
        )
        self.head = nn.Sequential(nn.Linear(8, 64), nn.LeakyReLU())

    def forward(self, observations: th.Tensor) -> th.Tensor:
        features: th.Tensor = self.head(self.layers(observations))
        return features


class RandomTransitions:
    """Uniformly random transitions with rewards in [-1, 1], drawn again and again."""

    def __init__(self, seed: int, batch_size: int = 32) -> None:
        self.rng = np.random.default_rng(seed)
        self.batch_size = batch_size
        self.images = th.as_tensor(self.rng.integers(0, 256, (2, TRANSITIONS, 4, 42, 42), dtype=np.uint8))
        self.actions = th.as_tensor(self.rng.uniform(-1, 1, (TRANSITIONS, 2)), dtype=th.float32)
        self.rewards = th.as_tensor(self.rng.uniform(-1, 1, (TRANSITIONS, 1)), dtype=th.float32)
        self.dones = th.as_tensor(self.rng.random((TRANSITIONS, 1)) < 0.05, dtype=th.float32)

    def sample(self, batch_size: int, env: object = None) -> ReplayBufferSamples:
        rows = self.rng.integers(0, TRANSITIONS, self.batch_size)
        return ReplayBufferSamples(
            self.images[0, rows], self.actions[rows], self.images[1, rows], self.dones[rows], self.rewards[rows]
        )


def make_model(seed: int = 0, **settings: object) -> TD3:
    settings = {
        "learning_rate": 1e-3,
        "buffer_size": 10,
        "policy_kwargs": {"features_extractor_class": SmallCNN, "net_arch": [256, 256]},
        **settings,
    }
    model = TD3("CnnPolicy", PixelEnv(), seed=seed, device="cpu", **settings)  # type: ignore[arg-type]
    model.set_logger(Logger(None, []))
    return model


def leaky_update(model: TD3, buffer: RandomTransitions) -> float:
    """The founding system's update: the critic reads the *actor's* features in the actor loss, with gradient."""
    batch = buffer.sample(32)
    with th.no_grad():
        noise = th.empty_like(batch.actions).normal_(0, 0.2).clamp(-0.5, 0.5)
        next_actions = (model.actor_target(batch.next_observations) + noise).clamp(-1, 1)
        next_q = th.cat(model.critic_target(batch.next_observations, next_actions), dim=1).amin(dim=1, keepdim=True)
        target = batch.rewards + (1 - batch.dones) * GAMMA * next_q
    critic_loss = sum(F.mse_loss(q_value, target) for q_value in model.critic(batch.observations, batch.actions))
    model.critic.optimizer.zero_grad()
    critic_loss.backward()  # type: ignore[union-attr]
    nn.utils.clip_grad_norm_(model.critic.parameters(), 10.0)
    model.critic.optimizer.step()

    features = model.actor.extract_features(batch.observations, model.actor.features_extractor)
    q_policy = model.critic.q_networks[0](th.cat([features, model.actor.mu(features)], dim=1)).mean()
    model.actor.optimizer.zero_grad()
    (-q_policy).backward()
    nn.utils.clip_grad_norm_(model.actor.parameters(), 1.0)
    model.actor.optimizer.step()
    polyak_update(model.critic.parameters(), model.critic_target.parameters(), 0.005)
    polyak_update(model.actor.parameters(), model.actor_target.parameters(), 0.005)
    return q_policy.item()


@pytest.mark.parametrize("seed", [0, 1])
def test_the_wrong_form_breaks_the_bound_on_q_and_ours_stays_small(seed: int) -> None:
    bound = 1.0 / (1 - GAMMA)  # r_max / (1 - gamma)

    wrong, buffer = make_model(seed), RandomTransitions(seed)
    explosion = next((update for update in range(1, UPDATES + 1) if abs(leaky_update(wrong, buffer)) > bound), None)
    assert explosion is not None, f"the wrong form stayed within its bound for {UPDATES} updates"

    right = make_model(seed, policy_delay=1)
    right.replay_buffer = RandomTransitions(seed)  # type: ignore[assignment]
    for _ in range(explosion):
        right.train(gradient_steps=1, batch_size=32)
        assert right.last_update is not None
        assert right.last_update.q_policy_mean is not None
        assert abs(right.last_update.q_policy_mean) < bound / 20


MODES = {
    "separate CNNs": {},
    "one CNN of the actor": {"share_features_extractor": True},
    "one CNN of the critic": {"encoder": "critic"},
}


@pytest.mark.parametrize("policy", ["CnnPolicy", "MaxPoolCnnPolicy", "GruCnnPolicy"])
@pytest.mark.parametrize("mode", MODES)
def test_a_cut_action_leaves_no_gradient_of_the_actor_loss_anywhere(policy: str, mode: str) -> None:
    model = TD3(
        policy,
        PixelEnv(),
        seed=0,
        device="cpu",
        buffer_size=10,
        policy_kwargs=MODES[mode],
        smoothness=0.1,
    )
    model.set_logger(Logger(None, []))
    model.replay_buffer = FixedBatches(RandomTransitions(0, batch_size=4).sample(4))  # type: ignore[assignment]
    seen = _watch_gradients_of_the_actor_step(model)

    model.train(gradient_steps=2)
    assert seen["actor"]
    assert all(seen["actor"].values()), "without the cut every tensor of the actor gets a gradient"
    assert not any(seen["critic_cnn"].values()), "the critic's own CNN gets none"

    model.actor.mu.register_forward_hook(lambda module, inputs, output: output.detach().requires_grad_())
    model.train(gradient_steps=2)
    assert not any(seen["actor"].values()), "with the action cut off, nothing of the actor gets a gradient"
    assert not any(seen["critic_cnn"].values())


def _watch_gradients_of_the_actor_step(model: TD3) -> dict[str, dict[str, bool]]:
    """Note, whenever the actor's optimizer is called, which tensors the actor loss has given a gradient."""
    seen: dict[str, dict[str, bool]] = {"actor": {}, "critic_cnn": {}}
    actors = [*model.parts["actor_cnn"], *model.parts["actor_mlp"]]
    own = {
        name: p
        for name, p in model.critic.features_extractor.named_parameters()
        if not any(p is trained for trained in actors)
    }
    of_the_actor = [(name, p) for name, p in model.actor.named_parameters() if not any(p is q for q in own.values())]
    step, zero_grad = model.actor.optimizer.step, model.actor.optimizer.zero_grad

    def zero_grad_of_both() -> None:
        zero_grad()
        for parameter in own.values():
            parameter.grad = None

    def note_and_step() -> None:
        seen["actor"].update({name: _has_gradient(p) for name, p in of_the_actor})
        seen["critic_cnn"].update({name: _has_gradient(p) for name, p in own.items()})
        step()

    model.actor.optimizer.zero_grad = zero_grad_of_both  # type: ignore[method-assign]
    model.actor.optimizer.step = note_and_step  # type: ignore[method-assign,assignment]
    return seen


def _has_gradient(parameter: nn.Parameter) -> bool:
    return parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
