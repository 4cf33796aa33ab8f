"""How Q-value statistics are read from an off-policy model of Stable-Baselines3 or sb3-contrib while it trains.

A reading comes from the first of these sources that the model offers:

1. ``model.last_update``, a record of the last gradient update that some algorithms keep (sb3_carla's TD3 does);
2. the networks themselves: Q(s, pi(s)) and Q(s, a) on a batch of the replay buffer, together with what the critic
   gave the actor loss in the last update, seen by a hook (:mod:`sb3_stability.trained_value`).

Nothing here changes the training: the random generators and the train or eval mode of each module are put back.
"""

from __future__ import annotations

import math
import random
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch as th
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from sb3_stability.detectors import NOTHING, Range
from sb3_stability.trained_value import TrainedValue, per_transition


@dataclass(frozen=True)
class Reading:
    """The state of a critic and its actor after some update. None is what could not be read.

    :param n_updates: gradient updates so far
    :param q_policy_mean: mean of Q(s, pi(s)) over transitions and critics, or what the last actor update took for it,
        whichever is farther from zero
    :param q_replay_mean: mean of Q(s, a) on replayed actions
    :param q_replay_std: standard deviation of Q(s, a) on replayed actions
    :param actor_loss: loss of the actor; where the model keeps no record, minus ``q_policy_mean`` and the entropy term
    :param critic_loss: loss of the critic, where the model keeps a record
    :param rewards: range of the rewards that the critic has learned from so far (normalised ones with VecNormalize)
    :param bonus: range of the entropy term that has been added to each step's reward so far; empty without one
    """

    n_updates: int
    q_policy_mean: float | None = None
    q_replay_mean: float | None = None
    q_replay_std: float | None = None
    actor_loss: float | None = None
    critic_loss: float | None = None
    rewards: Range = NOTHING
    bonus: Range = NOTHING

    @property
    def scale(self) -> float:
        """Magnitude of the Q-values: what the floor of the feasible bound is made from."""
        replay = abs(self.q_replay_mean or 0.0) + (self.q_replay_std or 0.0)
        scale = max(abs(self.q_policy_mean or 0.0), replay)
        return scale if math.isfinite(scale) else 0.0


class UnreadableModelError(TypeError):
    """The model has no actor, critic and replay buffer to read."""


@contextmanager
def undisturbed(*modules: th.nn.Module, device: th.device) -> Iterator[None]:
    """Evaluation mode (batch norm and dropout at rest) without gradients; afterwards the modes and all random
    generators that a training draws from are as they were.

    :param modules: modules that will be called
    :param device: device whose generator is put back, besides the CPU's
    """
    parts = {part: part.training for module in modules for part in module.modules()}
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002  (what SB3's buffers draw from)
    devices = [device] if device.type == "cuda" else []
    try:
        for part in parts:
            part.training = False
        with th.random.fork_rng(devices=devices), th.no_grad():
            yield
    finally:
        for part, training in parts.items():
            part.training = training
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)


