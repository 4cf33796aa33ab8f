"""Run Stable-Baselines3's own tests of TD3 with our class in the place of theirs.

    git clone --branch v2.9.2 https://github.com/DLR-RM/stable-baselines3
    python tests/td3/run_sb3_tests.py stable-baselines3 [options of pytest]

The tests are those of the checkout, the library is the installed one. Our image policies get SB3's kind of trunk (a
linear layer and its activation): one of the tests asserts that no two tensors of freshly made networks are equal, which
does not hold for LayerNorm, whose weights start at one, whatever the algorithm.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import stable_baselines3
import stable_baselines3.td3

from sb3_carla.td3 import TD3
from sb3_carla.td3.policies import BOUNDED_FEATURES, ImagePolicy

PLAIN_TRUNK = {extractor: {**kwargs, "trunk": "leaky_relu"} for extractor, kwargs in BOUNDED_FEATURES.items()}


def main() -> int:
    if len(sys.argv) < 2 or not (Path(sys.argv[1]) / "tests" / "test_run.py").exists():
        print("Give the folder of a checkout of Stable-Baselines3, with its tests.", file=sys.stderr)
        return 2
    ImagePolicy.bounded_features = PLAIN_TRUNK
    stable_baselines3.TD3 = stable_baselines3.td3.TD3 = TD3
    # The name is part of the test or of its parameters. Files without it may need packages that are not installed
    files = [str(file) for file in sorted((Path(sys.argv[1]) / "tests").glob("test_*.py")) if "TD3" in file.read_text()]
    return pytest.main([*files, "-k", "TD3", "-p", "no:cacheprovider", *sys.argv[2:]])


if __name__ == "__main__":
    sys.exit(main())
