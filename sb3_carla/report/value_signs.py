"""Signs read off Q-values, losses and numbers that are not finite."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from sb3_carla.report.checks import at, not_finite, q_values
from sb3_carla.report.logs import Floats, Series
from sb3_carla.report.sign import Run, Sign

_PERSISTENT = 3  # values beyond a limit that are no outlier any more
_MARGIN = 1.5  # on the feasible bound, as sb3_stability's detector has it
_FLOOR = 10.0  # times the beginning: Q of an untrained network breaks no bound
_GREW = 100.0


# -- Q-values ----------------------------------------------------------------------------------------------------------


def _limits(run: Run, steps: Floats) -> tuple[Floats, Floats, str] | None:
    """Lowest and highest feasible Q at some steps, as logged, or estimated from rewards, episode lengths and gamma."""
    low, high = (run.first(f"stability/q_limit_{side}") for side in ("low", "high"))
    if low is not None and high is not None:
        return at(low, steps), at(high, steps), "the limit"
    rewards, lengths = run.first("rollout/ep_rew_mean"), run.first("rollout/ep_len_mean")
    if rewards is None or lengths is None:
        return None
    # Single rewards were not logged: ten times the mean reward per step stands for the largest.
    per_step = float(np.abs(rewards.values / np.maximum(at(lengths, rewards.steps), 1.0)).max())
    gamma = 0.99 if run.settings.gamma is None else run.settings.gamma
    bound = _MARGIN * 10.0 * per_step / max(1.0 - gamma, 1e-6)
    return np.full(len(steps), -bound), np.full(len(steps), bound), "an estimate of the limit"


def _beyond(run: Run, series: Series | None, name: str) -> Sign:
    if series is None:
        return Sign(None, f"{name} was not logged")
    limits = _limits(run, series.steps)
    if limits is None:
        return Sign(None, f"{name} up to {_largest(series):.4g}, its limits were not logged")
    low, high, which = limits
    floor = _FLOOR * float(np.abs(series.values[:3]).max()) if which != "the limit" else 0.0
    outside = np.flatnonzero((series.values < np.minimum(low, -floor)) | (series.values > np.maximum(high, floor)))
    if len(outside) >= _PERSISTENT or (len(outside) and outside[-1] == len(series) - 1):
        first = int(outside[0])
        value = series.values[first]
        text = (
            f"{name} {value:.4g} beyond {which} {(high if value > 0 else low)[first]:.4g}, later {_largest(series):.4g}"
        )
        return Sign(True, text, int(series.steps[first]), f"{name} passes {which}: {value:.4g}")
    return Sign(False, f"{name} within {which}, largest {_largest(series):.4g}")


def _largest(series: Series) -> float:
    return float(series.values[np.abs(series.values).argmax()])


def _q_infeasible(run: Run) -> Sign:
    series = q_values(run.logs)
    return _beyond(run, None if series is None or not len(series.finite) else series.finite, "Q(s, π(s))")


def _replay_infeasible(run: Run) -> Sign:
    return _beyond(run, run.first("train/q1_mean", "stability/q_replay_mean"), "Q on replayed actions")


def _policy_apart(run: Run) -> Sign:
    policy, replay = q_values(run.logs), run.first("train/q1_mean", "stability/q_replay_mean")
    if policy is None or not len(policy.finite) or replay is None:
        return Sign(None, "Q(s, π(s)) and Q on replayed actions were not both logged")
    policy = policy.finite
    other = np.abs(at(replay, policy.steps))
    scale = 2.0 * (other + 2.0 * float(np.median(np.abs(replay.values))) + 1e-9)
    wide = np.flatnonzero(np.abs(policy.values) > np.maximum(scale, _FLOOR * abs(float(policy.values[0]))))
    worst = int(np.abs(policy.values).argmax())
    text = f"Q(s, π(s)) {policy.values[worst]:.4g} where Q on replayed actions is {at(replay, policy.steps)[worst]:.4g}"
    if len(wide) >= _PERSISTENT:
        began = f"Q(s, π(s)) departs from Q on replayed actions: {policy.values[wide[0]]:.4g}"
        return Sign(True, text, int(policy.steps[wide[0]]), began)
    return Sign(False, text)


def _power_law(run: Run) -> Sign:
    names = ("train/q_policy_mean", "stability/q_policy_mean", "train/actor_loss", "stability/actor_loss")
    growth = next((run.growths[name] for name in names if name in run.growths), None)
    if growth is None:
        logged = any(name in run.logs.metrics for name in names)
        return Sign(
            False if logged else None, "Q(s, π(s)) does not grow without slowing down" if logged else "no Q logged"
        )
    if growth.better is None:
        return Sign(None, f"growth of {growth.metric}: {growth.reason}")
    best = growth.power if growth.better == "power law" else growth.exponential
    text = f"{growth.metric} grows by {'a' if best is growth.power else 'an'} {best.law} (R² {best.r2:.3f})"
    return Sign(best is growth.power, text)


def _critic_loss_grows(run: Run) -> Sign:
    loss = run.first("train/critic_loss", "stability/critic_loss")
    if loss is None or len(loss) < 6:
        return Sign(None, "too few values of the critic loss")
    tenth = max(len(loss) // 10, 3)
    early, late = float(np.median(loss.values[:tenth])), float(np.median(loss.values[-tenth:]))
    return Sign(late > _GREW * max(early, 1e-9), f"critic loss {early:.4g} at first, {late:.4g} at the end")


# -- numbers -----------------------------------------------------------------------------------------------------------


def _first_bad(run: Run) -> tuple[int, str] | None:
    bad = not_finite(run.logs).items()
    return min(((int(one.steps[~np.isfinite(one.values)][0]), name) for name, one in bad), default=None)


def _non_finite(run: Run) -> Sign:
    bad = _first_bad(run)
    if bad is None:
        return Sign(False, "every logged number is finite")
    return Sign(True, f"{bad[1]} is NaN or infinite", bad[0], f"{bad[1]} is NaN or infinite")


def _grew_before_nan(run: Run) -> Sign:
    bad = _first_bad(run)
    if bad is None:
        return Sign(None, "every logged number is finite")
    sizes = [
        float(np.abs(series.finite.values[series.finite.steps <= bad[0]]).max(initial=0.0))
        for name, series in run.logs.metrics.items()
        if name.startswith(("train/", "stability/q_p", "stability/q_r", "grad_norm/"))
        and not name.endswith("n_updates")
    ]
    largest = max(sizes, default=0.0)
    return Sign(largest > 1e6, f"largest training metric before the first NaN {largest:.4g}")


VALUE_SIGNS: Mapping[str, Callable[[Run], Sign]] = {
    "q_infeasible": _q_infeasible,
    "replay_infeasible": _replay_infeasible,
    "policy_apart": _policy_apart,
    "power_law": _power_law,
    "critic_loss_grows": _critic_loss_grows,
    "non_finite": _non_finite,
    "grew_before_nan": _grew_before_nan,
}
