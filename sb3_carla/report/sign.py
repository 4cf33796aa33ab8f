"""What a sign is, and what its reader looks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sb3_carla.report.growth import Growth
from sb3_carla.report.logs import RunLogs, Series
from sb3_carla.report.settings import RunSettings


@dataclass(frozen=True)
class Sign:
    """One reading.

    :param present: whether the run shows it; None if its logs do not say
    :param text: the numbers behind it, or what would have to be logged
    :param step: the environment step at which it began; None if it has no beginning
    :param event: what began then, for the timeline
    """

    present: bool | None
    text: str
    step: int | None = None
    event: str = ""


@dataclass(frozen=True)
class Run:
    """What the readers of signs look at."""

    logs: RunLogs
    settings: RunSettings
    growths: Mapping[str, Growth]

    def first(self, *names: str) -> Series | None:
        """The finite values of the first of these metrics that has any."""
        for name in names:
            if name in self.logs.metrics and len(self.logs.metrics[name].finite):
                return self.logs.metrics[name].finite
        return None
