"""Callbacks that stop a training which has gone bad, for any off-policy algorithm of SB3 or sb3-contrib.

- :class:`StopTrainingOnQValueExplosion`
- :class:`StopTrainingOnActorLossExplosion`
- :class:`StopTrainingOnGradientExplosion`
- :class:`StopTrainingOnNonFinite`

A stop ends ``learn()`` normally: the model is there to be inspected or saved, the reason is printed and kept in
``callback.message``. All arguments are plain values, so the classes can be named in an rl_zoo3 YAML file::

    callback:
      - sb3_stability.StopTrainingOnQValueExplosion:
          margin: 2.0
"""

from __future__ import annotations

from sb3_stability.detectors import Alarm, Finite, GradientNorm
from sb3_stability.looking import magnitude, positive
from sb3_stability.reading import Reading
from sb3_stability.readings import Readings, UnreadableModelError, networks
from sb3_stability.stop_training import StopOnBound, StopTraining


class StopTrainingOnQValueExplosion(StopOnBound):
    """Stop when the mean Q(s, pi(s)) is no possible return any more: beyond ``margin`` times the largest (or smallest)
    reward seen at every step for ever. NaN and infinity stop at once.

    :param margin: factor on the feasible bound; None switches the bound off
    :param patience: looks in a row that must be beyond the limit
    :param floor: the limit is never nearer to zero than this many times the untrained network's own Q-values
    :param max_abs_q: fixed threshold on the magnitude, besides the bound (for instance 1e4); None for none
    :param check_freq: env steps or updates between two looks
    :param batch_size: transitions of the replay buffer that are read where the training itself shows nothing
    :param verbose: 1 prints the reason for a stop, 0 is silent
    """

    alert = "q_value_explosion"

    def __init__(
        self,
        margin: float | None = 1.5,
        patience: int = 3,
        floor: float = 10.0,
        max_abs_q: float | None = None,
        check_freq: int = 20,
        batch_size: int = 64,
        verbose: int = 1,
    ) -> None:
        super().__init__(margin, patience, floor, max_abs_q, "max_abs_q", check_freq, batch_size, verbose)

    def _subject(self) -> str:
        return "the mean Q(s, pi(s))"

    def _detect(self, reading: Reading) -> Alarm | None:
        if reading.q_policy_mean is None:
            return None
        self.logger.record("stability/q_policy_mean", reading.q_policy_mean)
        if reading.q_replay_mean is not None:
            self.logger.record("stability/q_replay_mean", reading.q_replay_mean)
        return self._observe(reading.q_policy_mean, reading)


class StopTrainingOnActorLossExplosion(StopOnBound):
    """Stop when the actor loss is no possible return any more. The loss is minus the mean Q(s, pi(s)) (and, in SAC
    and its kin, minus the entropy term), so the feasible bound of the Q-values holds for it with the sign turned.

    :param margin: factor on the feasible bound; None switches the bound off
    :param patience: looks in a row that must be beyond the limit
    :param floor: the limit is never nearer to zero than this many times the untrained network's own Q-values
    :param max_abs_loss: fixed threshold on the magnitude, besides the bound (for instance 1e6); None for none
    :param check_freq: env steps or updates between two looks
    :param batch_size: transitions of the replay buffer that are read where the training itself shows nothing
    :param verbose: 1 prints the reason for a stop, 0 is silent
    """

    alert = "actor_loss_explosion"

    def __init__(
        self,
        margin: float | None = 1.5,
        patience: int = 3,
        floor: float = 10.0,
        max_abs_loss: float | None = None,
        check_freq: int = 20,
        batch_size: int = 64,
        verbose: int = 1,
    ) -> None:
        super().__init__(margin, patience, floor, max_abs_loss, "max_abs_loss", check_freq, batch_size, verbose)

    def _start(self, readings: Readings) -> None:
        if not readings.has_actor:
            raise UnreadableModelError(
                f"{type(self.model).__name__} has no actor and so no actor loss. Leave {type(self).__name__} out; "
                "StopTrainingOnQValueExplosion watches its Q-values."
            )
        super()._start(readings)

    def _subject(self) -> str:
        return "minus the actor loss"

    def _detect(self, reading: Reading) -> Alarm | None:
        if reading.actor_loss is None:
            return None
        self.logger.record("stability/actor_loss", reading.actor_loss)
        return self._observe(-reading.actor_loss, reading)


