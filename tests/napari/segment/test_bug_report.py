"""“Copy for a bug report”: what napari knows, with the engine's report, on the clipboard."""

from __future__ import annotations

import pytest

pytest.importorskip("napari")

from qtpy.QtWidgets import QApplication

from napari_spad.segment.bug_report import ReportButton

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("quiet")]


def test_the_button_copies_a_report_with_qt_and_the_last_error(
    open_dock, qtbot, tmp_path, monkeypatch
):
    monkeypatch.setenv("SPAD_CACHE", str(tmp_path))
    _, dock = open_dock()
    dock.desk.fail(ValueError("/home/Meier/scan.png: is odd"))
    button = dock.findChild(ReportButton, "help")
    button.copy_action.trigger()
    said = QApplication.clipboard().text()
    for word in ("napari", "with Qt", "screen 1", "last errors", "ValueError", "is odd"):
        assert word in said
    assert "Meier" not in said
    assert "without paths, users or patients" in dock.footer.status.text()
