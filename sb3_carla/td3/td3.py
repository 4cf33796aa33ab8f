"""TD3 (Fujimoto et al., 2018) with four separately clipped parameter parts."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, ReplayBufferSamples
from stable_baselines3.common.utils import FloatSchedule, polyak_update
from stable_baselines3.td3.policies import TD3Policy

from sb3_carla.buffers import FrameReplayBuffer, PrioritizedSamples, frame_storing
from sb3_carla.td3 import losses
from sb3_carla.td3.augmentation import shift_batch
from sb3_carla.td3.gradients import clip_and_step
from sb3_carla.td3.model_file import PortableTD3
from sb3_carla.td3.networks import parameters_of_the_actor_alone, set_precision
from sb3_carla.td3.options import (
    DEFAULT_MAX_GRAD_NORM,
    IMAGE_EXPLORATION_NOISE,
    IMAGE_LEARNING_RATES,
    SB3_LEARNING_RATE,
    Limit,
    Rate,
    check_one_limit_per_part,
    check_options,
    check_shift_has_images,
)
from sb3_carla.td3.parts import (
    PARTS,
    Parts,
    describe_parts,
    group_optimizers,
    parse_limit,
    parse_schedule,
    per_part,
    split_parameters,
)
from sb3_carla.td3.policies import (
    AsymmetricPolicy,
    CnnPolicy,
    GruCnnPolicy,
    ImagePolicy,
    MaxPoolCnnPolicy,
    MlpPolicy,
    MultiInputPolicy,
    extractor_class,
    reads_images,
)
from sb3_carla.td3.record import SkippedUpdates, UpdateRecord, carry_actor, critic_record, log_updates, with_actor

SelfTD3 = TypeVar("SelfTD3", bound="TD3")


class TD3(PortableTD3):
    """Twin Delayed DDPG whose actor CNN, actor MLP, critic CNN and critic MLP are clipped and scheduled separately.

    Arguments per part are a mapping over ``actor_cnn``, ``actor_mlp``, ``critic_cnn``, ``critic_mlp``, or one value
    for all. A learning rate is a number, a function of the remaining progress, or a string as in rl_zoo3
    (``"lin_1e-4"``).

    With ``max_grad_norm=None``, no other option of this class and a features extractor of SB3, the weights are those
    of SB3's TD3, bit for bit.

    :param policy: ``CnnPolicy``, ``MaxPoolCnnPolicy``, ``GruCnnPolicy``, ``MultiInputPolicy``, ``AsymmetricPolicy``,
        ``MlpPolicy``, or a class
    :param env: the environment, or the id of a registered one
    :param learning_rate: rate of the parts that ``learning_rates`` does not name; None is SB3's 1e-3, or with our
        features extractors 1e-4 for the actor and 3e-4 for the critic
    :param learning_rates: learning rate per part; a part that is not named has ``learning_rate``
    :param max_grad_norm: limit of the global L2 norm of the gradient per part; None, or a part that is not named: not
        clipped
    :param max_grad_value: limit of every component of the gradient per part, in place of ``max_grad_norm``
    :param max_nonfinite_updates: an update with NaN or Inf in its gradient is skipped; this many in a row end the
        training
    :param target: ``"min"`` of the target critics (TD3), or ``"mpg"``: their maximum minus the running mean of their
        distance
    :param critic_loss: ``"mse"`` or ``"huber"``
    :param smoothness: coefficient c of ``c * ||pi(s) - pi_target(s')||^2`` in the actor loss
    :param action_penalty: coefficient c of ``c * ||u||^2`` in the actor loss, where ``pi(s) = tanh(u)``
    :param precision: ``"float32"``, or ``"bf16"``: the products in our features extractors run in bfloat16, forward and
        backward, all else in float32. Results then equal those of float32 statistically only. Faster where the
        processor has instructions for it (AMX, AVX512-BF16, a GPU's tensor cores), slower elsewhere
    :param random_shift: shift the images of each batch at random by up to so many pixels (4 in DrQ-v2); 0 is off
    :param kwargs: the arguments of SB3's TD3; with ``replay_buffer_class=None``, stacked images, also as entries of a
        Dict, take `FrameReplayBuffer` (``replay_buffer_kwargs=dict(folder=...)`` keeps the frames on the disk); with
        ``action_noise=None``, images read by our extractors get noise of 0.1
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": MlpPolicy,
        "CnnPolicy": CnnPolicy,
        "MaxPoolCnnPolicy": MaxPoolCnnPolicy,
        "GruCnnPolicy": GruCnnPolicy,
        "MultiInputPolicy": MultiInputPolicy,
        "AsymmetricPolicy": AsymmetricPolicy,
    }

    def __init__(
        self,
        policy: str | type[TD3Policy],
        env: GymEnv | str,
        learning_rate: Rate | None = None,
        *,
        learning_rates: Mapping[str, Rate | None] | Rate | None = None,
        max_grad_norm: Mapping[str, Limit | None] | Limit | None = DEFAULT_MAX_GRAD_NORM,
        max_grad_value: Mapping[str, Limit | None] | Limit | None = None,
        max_nonfinite_updates: int = 10,
        target: str = "min",
        critic_loss: str = "mse",
        smoothness: float = 0.0,
        action_penalty: float = 0.0,
        random_shift: int = 0,
        precision: str = "float32",
        **kwargs: Any,
    ) -> None:
        if max_grad_value is not None and max_grad_norm is DEFAULT_MAX_GRAD_NORM:
            max_grad_norm = None
        check_options(
            target=target,
            critic_loss=critic_loss,
            precision=precision,
            smoothness=smoothness,
            action_penalty=action_penalty,
            random_shift=random_shift,
            max_nonfinite_updates=max_nonfinite_updates,
        )
        # Named like the arguments, as load() restores them by name
        self.learning_rates = dict(learning_rates) if isinstance(learning_rates, Mapping) else learning_rates
        self.max_grad_norm = dict(max_grad_norm) if isinstance(max_grad_norm, Mapping) else max_grad_norm
        self.max_grad_value = dict(max_grad_value) if isinstance(max_grad_value, Mapping) else max_grad_value
        self.max_nonfinite_updates = max_nonfinite_updates
        self.target = target
        self.critic_loss = critic_loss
        self.smoothness = smoothness
        self.action_penalty = action_penalty
        self.random_shift = random_shift
        self.precision = precision

        self.last_update: UpdateRecord | None = None
        self._last_actor_update: UpdateRecord | None = None
        self.skipped = SkippedUpdates()
        self._mpg_delta = 0.0  # running mean of |Q1 - Q2|

        rate = SB3_LEARNING_RATE if learning_rate is None else learning_rate
        setup_model = kwargs.pop("_init_setup_model", True)
        super().__init__(policy, env, rate, _init_setup_model=False, **kwargs)  # type: ignore[arg-type]  # strings
        if env is not None:
            self._choose_image_defaults(learning_rate)
        if setup_model:
            self._setup_model()

    def _choose_image_defaults(self, learning_rate: Rate | None) -> None:
        """Fill in the rates and the noise that were not given, if one of our extractors will read images."""
        if not reads_images(extractor_class(self.policy_class, self.policy_kwargs), self.observation_space):
            return
        if learning_rate is None and isinstance(self.learning_rates, dict | None):
            given = {part: rate for part, rate in (self.learning_rates or {}).items() if rate is not None}
            self.learning_rates = {**IMAGE_LEARNING_RATES, **given}
        if self.action_noise is None and isinstance(self.action_space, spaces.Box):
            mean = np.zeros(self.action_space.shape)
            self.action_noise = NormalActionNoise(mean, mean + IMAGE_EXPLORATION_NOISE)

    def _setup_lr_schedule(self) -> None:
        self.lr_schedule = FloatSchedule(parse_schedule(self.learning_rate))
        self._part_schedules = per_part("learning_rates", self.learning_rates, parse_schedule)

    def _setup_model(self) -> None:
        self._norm_limits = per_part("max_grad_norm", self.max_grad_norm, parse_limit)
        self._value_limits = per_part("max_grad_value", self.max_grad_value, parse_limit)
        check_one_limit_per_part(self._norm_limits, self._value_limits)
        check_shift_has_images(self.random_shift, self.observation_space)
        self._setup_replay_buffer()
        with warnings.catch_warnings():
            # SB3 thinks that classes that it does not know ignore n_steps
            if isinstance(self.replay_buffer, FrameReplayBuffer):
                warnings.filterwarnings("ignore", message="`n_steps=")
            super()._setup_model()
        if not set_precision(self.policy, self.precision) and self.precision != "float32":
            raise ValueError(
                f"precision is {self.precision!r}, but the policy has no features extractor of sb3_carla. Leave it out."
            )
        self.parts: Parts = split_parameters(self.policy)
        group_optimizers(self.policy, self.parts, self.lr_schedule(1.0))
        if self.verbose >= 1:
            rates = {part: self._part_schedules.get(part, self.lr_schedule)(1.0) for part in PARTS}
            print(describe_parts(self.policy, self.parts, rates, self._norm_limits, self._value_limits))

    def _setup_replay_buffer(self) -> None:
        """Take the buffer that stores each frame once, where SB3 would take one that stores all."""
        if self.replay_buffer is not None or self.optimize_memory_usage:
            return
        buffer_class = frame_storing(self.replay_buffer_class, self.observation_space)
        if buffer_class is None:
            return
        self.replay_buffer_class = buffer_class
        self.replay_buffer = buffer_class(
            self.buffer_size,
            self.observation_space,
            self.action_space,
            self.device,
            self.n_envs,
            **{"n_steps": self.n_steps, "gamma": self.gamma, **self.replay_buffer_kwargs},
        )
        if self.verbose >= 1:
            print(self.replay_buffer.describe_memory())

    def _update_learning_rate(self, optimizers: list[th.optim.Optimizer] | th.optim.Optimizer) -> None:
        for optimizer in optimizers if isinstance(optimizers, list) else [optimizers]:
            for group in optimizer.param_groups:
                # Looked up now, not at construction: the common schedule may have been replaced since.
                schedule = self._part_schedules.get(group["name"], self.lr_schedule)
                group["lr"] = schedule(self._current_progress_remaining)
                self.logger.record(f"train/learning_rate/{group['name']}", group["lr"])

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Do gradient updates on batches from the replay buffer.

        :param gradient_steps: number of updates
        :param batch_size: transitions per update
        """
        self.policy.set_training_mode(True)  # matters for batch norm and dropout
        self._update_learning_rate([self.actor.optimizer, self.critic.optimizer])

        records: list[UpdateRecord] = []
        for _ in range(gradient_steps):
            self._n_updates += 1
            batch = self._sample(batch_size)
            with th.no_grad():
                next_actions = self.actor_target(batch.next_observations)
                target = self._target_q_values(batch, next_actions)

            # Regress every critic on the target
            q_values = self.critic(batch.observations, batch.actions)
            critic_loss = losses.critic_loss(self.critic_loss, q_values, target, batch)
            self.critic.optimizer.zero_grad()
            critic_loss.backward()  # type: ignore[no-untyped-call]
            # Read now: the actor's backward pass below leaves gradients on the critic's first Q network
            norms = clip_and_step(self.critic.optimizer, self._norm_limits, self._value_limits)
            record = critic_record(self._n_updates, critic_loss, q_values, target, batch.rewards, self.gamma, norms)
            if norms.finite and isinstance(batch, PrioritizedSamples):
                self._update_priorities(batch, q_values, target)

            # Delayed: ascend Q1(s, pi(s)). The critic reads its own features of s, without gradient: the actor loss
            # reaches the actor through the action only
            if norms.finite and self._n_updates % self.policy_delay == 0:
                actions, raw_actions = losses.act(self.actor, batch.observations, self.action_penalty > 0)
                actor_loss = q_loss = -self.critic.q1_forward(batch.observations, actions).mean()
                if self.smoothness > 0:
                    actor_loss = actor_loss + self.smoothness * (actions - next_actions).square().sum(dim=1).mean()
                if raw_actions is not None:
                    actor_loss = actor_loss + self.action_penalty * raw_actions.square().sum(dim=1).mean()
                self.actor.optimizer.zero_grad()
                actor_loss.backward()  # type: ignore[no-untyped-call]
                norms = clip_and_step(self.actor.optimizer, self._norm_limits, self._value_limits)
                record = with_actor(record, actor_loss, q_loss, actions, norms)
                if norms.finite:
                    self._last_actor_update = record
                    self._update_target_networks()
            else:
                record = carry_actor(record, self._last_actor_update)

            records.append(record)
            self.last_update = record
            self.skipped.count(record, self.max_nonfinite_updates)

        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/skipped_updates", self.skipped.total)
        log_updates(self.logger, records)

    def _sample(self, batch_size: int) -> ReplayBufferSamples:
        assert self.replay_buffer is not None
        batch = self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)
        if self.random_shift > 0:
            batch = shift_batch(batch, self.random_shift)
        if isinstance(self.policy, ImagePolicy):
            batch = self.policy.prepare(batch)
        return batch

    def _target_q_values(self, batch: ReplayBufferSamples, next_actions: th.Tensor) -> th.Tensor:
        """Compute y = r + gamma * q(s', pi_target(s') + clipped noise), where q joins the target critics.

        :param batch: replayed transitions
        :param next_actions: pi_target(s')
        """
        noise = th.empty_like(batch.actions).normal_(0, self.target_policy_noise)
        noise = noise.clamp(-self.target_noise_clip, self.target_noise_clip)
        smoothed = (next_actions + noise).clamp(-1, 1)
        q_values = th.cat(self.critic_target(batch.next_observations, smoothed), dim=1)
        if self.target == "mpg":
            next_q_values, delta = losses.mpg_value(q_values, self._mpg_delta)
            if math.isfinite(delta):  # one bad batch must not poison all that follow
                self._mpg_delta = delta
        else:
            next_q_values = q_values.amin(dim=1, keepdim=True)
        # An n-step batch brings its own discounts
        discounts = self.gamma if batch.discounts is None else batch.discounts
        return batch.rewards + (1 - batch.dones) * discounts * next_q_values

    def _update_priorities(self, batch: PrioritizedSamples, q_values: tuple[th.Tensor, ...], target: th.Tensor) -> None:
        td_errors = th.stack([(q_value.detach() - target).abs() for q_value in q_values]).mean(dim=0)
        self.replay_buffer.update_priorities(batch.places, td_errors.flatten().cpu().numpy())  # type: ignore[union-attr]

    def _update_target_networks(self) -> None:
        polyak_update(self.critic.parameters(), self.critic_target.parameters(), self.tau)
        actor, target = map(parameters_of_the_actor_alone, (self.actor, self.actor_target))
        polyak_update(actor, target, self.tau)
        # Running statistics of batch norm are copied, see SB3 issue 996
        polyak_update(self.critic_batch_norm_stats, self.critic_batch_norm_stats_target, 1.0)
        polyak_update(self.actor_batch_norm_stats, self.actor_batch_norm_stats_target, 1.0)

    def learn(
        self: SelfTD3,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 4,
        tb_log_name: str = "TD3",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> SelfTD3:
        """Train, see SB3's `OffPolicyAlgorithm.learn`.

        :param total_timesteps: environment steps to train for
        :param callback: called at every step
        :param log_interval: episodes between two dumps of the log
        :param tb_log_name: name of the run in TensorBoard
        :param reset_num_timesteps: start counting from zero
        :param progress_bar: show a progress bar
        """
        return super().learn(total_timesteps, callback, log_interval, tb_log_name, reset_num_timesteps, progress_bar)

    def _excluded_save_params(self) -> list[str]:
        # Tensors, and what _setup_model() derives from the arguments
        own = ["parts", "last_update", "_last_actor_update", "_norm_limits", "_value_limits", "_part_schedules"]
        return [*super()._excluded_save_params(), *own]
