"""A training that is killed at any moment and resumed equals one that was not, bit for bit."""

from __future__ import annotations

import multiprocessing
import pickle
import random
from pathlib import Path
from typing import Any

import killable
import numpy as np
import pytest
import torch as th
from pixels import PixelEnv

from sb3_carla.td3 import TD3
from sb3_carla.td3.checkpoint import CheckpointEvery, resume, save_checkpoint

CLEAN = multiprocessing.get_context("forkserver")  # no threads of the test session in the children
CLEAN.set_forkserver_preload(
    ["sb3_carla.td3.checkpoint", "gymnasium.envs.classic_control", "torch._dynamo"]
)  # slow to import


def run(kind: str, folder: Path, **arguments: Any) -> int | None:
    process = CLEAN.Process(target=killable.train, args=(kind, str(folder)), kwargs=arguments)
    process.start()
    process.join(120)
    assert not process.is_alive()
    return process.exitcode


@pytest.fixture(scope="module", params=["images", "vectors"])
def uninterrupted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any]:
    folder = tmp_path_factory.mktemp(request.param)
    assert run(request.param, folder) == 0
    return request.param, th.load(folder / "weights")


def assert_equal(expected: dict[str, th.Tensor], folder: Path) -> None:
    found = th.load(folder / "weights")
    assert found.keys() == expected.keys()
    assert [name for name in expected if not th.equal(expected[name], found[name])] == []


def test_killed_at_random_moments_and_resumed_it_ends_with_the_same_weights(
    uninterrupted: tuple[str, Any], tmp_path: Path
) -> None:
    kind, expected = uninterrupted
    for first, last in ((5, 30), (31, 55), (56, 79)):
        assert run(kind, tmp_path, die_after=(random.randint(first, last), random.uniform(0, 0.02))) == -9
    assert run(kind, tmp_path) == 0
    assert int((tmp_path / "started").read_text()) > killable.EVERY
    assert_equal(expected, tmp_path)


@pytest.mark.slow
def test_killed_on_the_embedded_simulator_and_resumed_it_ends_with_the_same_weights(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("uninterrupted", "killed")]
    for folder in folders:
        folder.mkdir()
    assert run("simulator", folders[0]) == 0
    for first, last in ((5, 40), (45, 75)):
        assert run("simulator", folders[1], die_after=(random.randint(first, last), random.uniform(0, 0.02))) == -9
    assert run("simulator", folders[1]) == 0
    assert int((folders[1] / "started").read_text()) >= killable.EVERY
    assert_equal(th.load(folders[0] / "weights"), folders[1])


def test_killed_while_it_writes_a_checkpoint_it_goes_on_from_the_one_before(
    uninterrupted: tuple[str, Any], tmp_path: Path
) -> None:
    kind, expected = uninterrupted
    assert run(kind, tmp_path, die_while_writing=1) == -9
    assert not (tmp_path / "run.checkpoint").exists()
    assert (tmp_path / "run.checkpoint.unfinished").exists()
    assert run(kind, tmp_path, die_while_writing=3) == -9
    assert run(kind, tmp_path) == 0
    resumed_at = int((tmp_path / "started").read_text())
    assert 2 * killable.EVERY <= resumed_at < 4 * killable.EVERY
    assert not (tmp_path / "run.checkpoint.unfinished").exists()
    assert_equal(expected, tmp_path)


def make_model(**arguments: Any) -> TD3:
    return TD3(
        "CnnPolicy",
        PixelEnv(size=36),
        seed=0,
        buffer_size=50,
        learning_starts=5,
        batch_size=4,
        device="cpu",
        **arguments,
    )


def test_a_checkpoint_waits_for_the_end_of_an_episode(tmp_path: Path) -> None:
    written: list[int] = []
    ends: list[int] = []

    class Noting(CheckpointEvery):
        def _on_step(self) -> bool:
            if self.locals["dones"][0]:
                ends.append(self.num_timesteps)
            return super()._on_step()

        def _on_rollout_start(self) -> None:
            before = self._latest
            super()._on_rollout_start()
            if self._latest != before:
                written.append(self._latest)

    model = TD3("CnnPolicy", PixelEnv(size=36, episode=8), seed=1, buffer_size=50, learning_starts=100, device="cpu")
    model.learn(60, callback=Noting(10, tmp_path / "run"))
    assert len(written) >= 3
    assert set(written) <= set(ends)
    assert all(later - earlier >= 10 for earlier, later in zip([0, *written], written, strict=False))


def test_an_episode_without_an_end_is_cut_off_as_truncated(tmp_path: Path) -> None:
    model = TD3("CnnPolicy", PixelEnv(size=36, episode=10_000), buffer_size=50, learning_starts=100, device="cpu")
    model.action_space.seed(0)
    model.action_space.low[:] = -1
    model.action_space.high[0] = -0.9  # away from the edge that ends an episode
    model.learn(35, callback=CheckpointEvery(15, tmp_path / "run"))
    assert resume(tmp_path / "run", PixelEnv(size=36)).num_timesteps == 30
    buffer = model.replay_buffer
    assert buffer is not None
    assert np.flatnonzero(buffer.dones).tolist() == np.flatnonzero(buffer.timeouts).tolist() == [29]


def test_records_of_the_last_update_come_back(tmp_path: Path) -> None:
    model = make_model().learn(12)
    save_checkpoint(model, tmp_path / "run")
    assert resume(tmp_path / "run", PixelEnv(size=36)).last_update == model.last_update


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    model = make_model()
    model.save(tmp_path / "model.zip")
    (tmp_path / "text").write_text("not a zip file")
    for name in ("model.zip", "text"):
        with pytest.raises(ValueError, match="is not a checkpoint"):
            resume(tmp_path / name, PixelEnv(size=36))
    with pytest.raises(ValueError, match="no environment"):
        save_checkpoint(TD3.load(tmp_path / "model.zip"), tmp_path / "run")
    with pytest.raises(ValueError, match="Give 1 or more"):
        CheckpointEvery(0, tmp_path / "run")


def test_a_failed_write_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model().learn(12)
    save_checkpoint(model, tmp_path / "run")
    before = (tmp_path / "run").read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(pickle, "dump", full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(model, tmp_path / "run")
    assert (tmp_path / "run").read_bytes() == before
