from __future__ import annotations

import subprocess
import sys

import pytest


def modules_after(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after a statement."""
    code = f"{statement}\nimport sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import sb3_carla, sb3_stability", {"carla", "rl_zoo3"}),
        ("from sb3_carla import TD3, CarlaEnv, NatureCNN, MaxPoolCNN, GRUCNN", {"carla", "rl_zoo3"}),
        ("import sb3_stability", {"sb3_carla", "carla", "rl_zoo3"}),
        ("import sb3_carla.simulator.server", {"torch", "stable_baselines3", "carla"}),
        ("import sb3_carla.envs.client_process", {"torch", "stable_baselines3", "carla"}),
    ],
)
def test_importing_does_not_load_what_is_not_needed(statement: str, absent: set[str]) -> None:
    assert not absent & modules_after(statement)


def test_every_public_name_is_there() -> None:
    import sb3_carla

    assert all(getattr(sb3_carla, name) is not None for name in sb3_carla.__all__)
    assert set(sb3_carla.__all__) <= set(dir(sb3_carla))
    with pytest.raises(AttributeError, match="no attribute 'CarlaEnvs'"):
        sb3_carla.CarlaEnvs  # noqa: B018
