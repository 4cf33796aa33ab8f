"""Numbers that sum up one logged metric: initial, final, mean, spread, range, trend."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sb3_carla.report.logs import Series

_FEWEST_FOR_A_TREND = 6


@dataclass(frozen=True)
class Summary:
    """What the finite values of a metric were like; NaN everywhere if there are none.

    :param count: values logged
    :param not_finite: how many of them were NaN or infinite
    :param trend: one or two words
    """

    count: int
    not_finite: int
    initial: float
    final: float
    mean: float
    std: float
    low: float
    high: float
    trend: str


def summarise(series: Series) -> Summary:
    """Sum up one metric.

    :param series: any logged metric
    """
    values = series.finite.values
    lost = len(series) - len(values)
    if not len(values):
        nan = math.nan
        return Summary(len(series), lost, nan, nan, nan, nan, nan, nan, "no finite value")
    with np.errstate(over="ignore"):
        mean, std = float(values.mean()), float(values.std())
    return Summary(
        len(series),
        lost,
        float(values[0]),
        float(values[-1]),
        mean,
        std,
        float(values.min()),
        float(values.max()),
        trend(series),
    )


def trend(series: Series) -> str:
    """Compare the mean of a metric's first fifth with that of its last: a trend is more than two standard errors.

    :param series: any logged metric
    :return: "rising", "falling", "flat", with a factor where the size changed tenfold, or "too few values"
    """
    values = series.finite.values
    if len(values) < _FEWEST_FOR_A_TREND:
        return "too few values"
    fifth = max(len(values) // 5, 3)
    with np.errstate(over="ignore"):
        early, late = values[:fifth], values[-fifth:]
        change = float(late.mean() - early.mean())
        spread = 2.0 * float(np.hypot(early.std(), late.std())) / math.sqrt(fifth)
        size, was = float(np.abs(late).mean()), float(np.abs(early).mean())
    if abs(change) <= max(spread, 1e-12 * max(size, was)):
        return "flat"
    direction = "rising" if change > 0 else "falling"
    if was > 0 and size > 10 * was:
        return f"{direction}, x{size / was:.3g}"
    if size > 0 and was > 10 * size:
        return f"{direction}, /{was / size:.3g}"
    return direction


def smooth(series: Series, share: float = 0.1) -> Series:
    """Running mean of the finite values.

    :param series: any logged metric
    :param share: width of the window as a share of the number of values
    """
    finite = series.finite
    width = max(round(share * len(finite)), 1)
    if width < 2:
        return finite
    kernel = np.ones(width) / width
    means = np.convolve(finite.values, kernel, mode="valid")
    first = (width - 1) // 2  # each mean stands at the middle of its window
    return Series(finite.steps[first : first + len(means)], means)
