"""How Q-value statistics are read from an off-policy model of Stable-Baselines3 or sb3-contrib while it trains.

A reading comes from the first of these sources that the model offers:

1. ``model.last_update``, a record of the last gradient update that some algorithms keep (sb3_carla's TD3 does);
2. the tensors of the last update, caught by hooks (:mod:`sb3_stability.listening`);
3. the networks themselves: Q(s, pi(s)) and Q(s, a) on a batch of the replay buffer. This is also what is read before
   the first update and after the last. For algorithms without an actor (DQN, QR-DQN) it is the only source, and
   Q(s, pi(s)) is the largest Q(s, a).

Nothing here changes the training: the random generators and the train or eval mode of each module are put back.
"""

from __future__ import annotations

import math
import random
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch as th
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.her.her_replay_buffer import HerReplayBuffer

from sb3_stability.detectors import NOTHING
from sb3_stability.listening import UpdateListener, per_transition
from sb3_stability.reading import SATURATED, Reading
from sb3_stability.rewards import RewardRange


class UnreadableModelError(TypeError):
    """The model has no Q-values and replay buffer to read, or no actor where one is needed."""


def networks(model: Any) -> dict[str, th.nn.Module]:
    """What a model learns, by the name that messages give it: actor and critic, or the Q-network of DQN and its kin.

    :param model: any model of Stable-Baselines3 or sb3-contrib
    """
    names = {"actor": "actor", "critic": "critic", "q_net": "Q-network", "quantile_net": "Q-network"}
    found = {name: getattr(model, attribute, None) for attribute, name in names.items() if hasattr(model, attribute)}
    return {name: network for name, network in found.items() if isinstance(network, th.nn.Module)}


@contextmanager
def undisturbed(*modules: th.nn.Module, device: th.device) -> Iterator[None]:
    """Afterwards the train or eval mode of each module and all random generators that a training draws from are as
    they were.

    :param modules: modules that will be called
    :param device: device whose generator is put back, besides the CPU's
    """
    parts = {part: part.training for module in modules for part in module.modules()}
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002  (what SB3's buffers draw from)
    devices = [device] if device.type == "cuda" else []
    try:
        with th.random.fork_rng(devices=devices):
            yield
    finally:
        for part, training in parts.items():
            part.training = training
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)


