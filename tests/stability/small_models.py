"""Small models that train in a second, healthy ones and ones with a planted fault each."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import torch as th
from gymnasium import spaces
from sb3_contrib import TQC, CrossQ
from stable_baselines3 import DDPG, SAC, TD3
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch.nn import functional as F

from sb3_stability import StopTrainingOnActorLossExplosion, StopTrainingOnNonFinite, StopTrainingOnQValueExplosion


class NoiseFrames(gym.Env):
    """Random 4x16x16 frames, a reward in [-1, 1] that depends on the action only, episodes of 20 steps."""

    observation_space = spaces.Box(0, 255, (4, 16, 16), np.uint8)
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self._frames(), {}

    def step(self, action):
        self.steps += 1
        return self._frames(), float(action[0]), self.steps == 20, False, {}

    def _frames(self):
        return self.np_random.integers(0, 256, (4, 16, 16), dtype=np.uint8)


class SmallCNN(BaseFeaturesExtractor):
    def __init__(self, observation_space, features_dim=32):
        super().__init__(observation_space, features_dim)
        self.layers = th.nn.Sequential(
            th.nn.Conv2d(4, 8, 4, stride=2),
            th.nn.ReLU(),
            th.nn.Flatten(),
            th.nn.Linear(8 * 49, features_dim),
            th.nn.ReLU(),
        )

    def forward(self, observations):
        return self.layers(observations)


class LeakyTD3(TD3):
    """The founding fault: the actor loss reads the critic on the actor's own features, gradient included."""

    def train(self, gradient_steps, batch_size=100):
        self.policy.set_training_mode(True)
        for _ in range(gradient_steps):
            self._n_updates += 1
            data = self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)
            with th.no_grad():
                next_q = th.cat(
                    self.critic_target(data.next_observations, self.actor_target(data.next_observations)), 1
                )
                target = data.rewards + (1 - data.dones) * self.gamma * next_q.min(1, keepdim=True).values
            critic_loss = sum(F.mse_loss(q, target) for q in self.critic(data.observations, data.actions))
            self.critic.optimizer.zero_grad()
            critic_loss.backward()
            self.critic.optimizer.step()
            if self._n_updates % self.policy_delay == 0:
                state = self.actor.extract_features(data.observations, self.actor.features_extractor)
                actor_loss = -self.critic.q_networks[0](th.cat([state, self.actor.mu(state)], 1)).mean()
                self.actor.optimizer.zero_grad()
                actor_loss.backward()
                self.actor.optimizer.step()
                self.planted_actor_loss = actor_loss.item()
                with th.no_grad():
                    for net, slow in ((self.critic, self.critic_target), (self.actor, self.actor_target)):
                        for new, old in zip(net.parameters(), slow.parameters(), strict=True):
                            old.lerp_(new, self.tau)


class InflatedTD3(TD3):
    """A target that grows by itself: after each update the target critic's outputs are made 5 % larger."""

    def train(self, gradient_steps, batch_size=100):
        for _ in range(gradient_steps):
            super().train(1, batch_size)
            with th.no_grad():
                for head in self.critic_target.q_networks:
                    head[-1].weight.mul_(1.05)
                    head[-1].bias.mul_(1.05)


class BrokenTD3(TD3):
    """One weight becomes NaN at update 50."""

    def train(self, gradient_steps, batch_size=100):
        super().train(gradient_steps, batch_size)
        if self._n_updates >= 50:
            with th.no_grad():
                next(self.critic.parameters()).view(-1)[0] = float("nan")


ALGORITHMS = [TD3, DDPG, SAC, TQC, CrossQ]


def small(algorithm, env="Pendulum-v1", **arguments):
    arguments = {
        "learning_starts": 50,
        "seed": 0,
        "batch_size": 64,
        "policy_kwargs": {"net_arch": [32, 32]},
        **arguments,
    }
    return algorithm("MlpPolicy", env, **arguments)


def camera_model(algorithm, **arguments):
    policy_kwargs = {"net_arch": [64, 64], "features_extractor_class": SmallCNN}
    return algorithm(
        "CnnPolicy",
        NoiseFrames(),
        learning_starts=200,
        seed=0,
        batch_size=32,
        buffer_size=2000,
        policy_kwargs=policy_kwargs,
        **arguments,
    )


def all_three(**arguments):
    return [
        StopTrainingOnQValueExplosion(**arguments),
        StopTrainingOnActorLossExplosion(**arguments),
        StopTrainingOnNonFinite(**arguments),
    ]


def triggered(callbacks):
    return [type(callback).__name__ for callback in callbacks if callback.triggered]
