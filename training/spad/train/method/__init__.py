"""The paper's method, one file a part: ScD, BcD, PaS, the perturbed image, the loss; and leakage.

Equations are those of docs/method.md, which gives the paper's sections beside them.
"""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.train.method.loss import loss_terms
    from spad.train.method.noise_leakage import leakage, predict_at_T
    from spad.train.method.pas import intensity, target_count
    from spad.train.method.perturbed_image import Batch, perturb
    from spad.train.method.recycling import AT_VISITED
    from spad.train.method.scd import target_map

__getattr__, __all__ = lazily(__name__)
