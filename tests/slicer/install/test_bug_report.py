"""“Copy for a bug report” under the panel, and where the engine is missing."""

from __future__ import annotations

import sys

from driving import said, settle


def copied(standin_qt) -> str:
    return str(standin_qt.QApplication.clipboard().text())


def test_the_button_under_the_panel_copies_a_report(panel, tmp_path, monkeypatch):
    import qt

    monkeypatch.setenv("SPAD_CACHE", str(tmp_path))
    panel.desk.fail(ValueError("/home/Meier/scan.nrrd: is odd"))
    assert "is odd" in said(panel)
    panel.reportButton.click()
    report = copied(qt)
    for word in ("3D Slicer", "system", "model oct-lesions", "ValueError", "is odd"):
        assert word in report
    assert "Meier" not in report
    settle(panel)


def test_without_the_engine_the_report_says_so(app, monkeypatch):
    from SPADLib.install.bug_report import report

    monkeypatch.setitem(sys.modules, "spad.doctor", None)
    text = report()
    assert "engine: does not load (ModuleNotFoundError)" in text
    assert "Python:" in text


def test_the_button_stands_below_the_panel(panel):
    places = [panel.layout.itemAt(at).widget() for at in range(panel.layout.count())]
    assert [one for one in places if one is not None][-1] is panel.reportButton
    settle(panel)
