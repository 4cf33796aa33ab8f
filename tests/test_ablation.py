"""The benchmark that tells the leak from the other suspects, in its smallest form."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "benchmarks" / "ablation.py"


@pytest.fixture(scope="module")
def ablation():
    spec = importlib.util.spec_from_file_location("ablation", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["ablation"] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["ablation"]


@pytest.fixture(scope="module")
def small(ablation):
    """The base with a network and a learning rate that explode within seconds."""
    from founding_explosion import SmallCNN

    policy_kwargs = {"features_extractor_class": SmallCNN, "net_arch": [256, 256]}
    return {"policy_kwargs": policy_kwargs, "learning_rate": 1e-3}


@pytest.mark.parametrize("clip", ["none", "joint"])
def test_the_leak_explodes_with_every_kind_of_clipping_and_the_right_update_with_none(ablation, small, clip):
    leaky = ablation.run("fixture", ablation.Cell("clip", clip, True, clip, small), seed=0, updates=250)
    assert leaky.exploded
    assert leaky.left_bound_at < leaky.updates
    healthy = ablation.run("fixture", ablation.Cell("clip", clip, False, clip, small), seed=0, updates=leaky.updates)
    assert not healthy.exploded
    assert healthy.q_over_bound < 0.1 * leaky.q_over_bound
    if clip == "none":  # the founding system's way to log a norm exceeds a limit of 1 all the more
        assert leaky.norm_sum_actor_cnn > leaky.gradient_cnn > 1


def test_every_cell_has_a_name_of_its_own_and_comes_with_and_without_the_leak(ablation):
    names = [cell.name for cell in ablation.cells()]
    assert len(set(names)) == len(names)
    assert {name.replace("leaky", "healthy") for name in names if name.startswith("leaky")} == {
        name for name in names if name.startswith("healthy")
    }


def test_half_a_row_left_by_a_killed_process_is_run_again_and_spoils_no_other(ablation, tmp_path):
    results = tmp_path / "results.csv"
    for seed in (0, 1):
        ablation.append(results, ablation.Row("fixture", "leaky: clip none", seed, seconds=1.0))
    text = results.read_text().rstrip()
    results.write_text(text[: text.rindex("leaky") + 10])
    assert [row["seed"] for row in ablation.read_rows(results)] == ["0"]
    ablation.append(results, ablation.Row("fixture", "leaky: clip none", 1, seconds=2.0))
    assert [(row["seed"], row["seconds"]) for row in ablation.read_rows(results)] == [("0", "1"), ("1", "2")]


@pytest.mark.slow  # each call starts two interpreters that import torch
def test_a_call_trains_only_what_is_missing_and_prints_everything(tmp_path):
    results = tmp_path / "results.csv"
    command = [sys.executable, str(SCRIPT), "--task", "fixture", "--cells", "clip none", "--jobs", "1"]
    command += ["--updates", "4", "--seeds", "0", "--results", str(results)]

    def call():
        done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=True)
        return done.stdout, done.stderr

    table, progress = call()
    assert "| leaky: clip none | 0 of 1 |" in table
    assert progress.count("stayed within the bound") == 2
    results.write_text("\n".join(results.read_text().splitlines()[:2]) + "\n")
    table, progress = call()
    assert progress.count("stayed within the bound") == 1
    assert "| leaky: clip none | 0 of 1 |" in table
    assert "| healthy: clip none | 0 of 1 |" in table
    assert cv2.imread(str(results.with_suffix(".png"))) is not None