class Readings:
    """Reads one model. Callbacks of the same model share one, so that a second callback costs nothing.

    :param model: an off-policy model with ``actor``, ``critic`` and ``replay_buffer``
    :param batch_size: transitions that are sampled per reading
    :raises UnreadableModelError: the model is of another kind
    """

    _shared: ClassVar[weakref.WeakValueDictionary[tuple[int, int], Readings]] = weakref.WeakValueDictionary()

    def __init__(self, model: OffPolicyAlgorithm, batch_size: int = 64) -> None:
        actor, critic = getattr(model, "actor", None), getattr(model, "critic", None)
        buffer = getattr(model, "replay_buffer", None)
        if not (isinstance(actor, th.nn.Module) and isinstance(critic, th.nn.Module)) or buffer is None:
            raise UnreadableModelError(
                f"{type(model).__name__} has no actor, critic and replay buffer, so there is no Q(s, pi(s)) to watch. "
                "Use this callback with TD3, DDPG, SAC, TQC or CrossQ, or leave it out."
            )
        self.model: Any = model
        self.batch_size = batch_size
        self._actor: Any = actor
        self._critic: Any = critic
        self._trained = TrainedValue(critic)
        self._rewards, self._bonus = NOTHING, NOTHING
        self._raw_rewards, self._scanned_to = NOTHING, 0
        self._latest: Reading | None = None

    @classmethod
    def of(cls, model: Any, batch_size: int = 64) -> Readings:
        """The readings of this model, shared between all who ask for the same batch size."""
        key = (id(model), batch_size)
        found = cls._shared.get(key)
        if found is None or found.model is not model or found._critic is not getattr(model, "critic", None):
            found = cls._shared[key] = cls(model, batch_size)
        return found

    @property
    def n_updates(self) -> int:
        """Gradient updates of the model so far."""
        return int(getattr(self.model, "_n_updates", 0))

    @property
    def n_stored(self) -> int:
        """Transitions in the replay buffer."""
        buffer = self.model.replay_buffer
        return 0 if buffer is None else int(buffer.size() * buffer.n_envs)

    @property
    def is_free(self) -> bool:
        """True if the model keeps a record of its last update, so that a reading costs nothing."""
        return getattr(self.model, "last_update", None) is not None

    def watch(self) -> None:
        """Start to listen to the critic; to be called when a training starts."""
        self._trained.attach()

    def unwatch(self) -> None:
        """Stop to listen to the critic; to be called when a training ends."""
        self._trained.detach()

    def before_training(self) -> Reading | None:
        """Read the networks themselves, whatever record the model keeps: meant for before the first update."""
        return self._from_networks()

    def latest(self) -> Reading | None:
        """A reading of the model as it is now, or None while there is nothing to read."""
        if self._latest is None or self._latest.n_updates != self.n_updates:
            record = getattr(self.model, "last_update", None)
            self._latest = self._from_networks() if record is None else self._from_record(record)
        return self._latest

    # -- the two sources -----------------------------------------------------------------------------------------------

    def _from_record(self, record: object) -> Reading:
        def number(name: str) -> float | None:
            value = getattr(record, name, None)
            return None if value is None else float(value)

        rewards = [value for value in (number("reward_min"), number("reward_max")) if value is not None]
        self._learn_rewards(self._per_step(np.asarray(rewards)))
        self._scan_buffer()
        return Reading(
            n_updates=self.n_updates,
            q_policy_mean=number("q_policy_mean"),
            q_replay_mean=number("q_replay_mean"),
            q_replay_std=number("q_replay_std"),
            actor_loss=number("actor_loss"),
            critic_loss=number("critic_loss"),
            rewards=self._rewards,
            bonus=self._bonus,
        )

    def _from_networks(self) -> Reading | None:
        buffer = self.model.replay_buffer
        if buffer is None or buffer.size() == 0:
            return None
        trained = self._trained.mean()
        with undisturbed(self._actor, self._critic, device=self.model.device):
            # The sampling of the algorithm itself, so that every buffer works: Dict, HER, n-step, a user's own.
            try:
                batch = buffer.sample(self.batch_size, env=self.model._vec_normalize_env)
            except (RuntimeError, ValueError):
                return None  # HER has nothing to give before the first episode has ended
            actions, entropy = self._act(batch.observations)
            q_policy = per_transition(self._critic(batch.observations, actions)).mean()
            q_replay = per_transition(self._critic(batch.observations, batch.actions))
            spread = q_replay.std(correction=0)
            numbers = th.stack([q_policy, q_replay.mean(), spread, entropy]).double().tolist()
        computed, replay_mean, replay_std, entropy_bonus = numbers
        self._learn_rewards(self._per_step(batch.rewards.cpu().numpy()))
        self._scan_buffer()
        return Reading(
            n_updates=self.n_updates,
            q_policy_mean=_larger(computed, trained),
            q_replay_mean=replay_mean,
            q_replay_std=replay_std,
            actor_loss=-_larger(computed, trained) - entropy_bonus,
            rewards=self._rewards,
            bonus=self._bonus,
        )

    def _act(self, observations: th.Tensor | Mapping[str, th.Tensor]) -> tuple[th.Tensor, th.Tensor]:
        """Actions of the current policy and the mean entropy term that comes with them (0 without one)."""
        if not hasattr(self._actor, "action_log_prob"):
            return self._actor(observations), th.zeros((), device=self.model.device)
        actions, log_prob = self._actor.action_log_prob(observations)
        log_alpha = getattr(self.model, "log_ent_coef", None)
        alpha = (log_alpha.exp() if log_alpha is not None else self.model.ent_coef_tensor).squeeze()
        term = -alpha * log_prob.mean()
        # tanh keeps actions in a box of side 2, so a policy's entropy is at most that of the uniform one
        self._bonus = self._bonus.including(float(term), float(alpha) * actions.shape[1] * math.log(2.0))
        return actions, term

    # -- rewards -------------------------------------------------------------------------------------------------------

    def _per_step(self, rewards: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """An n-step buffer gives sums of n discounted rewards; the bound is made from rewards of one step."""
        n_steps = int(getattr(self.model, "n_steps", 1) or 1)
        steps: float = sum(self.model.gamma**i for i in range(n_steps))
        return rewards / steps

    def _learn_rewards(self, rewards: np.ndarray[Any, Any]) -> None:
        self._rewards = _widened(self._rewards, rewards)

    def _scan_buffer(self) -> None:
        """Take in the rewards that came into the buffer since the last scan."""
        buffer = self.model.replay_buffer
        stored = getattr(buffer, "rewards", None)
        if buffer is None or not isinstance(stored, np.ndarray) or buffer.size() == 0:
            return
        size, position = buffer.size(), int(buffer.pos)
        whole = size < 4096 or self._raw_rewards.is_empty or self._scanned_to > size
        if whole:
            fresh = [stored[:size]]
        elif position >= self._scanned_to:
            fresh = [stored[self._scanned_to : position]]
        else:
            fresh = [stored[self._scanned_to : size], stored[:position]]
        for part in fresh:
            self._raw_rewards = _widened(self._raw_rewards, part)
        self._scanned_to = position
        if not self._raw_rewards.is_empty:
            raw = np.asarray(self._raw_rewards, dtype=np.float64)
            normalizer = self.model._vec_normalize_env
            self._learn_rewards(raw if normalizer is None else normalizer.normalize_reward(raw))


def _widened(known: Range, values: np.ndarray[Any, Any]) -> Range:
    values = values[np.isfinite(values)]
    return known.including(float(values.min()), float(values.max())) if values.size else known


def _larger(computed: float, trained: float | None) -> float:
    """The one that is farther from zero; NaN if either is NaN."""
    if trained is None or math.isnan(computed):
        return computed
    return trained if math.isnan(trained) or abs(trained) > abs(computed) else computed
