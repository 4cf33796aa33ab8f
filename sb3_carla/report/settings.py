"""The settings of a run that a report needs, wherever the run keeps them: limits, discount, learning rate and start."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sb3_carla.report.logs import RunLogs

PARTS = ("actor_cnn", "actor_mlp", "critic_cnn", "critic_mlp")


@dataclass
class RunSettings:
    """What is known of a run's settings; empty or None where it is not.

    :param grad_limits: limit of the gradient norm per part
    :param gamma: discount factor
    :param source: where the gradient limits were found
    :param learning_starts: environment steps before the first update
    :param learning_rate: the largest learning rate that is a plain number
    """

    grad_limits: dict[str, float] = field(default_factory=dict)
    gamma: float | None = None
    source: str = ""
    learning_starts: int | None = None
    learning_rate: float | None = None


def read_settings(logs: RunLogs) -> RunSettings:
    """Look for the settings in the logs (``grad_limit/<part>``), in ``config.yml`` or ``args.yml``, in a saved model.

    :param logs: what was read of the run
    """
    settings = RunSettings()
    for source, found in _candidates(logs):
        gamma, starts, limits = found.get("gamma"), found.get("learning_starts"), _limits(found.get("max_grad_norm"))
        if settings.gamma is None and isinstance(gamma, (int, float)):
            settings.gamma = float(gamma)
        if settings.learning_starts is None and isinstance(starts, int):
            settings.learning_starts = starts
        if settings.learning_rate is None:
            settings.learning_rate = _largest_rate(found)
        if not settings.grad_limits and limits:
            settings.grad_limits, settings.source = limits, source
    return settings


def _candidates(logs: RunLogs) -> list[tuple[str, Mapping[str, Any]]]:
    last = {part: series.finite.values[-1:] for part, series in logs.under("grad_limit/").items()}
    logged = {part: float(values[0]) for part, values in last.items() if len(values)}
    found: list[tuple[str, Mapping[str, Any]]] = [("the logs", {"max_grad_norm": logged})]
    for name in ("config.yml", "config.yaml", "args.yml"):
        for path in sorted(logs.folder.rglob(name)):
            content = _yaml(path)
            # rl_zoo3's args.yml keeps what the command line changed one level down.
            inner = content.get("hyperparams")
            found += [(path.name, content)] + ([(path.name, inner)] if isinstance(inner, Mapping) else [])
    for path in sorted(logs.folder.rglob("*.zip"), key=lambda path: path.stat().st_mtime, reverse=True):
        found.append((path.name, _model_data(path)))
    return found


def _limits(value: Any) -> dict[str, float]:
    if isinstance(value, bool) or value is None:
        return {}
    if isinstance(value, (int, float)):
        return dict.fromkeys(PARTS, float(value))
    if isinstance(value, Mapping):
        return {str(part): float(limit) for part, limit in value.items() if isinstance(limit, (int, float))}
    return {}


def _largest_rate(found: Mapping[str, Any]) -> float | None:
    """The largest rate among ``learning_rate`` and ``learning_rates``; schedules are left out."""
    parts = found.get("learning_rates")
    given = [found.get("learning_rate"), *(parts.values() if isinstance(parts, Mapping) else [parts])]
    rates = [number for number in map(_as_number, given) if number is not None]
    return max(rates, default=None)


def _as_number(value: Any) -> float | None:
    """A number, also one that YAML took for a string (``1e-4``)."""
    try:
        return None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None


class _PlainLoader(yaml.SafeLoader):
    """Safe YAML that also reads rl_zoo3's dumps of OrderedDict and skips any other Python object."""


def _ordered_dict(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
    if suffix.endswith("OrderedDict") and isinstance(node, yaml.SequenceNode):
        return dict(loader.construct_sequence(node, deep=True)[0])
    return None


_PlainLoader.add_multi_constructor("tag:yaml.org,2002:python/", _ordered_dict)


def _yaml(path: Path) -> Mapping[str, Any]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_PlainLoader)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, IndexError):
        return {}
    return content if isinstance(content, Mapping) else {}


def _model_data(path: Path) -> Mapping[str, Any]:
    """The plain settings of a model that SB3 saved, read without unpickling anything."""
    try:
        with zipfile.ZipFile(path) as archive:
            data = json.loads(archive.read("data"))
    except (zipfile.BadZipFile, KeyError, ValueError):
        return {}
    return data if isinstance(data, Mapping) else {}
