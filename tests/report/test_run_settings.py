from __future__ import annotations

import numpy as np
import pytest
from progress_file import write_progress

from sb3_carla.report import read_logs, read_settings

FOUR = {"actor_cnn": 1.0, "actor_mlp": 1.0, "critic_cnn": 10.0, "critic_mlp": 10.0}


def test_limits_are_found_in_the_logs(tmp_path):
    run = write_progress(tmp_path, {f"grad_limit/{part}": [limit, limit] for part, limit in FOUR.items()})
    assert read_settings(read_logs(run)).grad_limits == FOUR


def test_limits_and_discount_are_found_in_a_configuration(tmp_path):
    from collections import OrderedDict

    import yaml

    run = write_progress(tmp_path, {"train/actor_loss": [1.0]})
    (run / "config.yml").write_text(yaml.dump(OrderedDict(gamma=0.9, max_grad_norm=FOUR, noise=np.float64(1.0))))
    settings = read_settings(read_logs(run))
    assert (settings.grad_limits, settings.gamma, settings.source) == (FOUR, 0.9, "config.yml")


def test_the_discount_is_found_in_a_saved_model(trained_run):
    settings = read_settings(read_logs(trained_run))
    assert settings.gamma == 0.99
    assert settings.grad_limits == {}


@pytest.mark.parametrize("text", ["- 1\n- 2\n", "a: [", "!!python/object/apply:os.system ['exit 1']", "\x00"])
def test_a_configuration_that_cannot_be_read_changes_nothing(tmp_path, text):
    run = write_progress(tmp_path, {"train/actor_loss": [1.0]})
    (run / "config.yml").write_text(text)
    (run / "model.zip").write_bytes(b"no zip")
    settings = read_settings(read_logs(run))
    assert (settings.grad_limits, settings.gamma) == ({}, None)
