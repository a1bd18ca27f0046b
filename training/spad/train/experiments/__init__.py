"""Many runs compared: ablations, sweeps, their tables, plots and figures."""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.train.experiments import run_figures
    from spad.train.experiments.arms import Arms, choose_arms, sweep_arms
    from spad.train.experiments.experiment import Experiment, plan
    from spad.train.experiments.run_data import RunData, read_run
    from spad.train.experiments.run_figures import Picture
    from spad.train.experiments.trial import Sampling
    from spad.train.experiments.trial_runs import run_trials

__getattr__, __all__ = lazily(__name__)
