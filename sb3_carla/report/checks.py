"""The checklist: what a look at a run's logs should answer, each with its evidence and what to do about it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sb3_carla.report.logs import Floats, RunLogs, Series
from sb3_carla.report.settings import RunSettings
from sb3_carla.report.statistics import smooth, trend

Status = Literal["pass", "warn", "FAIL", "unknown"]

HUGE_LOSS = 1e6
SATURATED = 0.9
DEAD = 1e-4  # of its largest norm: a gradient this small moves nothing any more
COLLAPSE = 3.0  # an episode length this many times shorter than its best is a collapse
_PERSISTENT = 3  # values outside of their limits that are no outlier any more
_ROUNDING = 1e-4  # logs are float32, and means of norms that sit exactly at their limit

Q_NAMES = ("train/q_policy_mean", "train/q1_mean", "train/q2_mean", "train/q_target_mean")
LOSS_NAMES = ("train/actor_loss", "train/critic_loss")


@dataclass(frozen=True)
class Check:
    """One row of the checklist.

    :param question: what was checked
    :param status: "unknown" where the logs do not say
    :param evidence: the numbers behind the status
    :param advice: what to do; empty if nothing
    """

    question: str
    status: Status
    evidence: str
    advice: str = ""


def run_checks(logs: RunLogs, settings: RunSettings) -> list[Check]:
    """Go through the checklist.

    :param logs: what was read of the run
    :param settings: its gradient limits and discount, as far as known
    """
    checks = [_alerts(logs), _q_bound(logs), _q_gap(logs), _finite(logs), _loss_size(logs)]
    checks += [_episode_length(logs), _learning(logs), _saturation(logs), _actor_gradient(logs), _skipped(logs)]
    return [check for check in checks if check is not None] + list(_gradients(logs, settings))


def q_values(logs: RunLogs) -> Series | None:
    """The best series of mean Q(s, pi(s)) there is: logged, or minus the actor loss (which it is in TD3 and DDPG).

    :param logs: what was read of the run
    """
    for name in ("train/q_policy_mean", "stability/q_policy_mean"):
        if name in logs.metrics:
            return logs.metrics[name]
    loss = logs.metrics.get("train/actor_loss")
    return None if loss is None else Series(loss.steps, -loss.values)


def alerts_fired(logs: RunLogs) -> dict[str, int]:
    """The alerts of the run by name, with the first step at which each fired.

    :param logs: what was read of the run
    """
    fired = {}
    for name, series in logs.under("alerts/").items():
        on = np.flatnonzero(series.values > 0)
        if len(on):
            fired[name] = int(series.steps[on[0]])
    return fired


def _alerts(logs: RunLogs) -> Check:
    question, alerts = "No alert fired", logs.under("alerts/")
    if not alerts:
        advice = "Pass sb3_stability's callbacks to learn()."
        return Check(question, "unknown", "no alerts/* in the logs: no stability callback was used", advice)
    fired = alerts_fired(logs)
    if not fired:
        return Check(question, "pass", f"watched: {', '.join(sorted(alerts))}")
    evidence = ", ".join(f"{name} at step {step}" for name, step in fired.items())
    return Check(question, "FAIL", evidence, "Read the message of the callback below; it names likely causes.")


def at(series: Series, steps: Floats) -> Floats:
    """The last known value of a series at other steps.

    :param series: not empty
    :param steps: environment steps
    """
    index = np.clip(np.searchsorted(series.steps, steps, side="right") - 1, 0, len(series) - 1)
    return series.values[index]


def _q_bound(logs: RunLogs) -> Check:
    question, q = "Q-values within what the rewards allow", q_values(logs)
    if q is None or not len(q.finite):
        return Check(question, "unknown", "no Q-values and no actor loss in the logs", "Log train/q_policy_mean.")
    q = q.finite
    low, high = (logs.metrics.get(f"stability/q_limit_{side}") for side in ("low", "high"))
    if low is None or high is None or not len(low) or not len(high):
        largest = q.values[np.abs(q.values).argmax()]
        evidence = f"largest {largest:.4g}, trend {trend(q)}; the limits were not logged"
        return Check(question, "unknown", evidence, "StopTrainingOnQValueExplosion logs them as stability/q_limit_*.")
    lows, highs = at(low, q.steps), at(high, q.steps)
    outside = np.flatnonzero((q.values < lows) | (q.values > highs))
    limits = f"[{lows[-1]:.4g}, {highs[-1]:.4g}]"
    if len(outside):
        first = outside[0]
        evidence = (
            f"{q.values[first]:.4g} at step {int(q.steps[first])}, {len(outside)} of {len(q)} outside of {limits}"
        )
        status: Status = "FAIL" if len(outside) >= _PERSISTENT or outside[-1] == len(q) - 1 else "warn"
        return Check(question, status, evidence, "Look for a leak in the actor loss and a critic that learns too fast.")
    return Check(question, "pass", f"between {q.values.min():.4g} and {q.values.max():.4g}, allowed {limits}")


def _q_gap(logs: RunLogs) -> Check | None:
    policy, replay = logs.metrics.get("train/q_policy_mean"), logs.metrics.get("train/q1_mean")
    if policy is None or replay is None or not len(policy.finite) or not len(replay.finite):
        return None
    policy, replay = policy.finite, replay.finite
    question = "Q of the policy's actions near Q of replayed actions"
    # Judged on the last tenth: early on both are small and far apart in proportion.
    tail = max(len(policy) // 10, 1)
    at_policy = float(np.median(policy.values[-tail:]))
    at_replay = float(np.median(at(replay, policy.steps)[-tail:]))
    evidence = f"{at_policy:.4g} against {at_replay:.4g} at the end"
    if abs(at_policy - at_replay) > 2 * max(abs(at_replay), float(np.std(replay.values)), 1e-9):
        advice = "Actions that were never tried look too good: check the actor loss for a leak, explore more."
        return Check(question, "warn", evidence, advice)
    return Check(question, "pass", evidence)


def _finite(logs: RunLogs) -> Check:
    question = "Every logged number is finite"
    bad = not_finite(logs)
    if not bad:
        return Check(question, "pass", f"{sum(len(series) for series in logs.metrics.values())} values")
    first = sorted((int(series.steps[~np.isfinite(series.values)][0]), name) for name, series in bad.items())
    evidence = ", ".join(f"{name} from step {step}" for step, name in first[:4])
    advice = "Check observations and rewards for NaN (VecCheckNan), then lower the learning rates."
    return Check(question, "FAIL", evidence, advice)


def not_finite(logs: RunLogs) -> dict[str, Series]:
    """The metrics that hold NaN or infinity where that is a fault.

    :param logs: what was read of the run
    """
    # Means over episodes are NaN before the first one ends, the explained variance while all returns are equal.
    no_fault = ("time/", "rollout/", "eval/", "train/explained_variance")
    return {
        name: series
        for name, series in logs.metrics.items()
        if len(series.finite) < len(series) and not name.startswith(no_fault)
    }


def _loss_size(logs: RunLogs) -> Check:
    question = f"Losses below {HUGE_LOSS:.0e}".replace("e+0", "e")
    sizes = {
        name: float(np.abs(logs.metrics[name].finite.values).max())
        for name in LOSS_NAMES
        if name in logs.metrics and len(logs.metrics[name].finite)
    }
    if not sizes:
        return Check(question, "unknown", "no losses in the logs", "Train past learning_starts.")
    evidence = ", ".join(f"largest |{name.removeprefix('train/')}| {size:.4g}" for name, size in sizes.items())
    if max(sizes.values()) > HUGE_LOSS:
        return Check(question, "FAIL", evidence, "Scale the rewards to about 1 and look at the Q-values.")
    return Check(question, "pass", evidence)


def _episode_length(logs: RunLogs) -> Check:
    question, lengths = "Episode length does not collapse", logs.metrics.get("rollout/ep_len_mean")
    if lengths is None or len(lengths.finite) < 2:
        return Check(question, "unknown", "fewer than two episode lengths in the logs", "Wrap the env in a Monitor.")
    means = smooth(lengths)
    best, final = float(means.values.max()), float(means.values[-1])
    evidence = f"longest {best:.4g}, at the end {final:.4g} steps"
    if best < COLLAPSE * max(final, 1e-9):
        return Check(question, "pass", evidence)
    rewards = logs.metrics.get("rollout/ep_rew_mean")
    if rewards is not None and trend(rewards).startswith("rising"):
        return Check(question, "pass", f"{evidence}, while the reward rises: shorter episodes are better ones here")
    return Check(question, "FAIL", evidence, "See whether the actions are saturated; such an actor cannot learn.")


def _learning(logs: RunLogs) -> Check:
    question, rewards = "Reward rises", logs.metrics.get("rollout/ep_rew_mean")
    if rewards is None or not len(rewards.finite):
        return Check(question, "unknown", "no episode rewards in the logs", "Wrap the env in a Monitor.")
    values, direction = rewards.finite.values, trend(rewards)
    evidence = f"{values[0]:.4g} at first, {values[-1]:.4g} at the end, best {values.max():.4g}: {direction}"
    if direction == "too few values":
        return Check(question, "unknown", evidence, "Train longer, or log more often (log_interval=1).")
    if direction.startswith("rising"):
        return Check(question, "pass", evidence)
    return Check(question, "warn", evidence, "Short runs often show nothing yet; compare with a random policy.")


def _saturation(logs: RunLogs) -> Check | None:
    series = next((series for name, series in logs.metrics.items() if name.endswith("saturated_share")), None)
    if series is None or not len(series.finite):
        return None
    values = series.finite.values
    late = float(values[-max(len(values) // 10, 1) :].mean())
    evidence = f"{100 * late:.3g} % of the actions at their limits at the end"
    if late > SATURATED:
        advice = "A saturated actor has no gradient: use the LayerNorm + tanh trunk or a lower actor learning rate."
        return Check("Actions not saturated", "warn", evidence, advice)
    return Check("Actions not saturated", "pass", evidence)


def _actor_gradient(logs: RunLogs) -> Check | None:
    series = logs.metrics.get("grad_norm/actor_mlp")
    if series is None or len(series.finite) < 2:
        return None
    question, values = "Actor receives a gradient", series.finite.values
    largest, late = float(values.max()), float(values[-max(len(values) // 10, 1) :].max())
    evidence = f"norm of actor_mlp {late:.4g} at the end, largest {largest:.4g}"
    if late < DEAD * largest or largest == 0.0:
        advice = "Its tanh is saturated: use the LayerNorm + tanh trunk or a lower actor learning rate."
        return Check(question, "warn", evidence, advice)
    return Check(question, "pass", evidence)


def _skipped(logs: RunLogs) -> Check | None:
    series = logs.metrics.get("train/skipped_updates")
    if series is None or not len(series.finite):
        return None
    skipped = int(series.finite.values[-1])
    if skipped:
        advice = "Their gradients were NaN or infinite; check observations and rewards."
        return Check("No update was skipped", "warn", f"{skipped} skipped", advice)
    return Check("No update was skipped", "pass", "0 skipped")


def _gradients(logs: RunLogs, settings: RunSettings) -> Iterator[Check]:
    for part, series in logs.under("grad_norm_clipped/").items():
        question, limit = f"Gradient of {part} within its limit", settings.grad_limits.get(part, math.nan)
        if not len(series.finite):
            yield Check(question, "unknown", "no finite norm in the logs")
            continue
        largest = float(series.finite.values.max())
        if math.isnan(limit):
            advice = "Log it as grad_limit/<part>, or keep config.yml or the model in the run's folder."
            yield Check(question, "unknown", f"largest norm after clipping {largest:.4g}, limit not known", advice)
        elif largest > limit * (1 + _ROUNDING):
            advice = "A norm above its limit is a defect of the algorithm: clip after backward(), before step()."
            yield Check(question, "FAIL", f"largest norm after clipping {largest:.4g}, limit {limit:g}", advice)
        else:
            yield Check(question, "pass", f"largest norm after clipping {largest:.4g}, limit {limit:g}")
