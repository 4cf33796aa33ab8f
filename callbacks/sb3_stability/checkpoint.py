"""Checkpoints on disk that are whole or not there: model, replay buffer and VecNormalize of one moment."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stable_baselines3.common.vec_env import VecNormalize

_CONTENTS = "checkpoint.json"


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint.

    :param path: its folder
    :param step: ``num_timesteps`` of the model
    :param n_updates: gradient updates of the model
    """

    path: Path
    step: int
    n_updates: int

    @property
    def model_path(self) -> Path:
        """The model, as ``model.save`` writes it."""
        return self.path / "model.zip"

    @property
    def replay_buffer_path(self) -> Path | None:
        """The replay buffer, as ``model.save_replay_buffer`` writes it; None if it was left out."""
        path = self.path / "replay_buffer.pkl"
        return path if path.exists() else None

    @property
    def vec_normalize_path(self) -> Path | None:
        """The statistics of VecNormalize, as its ``save`` writes them; None without one."""
        path = self.path / "vec_normalize.pkl"
        return path if path.exists() else None

    def load(self, algorithm: Any, env: Any, **kwargs: Any) -> Any:
        """Make a model to continue with: ``model.learn(..., reset_num_timesteps=False)``.

        :param algorithm: the class of the model, for instance SAC
        :param env: the environment, a VecEnv if VecNormalize was used (without VecNormalize around it)
        :param kwargs: for ``algorithm.load``
        """
        if self.vec_normalize_path is not None and not isinstance(env, VecNormalize):
            env = VecNormalize.load(str(self.vec_normalize_path), env)
        model = algorithm.load(self.model_path, env=env, **kwargs)
        if self.replay_buffer_path is not None:
            model.load_replay_buffer(self.replay_buffer_path)
        return model

    @classmethod
    def all_in(cls, folder: str | Path) -> list[Checkpoint]:
        """The whole checkpoints of a folder, the oldest first; what a crash left half-written is not among them.

        :param folder: as given to HealthyCheckpoints
        """
        found = []
        for path in Path(folder).glob("step_*"):
            try:
                contents = json.loads((path / _CONTENTS).read_text())
                sizes = {name: (path / name).stat().st_size for name in contents["files"]}
            except (OSError, ValueError, KeyError):
                continue
            if sizes == contents["files"]:
                found.append(cls(path, int(contents["step"]), int(contents["n_updates"])))
        return sorted(found, key=lambda checkpoint: checkpoint.step)

    @classmethod
    def write(cls, folder: str | Path, model: Any, *, with_replay_buffer: bool) -> Checkpoint:
        """Write a checkpoint. It gets its name only once all of it is on the disk.

        :param folder: where checkpoints are kept; made if needed
        :param model: the model
        :param with_replay_buffer: save the replay buffer as well
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"step_{model.num_timesteps:09d}"
        unfinished = folder / f".unfinished_{path.name}"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        try:
            model.save(unfinished / "model.zip")
            if with_replay_buffer:
                model.save_replay_buffer(unfinished / "replay_buffer.pkl")
            normalizer = model.get_vec_normalize_env()
            if normalizer is not None:
                normalizer.save(str(unfinished / "vec_normalize.pkl"))
            contents = {
                "step": int(model.num_timesteps),
                "n_updates": int(getattr(model, "_n_updates", 0)),
                "files": {file.name: file.stat().st_size for file in unfinished.iterdir()},
            }
            _write_contents(unfinished, contents)
            for file in (*unfinished.iterdir(), unfinished):
                _to_disk(file)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        _remove(path)
        unfinished.rename(path)
        _to_disk(folder)
        return cls(path, contents["step"], contents["n_updates"])  # type: ignore[arg-type]

    def drop_replay_buffer(self) -> None:
        """Delete the replay buffer; a crash in between leaves the checkpoint with or without it."""
        if self.replay_buffer_path is None:
            return
        contents = json.loads((self.path / _CONTENTS).read_text())
        contents["files"].pop(self.replay_buffer_path.name, None)
        _write_contents(self.path, contents)
        self.replay_buffer_path.unlink()

    def remove(self) -> None:
        """Delete it; a crash in between leaves nothing that looks like a checkpoint."""
        _remove(self.path)


def _write_contents(folder: Path, contents: dict[str, Any]) -> None:
    written = folder / f".{_CONTENTS}"
    written.write_text(json.dumps(contents, indent=1))
    written.replace(folder / _CONTENTS)


def _remove(path: Path) -> None:
    if path.exists():
        doomed = path.with_name(f".removed_{path.name}")
        shutil.rmtree(doomed, ignore_errors=True)
        path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def _to_disk(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
