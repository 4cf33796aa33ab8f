"""The exported policy acts as the model; needs the packages of the extra ``onnx``."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from pixels import DictEnv, PixelEnv

from sb3_carla.td3 import TD3

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytestmark = pytest.mark.filterwarnings("ignore")  # torch's exporter warns of its own deprecations


@pytest.fixture(scope="module")
def example() -> ModuleType:
    file = Path(__file__).parents[2] / "examples" / "onnx_export.py"
    spec = importlib.util.spec_from_file_location("onnx_export", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("policy", "encoder"),
    [("CnnPolicy", "separate"), ("MultiInputPolicy", "critic"), ("AsymmetricPolicy", "separate")],
)
def test_the_exported_policy_acts_as_the_model(example: ModuleType, policy: str, encoder: str, tmp_path: Path) -> None:
    env: Any = PixelEnv() if policy == "CnnPolicy" else DictEnv()
    model = TD3(policy, env, buffer_size=10, device="cpu", policy_kwargs={"encoder": encoder})
    model.save(tmp_path / "model")
    example.main(tmp_path / "model.zip", tmp_path / "policy.onnx")

    # The check itself tells another model's policy from this one's
    other = TD3(policy, env, buffer_size=10, device="cpu", policy_kwargs={"encoder": encoder}, seed=1)
    assert example.largest_difference(other, tmp_path / "policy.onnx") > example.TOLERANCE
    assert np.isfinite(example.largest_difference(model, tmp_path / "policy.onnx"))
