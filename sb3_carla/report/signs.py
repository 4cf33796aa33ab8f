"""Signs: yes-or-no readings of a run's logs, each with the numbers behind it and the step at which it began.

A sign is None where the logs do not say. The rules that rank causes (:mod:`sb3_carla.report.causes`) name signs, and
the timeline shows those that came true.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sb3_carla.report.growth import Growth
from sb3_carla.report.learning_signs import LEARNING_SIGNS
from sb3_carla.report.logs import RunLogs
from sb3_carla.report.settings import RunSettings
from sb3_carla.report.sign import Run, Sign
from sb3_carla.report.value_signs import VALUE_SIGNS

READERS: Mapping[str, Callable[[Run], Sign]] = {**VALUE_SIGNS, **LEARNING_SIGNS}


def read_signs(logs: RunLogs, settings: RunSettings, growths: list[Growth]) -> dict[str, Sign]:
    """Read every sign of a run.

    :param logs: what was read of the run
    :param settings: what is known of its settings
    :param growths: the metrics that grow without slowing down
    """
    run = Run(logs, settings, {growth.metric: growth for growth in growths})
    return {name: reader(run) for name, reader in READERS.items()}
