"""The benchmark of learning to drive: what it asks `sb3-carla train` for can be asked for."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest

from sb3_carla.zoo.options import StoreExpressions

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from learn import RECIPES


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_options_of_every_recipe_can_be_read(recipe: str) -> None:
    parser = argparse.ArgumentParser()
    for option in ("--algo", "--env", "--preset", "-n"):
        parser.add_argument(option)
    for option in ("--env-kwargs", "-params"):
        parser.add_argument(option, nargs="+", action=StoreExpressions)
    parser.add_argument("--known-bad", action="store_true")
    parser.parse_args(RECIPES[recipe])