class StopTrainingOnGradientExplosion(StopTraining):
    """Stop when the norm of a gradient, before any clipping, is beyond a limit. By default that is the founding user's
    1e5; :class:`~sb3_stability.StabilityMonitor` warns at half of it. Most explosions of Q have small gradients, see
    ``benchmarks/detectors.py``, so this comes beside :class:`StopTrainingOnQValueExplosion` and not in its place.

    The norms are those of the actor and the critic, or of the parts that the model tells apart. DQN and QR-DQN clip
    their gradients before they can be seen and are refused.

    :param max_norm: limit of the global L2 norm for rewards of at most 1; larger rewards raise it by their square
    :param patience: looks in a row that must be beyond the limit
    :param check_freq: env steps or updates between two looks
    :param batch_size: transitions of the replay buffer that are read where the training itself shows nothing
    :param verbose: 1 prints the reason for a stop, 0 is silent
    """

    alert = "gradient_explosion"

    def __init__(
        self,
        max_norm: float = 1e5,
        patience: int = 3,
        check_freq: int = 20,
        batch_size: int = 64,
        verbose: int = 1,
    ) -> None:
        super().__init__(check_freq, batch_size, verbose)
        self.max_norm = positive("max_norm", max_norm) or 0.0
        self.patience = int(positive("patience", patience) or 1)

    def _start(self, readings: Readings) -> None:
        if not readings.has_actor:
            raise UnreadableModelError(
                f"The gradients of {type(self.model).__name__} cannot be seen before they are clipped. Leave "
                f"{type(self).__name__} out; StopTrainingOnQValueExplosion watches its Q-values."
            )
        self._detectors: dict[str, GradientNorm] = {}
        self._culprit = ""

    def _subject(self) -> str:
        return f"the norm of the gradient of {self._culprit}"

    def _detect(self, reading: Reading) -> Alarm | None:
        for self._culprit, norm in reading.grad_norms.items():
            detector = self._detectors.setdefault(self._culprit, GradientNorm(self.max_norm, self.patience))
            alarm = detector.observe(norm, at=reading.n_updates, rewards=reading.rewards)
            if alarm is not None:
                return alarm
        return None


class StopTrainingOnNonFinite(StopTraining):
    """Stop at once on NaN or infinity in the Q-values, the losses, or any parameter of actor, critic or Q-network.

    :param check_freq: env steps or updates between two looks
    :param batch_size: transitions of the replay buffer that are read where the training itself shows nothing
    :param verbose: 1 prints the reason for a stop, 0 is silent
    """

    alert = "non_finite"

    def _start(self, readings: Readings) -> None:
        self._detectors: dict[str, Finite] = {}
        self._culprit = "a number"

    def _subject(self) -> str:
        return self._culprit

    def _detect(self, reading: Reading) -> Alarm | None:
        watched = {
            "the mean Q(s, pi(s))": reading.q_policy_mean,
            "the mean Q on replayed actions": reading.q_replay_mean,
            "the actor loss": reading.actor_loss,
            "the critic loss": reading.critic_loss,
            **{
                f"the sum of the magnitudes of the {name}'s parameters": magnitude(network)
                for name, network in networks(self.model).items()
            },
        }
        for self._culprit, value in watched.items():
            if value is not None:
                alarm = self._detectors.setdefault(self._culprit, Finite()).observe(value, at=reading.n_updates)
                if alarm is not None:
                    return alarm
        return None
