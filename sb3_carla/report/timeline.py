"""What happened when: alerts of callbacks, and turns of the curves that nobody had to raise an alert for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sb3_carla.report.growth import Growth
from sb3_carla.report.logs import RunLogs, Series
from sb3_carla.report.sign import Sign

_GROWTHS = 4  # of the metrics that grow, so many are told: the largest

Origin = Literal["alert", "curve"]


@dataclass(frozen=True)
class Event:
    """Something that happened in a run.

    :param step: environment step
    :param origin: "alert": logged by a callback; "curve": read off a curve by this report
    :param what: what happened
    """

    step: int
    origin: Origin
    what: str


def make_timeline(logs: RunLogs, signs: Mapping[str, Sign], growths: list[Growth]) -> list[Event]:
    """Collect the events of a run in order.

    :param logs: what was read of the run
    :param signs: its signs
    :param growths: the metrics that grow without slowing down
    """
    events = [event for name, series in logs.under("alerts/").items() for event in _alerts(name, series.finite)]
    for sign in signs.values():
        if sign.present and sign.step is not None:
            events.append(Event(sign.step, "curve", sign.event))
    for growth in growths[:_GROWTHS]:
        first, last = growth.values
        what = f"{growth.metric} begins to grow and does not slow down: {first:.4g}, later {last:.4g}"
        events.append(Event(int(growth.steps[0]), "curve", what))
    return sorted(events, key=lambda event: (event.step, event.origin))


def _alerts(name: str, series: Series) -> list[Event]:
    """When an alert went on and off; one that flickers is told once with its count."""
    on = series.values > 0
    if not on.any():
        return []
    starts = np.flatnonzero(on & ~np.concatenate([[False], on[:-1]]))
    first = int(series.steps[starts[0]])
    if len(starts) > 2:
        return [Event(first, "alert", f"{name} fired, {len(starts)} times up to step {int(series.steps[on][-1])}")]
    events = [Event(int(series.steps[start]), "alert", f"{name} fired") for start in starts]
    ends = np.flatnonzero(~on & np.concatenate([[False], on[:-1]]))
    return events + [Event(int(series.steps[end]), "alert", f"{name} over") for end in ends]
