"""The search for hyperparameters, and what a study leaves behind.

rl_zoo3's own search (``sb3-carla train -optimize``) runs the trials. Every process that is started with the same
``--storage`` and ``--study-name`` is one more worker of the same study.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import yaml
from matplotlib import pyplot as plt
from optuna.visualization import matplotlib as pictures
from rl_zoo3.hyperparams_opt import HYPERPARAMS_CONVERTER, HYPERPARAMS_SAMPLER

from sb3_carla.command_line import CommandError
from sb3_carla.td3 import NonFiniteGradients
from sb3_carla.zoo.manager import RunManager
from sb3_carla.zoo.search_space import td3_sampler


class SearchManager(RunManager):
    """rl_zoo3's search for hyperparameters with our search space, pictures of the study and a file to train from.

    All workers of a study write into one folder, ``<log folder>/<algorithm>/<study name>_study``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.algo not in HYPERPARAMS_SAMPLER:
            known = ", ".join(sorted(HYPERPARAMS_SAMPLER))
            raise CommandError(f"rl_zoo3 has no search space for {self.algo}. Search for one of {known}.")
        self.folder = Path(self.log_path) / f"{self.study_name}_study"
        self.save_path = str(self.folder)
        self.tensorboard_log = None  # several trials in one log cannot be told apart
        self._wants_pictures = not self.no_optim_plots
        self.no_optim_plots = True  # rl_zoo3's open a window each
        self._study: optuna.Study | None = None

    def objective(self, trial: optuna.Trial) -> float:
        """Run a trial; one whose gradients are not finite is pruned, as one that a stability callback stops is."""
        self._study = trial.study
        try:
            return float(super().objective(trial))
        except NonFiniteGradients as error:
            raise optuna.TrialPruned(str(error)) from error

    def hyperparameters_optimization(self) -> None:
        """Search, then say what was found and where it is."""
        if self.algo == "td3":
            HYPERPARAMS_SAMPLER["td3"] = td3_sampler(self._hyperparams)
        try:
            super().hyperparameters_optimization()
        except ValueError as error:  # optuna's, when there is no best trial
            raise CommandError(f"The search has no result: {' '.join(str(error).split())}") from error
        if self._study is not None:
            self._write(self._study)

    def _write(self, study: optuna.Study) -> None:
        best = self.folder / "best.yml"
        section = {**self.section, **HYPERPARAMS_CONVERTER[self.algo](study.best_trial.params)}
        if self.env_kwargs:
            section["env_kwargs"] = self.env_kwargs
        heading = f"# Trial {study.best_trial.number} of the study {study.study_name}: {study.best_value:.6g}\n"
        try:
            best.write_text(heading + yaml.safe_dump({self._env_id: section}, sort_keys=False), encoding="utf-8")
            print(f"Best trial: {study.best_trial.number}. Train with it: --conf-file {best}")
        except yaml.YAMLError:  # a class among them, which rl_zoo3's own spaces have
            print(f"Best trial: {study.best_trial.number}. Train with it: --storage, --study-name and --trial-id")
        if self._wants_pictures:
            print(f"Pictures: {', '.join(map(str, draw_study(study, self.folder)))}")


def draw_study(study: optuna.Study, folder: Path) -> list[Path]:
    """Draw how a study went, as far as its trials allow.

    :param study: the study
    :param folder: folder of the pictures
    :return: the pictures: values over trials, importance of the parameters, values over each of them, and when which
        trial ran
    """
    drawings: dict[str, Callable[[optuna.Study], Any]] = {
        "history": pictures.plot_optimization_history,
        "importances": pictures.plot_param_importances,
        "slices": pictures.plot_slice,
        "timeline": pictures.plot_timeline,
    }
    plt.switch_backend("agg")
    written = []
    for name, draw in drawings.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            try:
                draw(study)
            except (ValueError, RuntimeError):  # too few trials that differ
                plt.close("all")
                continue
        path = folder / f"{name}.png"
        figure = plt.gcf()
        if name == "slices":  # one narrow plot per parameter, whose labels would overlap
            figure.set_size_inches(2.4 * len(figure.axes), 4)
            for axes in figure.axes:
                axes.xaxis.label.set_fontsize(8)
                axes.tick_params(axis="x", which="both", labelsize=7, labelrotation=60)
        figure.savefig(path, dpi=100, bbox_inches="tight")
        plt.close("all")
        written.append(path)
    return written
