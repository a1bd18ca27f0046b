"""Learning from what a person corrected: a few B-scans, a few steps, a model that follows.

Works on the network's grid, below :mod:`spad.inference`, whose ``Segmenter.learn`` is its face.
"""

from typing import TYPE_CHECKING

from spad.lazy import lazily

if TYPE_CHECKING:
    from spad.learning.loss import learning_loss, soft_dice, truth
    from spad.learning.new_structures import widened
    from spad.learning.recipe import Recipe
    from spad.learning.updates import Lesson, lesson
    from spad.learning.views import Example

__getattr__, __all__ = lazily(__name__)
