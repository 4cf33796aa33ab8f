"""The report as JSON, for programs."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sb3_carla.report.analysis import Analysis

FORMAT_VERSION = 1  # changes when a key changes its meaning or goes


def as_data(run: Analysis) -> dict[str, Any]:
    """Everything that a report says, as what JSON can hold; NaN and infinity become None.

    :param run: what is said of the run
    """
    data: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "name": run.name,
        "last_step": run.logs.last_step,
        "verdict": run.verdict.replace("**", ""),
        "checks": [asdict(check) for check in run.checks],
        "causes": [{**asdict(cause), "strength": cause.strength} for cause in run.causes],
        "timeline": [asdict(event) for event in run.timeline],
        "messages": [{"step": step, "text": text} for step, text in run.logs.messages],
        "growth": [asdict(growth) for growth in run.growths],
        "signs": {name: asdict(sign) for name, sign in run.signs.items()},
        "metrics": {name: asdict(summary) for name, summary in run.summaries.items()},
        "settings": asdict(run.settings),
        "sources": [path.name for path in run.logs.sources],
        "notes": list(run.logs.notes),
    }
    plain: dict[str, Any] = _plain(data)
    return plain


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write data of `as_data`.

    :param path: the file to write
    :param data: what to write
    """
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
