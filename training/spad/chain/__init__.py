"""The label diffusion: noise schedule, categorical transitions, keyed draws, the reverse chain.

Pure functions on tensors that know no network: a network is a function that predicts x_0.
"""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.chain import draws
    from spad.chain.captured import Recorder, records
    from spad.chain.diffusion import evidence, kl, one_hot, posterior, prior_logits, q_sample
    from spad.chain.host_words import block, chain_words, views
    from spad.chain.launches import few_launches, sent
    from spad.chain.noise_schedule import Jump, NoiseSchedule, cosine_schedule
    from spad.chain.sampler import Chains, step_times, times_of_use

__getattr__, __all__ = lazily(__name__)
