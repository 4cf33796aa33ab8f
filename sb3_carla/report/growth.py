"""Which metrics grow without slowing down, by which law, and where they would leave floating point.

Two laws are compared, both fitted by least squares on the logarithm of the magnitude:

- a power law ``a * t ** b``: what Adam makes of an unbounded objective, since it moves every weight by about the
  learning rate per update, so that a product of k layers grows like ``t ** k``;
- an exponential ``a * exp(c * t)``: what a recursion makes of itself, such as a target that feeds on its own error.

``t`` counts gradient updates where the run logged ``train/n_updates``, otherwise environment steps since the training
began: a power law, unlike an exponential, depends on where the counting starts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from sb3_carla.report.checks import Q_NAMES
from sb3_carla.report.logs import Floats, RunLogs, Series
from sb3_carla.report.settings import RunSettings

Law = Literal["power law", "exponential"]

LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
LARGEST_FLOAT64 = float(np.finfo(np.float64).max)

GROWN = 10.0  # times its beginning, or it is not called growth
_DECADES_TO_DECIDE = 3.0  # over fewer, an exponential and the beginning of a power law look alike
_FEWEST = 8  # values in the growing part: two parameters are fitted on two thirds of them
_STILL_GROWS = 1.5  # local exponent of the last third; curves that level off have less than 1, a straight line has 1
_ONE_SIGN = 0.95  # share of the values that must have the sign of the last
_GOOD_FIT = 0.9  # R2
_CLEARLY_BETTER = 2.0  # ratio of the squared errors

# Metrics that count, that are set and not measured, or that have an upper limit.
_NO_MEASUREMENT = (
    "time/",
    "rollout/",
    "eval/",
    "alerts/",
    "stability/q_limit",
    "stability/q_gap_limit",
    "stability/checkpoint_step",
    "stability/rollbacks",
    "stability/lr_factor",
    "stability/gates_passed",
    "train/learning_rate",
    "grad_limit/",
    "grad_clipped_share/",
    "train/explained_variance",
    "train/clip_fraction",
    "train/saturated_share",
)
_COUNTERS = ("train/n_updates", "train/skipped_updates")


@dataclass(frozen=True)
class Fit:
    """One law fitted to the growing part of a metric.

    :param law: which
    :param rate: exponent of the power law; growth per update (or step) of the exponential
    :param r2: coefficient of determination of the logarithm
    :param prediction_error: root mean square error, in decades, on the last third when fitted on the first two
    :param overflow_float32: environment step at which the law passes the largest float32; infinite if it never does
    :param overflow_float64: the same for float64
    """

    law: Law
    rate: float
    r2: float
    prediction_error: float
    overflow_float32: float
    overflow_float64: float


@dataclass(frozen=True)
class Growth:
    """A metric whose magnitude grows and does not slow down.

    :param metric: its name
    :param steps: environment steps at which the growing part begins and ends
    :param values: the metric at these
    :param count: values in the growing part
    :param clock: what ``t`` counts: "updates" or "steps"
    :param power: the power law
    :param exponential: the exponential
    :param better: the law that fits and predicts clearly better; None if that is not decided
    :param reason: why it is not decided; empty if it is
    :param also: other metrics with the same magnitudes, such as minus the actor loss
    """

    metric: str
    steps: tuple[float, float]
    values: tuple[float, float]
    count: int
    clock: str
    power: Fit
    exponential: Fit
    better: Law | None
    reason: str = ""
    also: tuple[str, ...] = ()

    @property
    def best(self) -> Fit | None:
        """The fit of the better law."""
        return {"power law": self.power, "exponential": self.exponential, None: None}[self.better]


@dataclass(frozen=True)
class Clock:
    """Turns environment steps into what the laws count.

    :param unit: "updates" or "steps"
    :param steps: environment steps, ascending
    :param counts: the count at each
    """

    unit: str
    steps: Floats = field(repr=False)
    counts: Floats = field(repr=False)

    def at(self, steps: Floats) -> Floats:
        """The counts at some steps; outside of what is known, in proportion."""
        rate, start = self._line()
        inside = np.interp(steps, self.steps, self.counts)
        outside = (steps < self.steps[0]) | (steps > self.steps[-1])
        return np.where(outside, rate * (steps - start), inside)

    def step_of(self, count: float) -> float:
        """The environment step of a count beyond the known ones."""
        rate, start = self._line()
        return count / rate + start

    def _line(self) -> tuple[float, float]:
        """Counts per step over the run, and the step at which the line through its end begins."""
        span, counted = self.steps[-1] - self.steps[0], self.counts[-1] - self.counts[0]
        rate = float(counted / span) if span > 0 and counted > 0 else 1.0
        return rate, float(self.steps[-1] - self.counts[-1] / rate)


def find_growth(logs: RunLogs, settings: RunSettings) -> list[Growth]:
    """Fit both laws to every metric that grows without slowing down.

    :param logs: what was read of the run
    :param settings: its ``learning_starts``, if known
    """
    clock = training_clock(logs, settings)
    found = []
    for name, series in logs.metrics.items():
        if name.startswith(_NO_MEASUREMENT) or name in _COUNTERS:
            continue
        growth = fit_growth(name, series, clock)
        if growth is not None:
            found.append(growth)
    return _without_copies(sorted(found, key=lambda growth: -abs(growth.values[1])))


def _without_copies(growths: list[Growth]) -> list[Growth]:
    """Join the metrics that have the same magnitudes, under the name that says most."""
    same: dict[tuple[object, ...], list[Growth]] = {}
    for growth in growths:
        ends = tuple(float(f"{abs(value):.4g}") for value in growth.values)
        same.setdefault((growth.steps, ends, growth.count), []).append(growth)
    joined = []
    for copies in same.values():
        copies.sort(
            key=lambda growth: (growth.metric not in Q_NAMES, not growth.metric.startswith("train/"), growth.metric)
        )
        joined.append(replace(copies[0], also=tuple(copy.metric for copy in copies[1:])))
    return joined


def training_clock(logs: RunLogs, settings: RunSettings) -> Clock:
    """Count gradient updates if they were logged, otherwise steps since the training began.

    :param logs: what was read of the run
    :param settings: its ``learning_starts``, if known
    """
    updates = logs.metrics.get("train/n_updates")
    if updates is not None and len(updates.finite) >= 2 and updates.finite.values[-1] > updates.finite.values[0]:
        steps, last = np.unique(updates.finite.steps[::-1], return_index=True)
        return Clock("updates", steps, np.maximum.accumulate(updates.finite.values[::-1][last]))
    trained = [series.steps for name, series in logs.metrics.items() if name.startswith("train/") and len(series)]
    first, last_step = min((steps[0] for steps in trained), default=0.0), float(max(logs.last_step, 1))
    start = float(settings.learning_starts or 0)
    if settings.learning_starts is None and trained:
        # The first value stands one logging interval, more or less, after the first update.
        intervals = np.concatenate([np.diff(np.unique(steps)) for steps in trained])
        start = max(float(first - np.median(intervals)) if len(intervals) else 0.0, 0.0)
    ends = np.array([start, max(last_step, start + 1.0)])
    return Clock("steps", ends, ends - start)


def fit_growth(name: str, series: Series, clock: Clock) -> Growth | None:
    """Fit both laws to a metric, or return None if it does not grow, or slows down.

    :param name: of the metric
    :param series: its values
    :param clock: what the laws count
    """
    part = _growing_part(series, clock)
    if part is None:
        return None
    steps, counts, values = part
    sizes = np.log(np.abs(values))
    power = _fit("power law", np.log(counts), sizes, clock)
    exponential = _fit("exponential", counts, sizes, clock)
    better, reason = _better(power, exponential)
    if better is not None and np.ptp(sizes) < _DECADES_TO_DECIDE * math.log(10.0):
        better, reason = None, f"it spans fewer than {_DECADES_TO_DECIDE:g} decades"
    ends = (float(steps[0]), float(steps[-1])), (float(values[0]), float(values[-1]))
    return Growth(name, *ends, len(values), clock.unit, power, exponential, better, reason)


def _growing_part(series: Series, clock: Clock) -> tuple[Floats, Floats, Floats] | None:
    """Steps, counts and values from where a metric leaves its beginning to where it is largest."""
    finite = series.finite
    keep = (finite.values != 0) & (clock.at(finite.steps) > 0)
    steps, values = finite.steps[keep], finite.values[keep]
    if len(values) < _FEWEST:
        return None
    sizes = np.abs(values)
    beginning = float(np.median(sizes[: max(len(sizes) // 10, 3)]))
    largest = int(sizes.argmax())
    small = np.flatnonzero(sizes[: largest + 1] <= 2.0 * beginning)
    first = int(small[-1]) if len(small) else 0
    window = slice(first, largest + 1)
    steps, values, sizes = steps[window], values[window], sizes[window]
    if len(values) < _FEWEST or sizes[-1] < GROWN * beginning or largest < 0.8 * len(finite) - 1:
        return None
    if np.mean(np.sign(values) == np.sign(values[-1])) < _ONE_SIGN:
        return None
    counts = clock.at(steps)
    if counts[0] <= 0 or counts[-1] <= counts[0]:
        return None
    late = len(values) - max(len(values) // 3, 3)
    slope = _line(np.log(counts[late:]), np.log(sizes[late:]))[0]
    return (steps, counts, values) if slope >= _STILL_GROWS else None


def _line(x: Floats, y: Floats) -> tuple[float, float]:
    """Slope and intercept of the least-squares line."""
    centre, middle = float(x.mean()), float(y.mean())
    spread = float(((x - centre) ** 2).sum())
    slope = float(((x - centre) * (y - middle)).sum()) / spread if spread > 0 else 0.0
    return slope, middle - slope * centre


def _fit(law: Law, x: Floats, y: Floats, clock: Clock) -> Fit:
    slope, intercept = _line(x, y)
    errors = float(((y - slope * x - intercept) ** 2).sum())
    total = float(((y - y.mean()) ** 2).sum())
    known = len(x) - len(x) // 3
    early_slope, early_intercept = _line(x[:known], y[:known])
    missed = y[known:] - early_slope * x[known:] - early_intercept
    prediction = float(np.sqrt((missed**2).mean())) / math.log(10.0)

    def overflow(largest: float) -> float:
        if slope <= 0:
            return math.inf
        at = (math.log(largest) - intercept) / slope
        if law == "power law":
            at = math.exp(at) if at < 700 else math.inf
        return clock.step_of(at) if math.isfinite(at) else math.inf

    r2 = 1.0 - errors / total if total > 0 else 0.0
    return Fit(law, slope, r2, prediction, overflow(LARGEST_FLOAT32), overflow(LARGEST_FLOAT64))


def _better(power: Fit, exponential: Fit) -> tuple[Law | None, str]:
    """The law that both fits and predicts better, and else why none is named."""
    best, other = sorted((power, exponential), key=lambda fit: -fit.r2)
    if best.r2 < _GOOD_FIT:
        return None, "neither law fits"
    if (1.0 - other.r2) < _CLEARLY_BETTER * (1.0 - best.r2):
        return None, "both fit about equally well"
    if best.prediction_error >= other.prediction_error:
        return None, f"the {best.law} fits better, the {other.law} predicts the last third better"
    return best.law, ""
