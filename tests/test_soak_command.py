"""The soak's criterion for flat memory."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from soak import flatness

TICKS = range(5_000, 200_001, 5_000)


@pytest.mark.parametrize(
    ("memory", "flat"),
    [
        (lambda tick: 300.0, True),
        (lambda tick: 300.0 + (tick // 5_000) % 2, True),  # up and down
        (lambda tick: 250.0 if tick <= 20_000 else 300.0, True),  # what is built in the first tenth stays
        (lambda tick: 300.0 + tick * 1e-4, False),  # 100 bytes a tick
        (lambda tick: 300.0 if tick < 150_000 else 340.0, False),
        (lambda tick: 300.0 - tick * 1e-4, True),
    ],
)
def test_a_leak_is_told_from_memory_that_goes_up_and_down(memory, flat: bool) -> None:
    verdict, words = flatness([(tick, memory(tick)) for tick in TICKS], 200_000, allowed=3.0)
    assert verdict is flat
    assert words.startswith("flat" if flat else "NOT FLAT")


def test_a_run_that_is_too_short_proves_nothing() -> None:
    verdict, words = flatness([(100, 300.0), (200, 300.0)], 200, allowed=3.0)
    assert not verdict
    assert "too few" in words
