"""The benchmark of learning to drive: what it asks `sb3-carla train` for can be asked for."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest

from sb3_carla.zoo.options import StoreExpressions

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from learn import BASES, CHANGES, known_recipe, options_of


@pytest.mark.parametrize("recipe", [*BASES, *(f"ours, {change}" for change in CHANGES)])
def test_the_options_of_every_recipe_can_be_read(recipe: str) -> None:
    parser = argparse.ArgumentParser()
    for option in ("--algo", "--env", "--preset", "-n"):
        parser.add_argument(option)
    for option in ("--env-kwargs", "-params"):
        parser.add_argument(option, nargs="+", action=StoreExpressions)
    parser.add_argument("--known-bad", action="store_true")
    parser.parse_args(options_of(known_recipe(recipe)))


def test_a_change_comes_after_those_before_it() -> None:
    assert options_of("sb3, our env and schedule, lr 1e-4") == [
        *BASES["sb3"],
        *CHANGES["our env and schedule"],
        *CHANGES["lr 1e-4"],
    ]


@pytest.mark.parametrize("name", ["our", "ours, gama", "pursuit, gamma .99"])
def test_an_unknown_recipe_is_refused(name: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no recipe"):
        known_recipe(name)
