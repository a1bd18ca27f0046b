"""The stand-in alone, without the module; and a panel of its widgets."""

from __future__ import annotations

import pytest


@pytest.fixture
def app(scene):
    import standin

    yield standin.install(scene)
    standin.remove()


@pytest.fixture
def panel(app, tmp_path):
    import slicer

    from standin.sample import UI

    (tmp_path / "panel.ui").write_text(UI)
    top = slicer.util.loadUI(str(tmp_path / "panel.ui"))
    yield slicer.util.childWidgetVariables(top)
    top.deleteLater()