class Readings:
    """Reads one model. Callbacks of the same model share one, so that a second callback costs nothing.

    :param model: an off-policy model with a ``replay_buffer`` and ``actor`` and ``critic``, or a Q-network alone
    :param batch_size: transitions that are sampled where the networks themselves are read
    :raises UnreadableModelError: the model is of another kind
    """

    _shared: ClassVar[weakref.WeakValueDictionary[tuple[int, int], Readings]] = weakref.WeakValueDictionary()

    def __init__(self, model: OffPolicyAlgorithm, batch_size: int = 64) -> None:
        learned, buffer = networks(model), getattr(model, "replay_buffer", None)
        if not (learned.keys() >= {"actor", "critic"} or "Q-network" in learned) or buffer is None:
            raise UnreadableModelError(
                f"{type(model).__name__} has no Q-values and replay buffer, so there is no Q(s, pi(s)) to watch. "
                "Use this callback with TD3, DDPG, SAC, DQN, TQC, CrossQ or QR-DQN, or leave it out."
            )
        actor, critic = learned.get("actor"), learned.get("critic", learned.get("Q-network"))
        assert critic is not None
        self.model: Any = model
        self.batch_size = batch_size
        self._actor: Any = actor
        self._critic: Any = critic
        self._listener = UpdateListener(actor, critic)
        self._rewards = RewardRange(model)
        self._bonus = NOTHING
        self._latest: Reading | None = None
        # A generator of its own, so that the noise of the entropy estimate takes nothing from the training's
        self._generator = th.Generator(device="cpu").manual_seed(0)

    @classmethod
    def of(cls, model: Any, batch_size: int = 64) -> Readings:
        """The readings of this model, shared between all who ask for the same batch size."""
        key = (id(model), batch_size)
        found = cls._shared.get(key)
        if found is None or found.model is not model or found._critic not in networks(model).values():
            found = cls._shared[key] = cls(model, batch_size)
        return found

    @property
    def has_actor(self) -> bool:
        """False where the action is the one with the largest Q (DQN, QR-DQN)."""
        return self._actor is not None

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
        """Start to listen to the updates; to be called when a training starts."""
        self._listener.attach()

    def unwatch(self) -> None:
        """Stop to listen to the updates; to be called when a training ends."""
        self._listener.detach()

    @classmethod
    def forget(cls, model: Any) -> None:
        """Drop all that was read so far, after a model was put back to an earlier state.

        :param model: the model
        """
        for readings in list(cls._shared.values()):
            if readings.model is model:
                readings._listener.forget()
                readings._rewards.forget()
                readings._bonus, readings._latest = NOTHING, None

    def afresh(self) -> Reading | None:
        """Read the networks themselves, whatever else the model offers: before the first update and after the last."""
        buffer = self.model.replay_buffer
        if buffer is None or buffer.size() == 0:
            return None
        read = [self._critic] if self._actor is None else [self._actor, self._critic]
        with undisturbed(*read, device=self.model.device), th.no_grad():
            for network in read:
                network.train(False)
            # The sampling of the algorithm itself, so that every buffer works: Dict, HER, n-step, a user's own.
            try:
                batch = buffer.sample(self.batch_size, env=self.model._vec_normalize_env)
            except (RuntimeError, ValueError):
                return None  # HER has nothing to give before the first episode has ended
            numbers = self._of_actions(batch) if self._actor is None else self._of_actor(batch)
        self._rewards.learn_from_batch(batch.rewards.cpu().numpy())
        return self._reading(numbers)

    def latest(self) -> Reading | None:
        """A reading of the model as it is now, or None while there is nothing to read."""
        if self._latest is None or self._latest.n_updates != self.n_updates:
            record = getattr(self.model, "last_update", None)
            self._latest = self._from_update() if record is None else self._from_record(record)
            self._listener.measure_gradients()
        return self._latest

    # -- sources -------------------------------------------------------------------------------------------------------

    def _from_record(self, record: object) -> Reading:
        def number(name: str) -> float | None:
            value = getattr(record, name, None)
            return None if value is None else float(value)

        rewards = [value for value in (number("reward_min"), number("reward_max")) if value is not None]
        self._rewards.learn_from_batch(np.asarray(rewards))
        self._rewards.learn_from_buffer()
        features = self._listener.features
        return Reading(
            n_updates=self.n_updates,
            q_policy_mean=number("q_policy_mean"),
            q_replay_mean=number("q_replay_mean"),
            q_replay_std=number("q_replay_std"),
            actor_loss=number("actor_loss"),
            critic_loss=number("critic_loss"),
            saturated_share=number("saturated_share"),
            feature_norm=None if features is None else float(features.flatten(1).norm(dim=1).mean()),
            grad_norms={part: float(norm) for part, norm in (getattr(record, "grad_norms", None) or {}).items()},
            rewards=self._rewards.range,
            bonus=self._bonus,
        )

    def _of_actor(self, batch: Any) -> dict[str, th.Tensor]:
        actions, entropy = self._act(batch.observations)
        return {
            "q_policy": per_transition(self._critic(batch.observations, actions)),
            "q_replay": per_transition(self._critic(batch.observations, batch.actions)),
            "entropy": entropy,
            "saturated": (actions.abs() > SATURATED).float(),
        }

    def _of_actions(self, batch: Any) -> dict[str, th.Tensor]:
        values = self._critic(batch.observations)  # (batch, actions), or (batch, quantiles, actions)
        values = values.mean(dim=1) if values.dim() == 3 else values
        replayed = values.gather(1, batch.actions.long().reshape(-1, 1))
        return {"q_policy": values.amax(dim=1), "q_replay": replayed.squeeze(1)}

    def _from_update(self) -> Reading | None:
        heard, buffer = self._listener, self.model.replay_buffer
        q_policy, q_replay = heard.q_policy, heard.q_replay(self.model.batch_size)
        mean, log_std = heard.mean_action, heard.log_std
        stochastic = hasattr(self._actor, "action_log_prob")
        # Hindsight replay makes rewards while it samples, and a buffer of another make may keep none to look at
        unseen = isinstance(buffer, HerReplayBuffer) or not isinstance(getattr(buffer, "rewards", None), np.ndarray)
        if q_policy is None or q_replay is None or mean is None or stochastic != (log_std is not None) or unseen:
            return self.afresh()
        actions, numbers = mean, {"q_policy": q_policy, "q_replay": q_replay}
        if log_std is not None:
            numbers["entropy"] = self._entropy_term(mean, log_std)
            actions = mean.tanh()
        numbers["saturated"] = (actions.abs() > SATURATED).float()
        if heard.features is not None:
            numbers["features"] = heard.features.flatten(1).norm(dim=1)
        numbers.update({f"{name}_gradient": norm for name, norm in heard.gradient_norms.items()})
        return self._reading(numbers)

    def _reading(self, tensors: Mapping[str, th.Tensor]) -> Reading:
        """Make a reading from means of tensors, with one transfer from the device."""
        means = {name: tensor.float().mean() for name, tensor in tensors.items()}
        means["spread"] = tensors["q_replay"].float().std(correction=0)
        numbers = dict(zip(means, th.stack(list(means.values())).double().tolist(), strict=True))
        self._rewards.learn_from_buffer()
        term = numbers.get("entropy", 0.0)
        if hasattr(self._actor, "action_log_prob"):
            # tanh keeps actions in a box of side 2, so a policy's entropy is at most that of the uniform one
            self._bonus = self._bonus.including(term, float(self._alpha()) * self._action_size() * math.log(2.0))
        return Reading(
            n_updates=self.n_updates,
            q_policy_mean=numbers["q_policy"],
            q_replay_mean=numbers["q_replay"],
            q_replay_std=numbers["spread"],
            actor_loss=None if self._actor is None else -numbers["q_policy"] - term,
            saturated_share=numbers.get("saturated"),
            feature_norm=numbers.get("features"),
            grad_norms={
                name.removesuffix("_gradient"): norm for name, norm in numbers.items() if name.endswith("_gradient")
            },
            rewards=self._rewards.range,
            bonus=self._bonus,
        )

    # -- entropy -------------------------------------------------------------------------------------------------------

    def _act(self, observations: th.Tensor | Mapping[str, th.Tensor]) -> tuple[th.Tensor, th.Tensor]:
        """Actions of the current policy and the mean entropy term that comes with them (0 without one)."""
        if not hasattr(self._actor, "action_log_prob"):
            return self._actor(observations), th.zeros((), device=self.model.device)
        actions, log_prob = self._actor.action_log_prob(observations)
        return actions, -self._alpha() * log_prob.mean()

    def _entropy_term(self, mean: th.Tensor, log_std: th.Tensor) -> th.Tensor:
        """The mean entropy term of the policy N(mean, std) squashed by tanh, from one draw per row."""
        log_std = log_std.clamp(-20.0, 2.0)  # as SAC's actor does
        noise = th.randn(mean.shape, generator=self._generator).to(mean.device)
        squashed = (mean + log_std.exp() * noise).tanh()
        gaussian = -0.5 * noise.square() - log_std - 0.5 * math.log(2.0 * math.pi)
        return -self._alpha() * (gaussian - (1.0 - squashed.square() + 1e-6).log()).sum(dim=1).mean()

    def _alpha(self) -> th.Tensor:
        """The weight of the entropy term."""
        log_alpha = getattr(self.model, "log_ent_coef", None)
        alpha: th.Tensor = self.model.ent_coef_tensor if log_alpha is None else log_alpha.detach().exp()
        return alpha.squeeze()

    def _action_size(self) -> int:
        return int(np.prod(self.model.action_space.shape))
