"""The module calls Slicer by names and parameters that its sources have: `record_signatures.py`."""

from __future__ import annotations

import ast
import inspect
import json

import pytest
from record_signatures import MODULE, TABLE, calls, module_files, util_functions

FACTS = json.loads(TABLE.read_text("utf-8"))
ALIASES = {
    "registerCustomSampleDataSource": "SampleDataLogic.registerCustomSampleDataSource",
    "connectParametersToGui": "_connectParametersToGui",
    "disconnectGui": "_disconnectGui",
    "delayDisplay": "ScriptedLoadableModuleTest.delayDisplay",
    "onReload": "ScriptedLoadableModuleWidget.onReload",
    "Choice": "Choice.__init__",
    "WithinRange": "WithinRange.__init__",
    "translate": "translate",
}


def test_both_ends_of_what_is_supported_are_recorded():
    assert {"5.10.0", "5.12.3"} <= set(FACTS)
    for version, facts in FACTS.items():
        recorded = {n for n in facts["functions"] if n.startswith("slicer.util.")}
        missing = {f"slicer.util.{n}" for n in util_functions()} - recorded
        assert not missing, f"{version}: run tests/slicer/record_signatures.py again"


def signature(parameters):
    kinds = inspect.Parameter
    out = []
    for name, default in parameters:
        if name.startswith("**"):
            out.append(kinds(name[2:], kinds.VAR_KEYWORD))
        elif name.startswith("*"):
            out.append(kinds(name[1:], kinds.VAR_POSITIONAL))
        elif any(p.kind is kinds.VAR_POSITIONAL for p in out):
            out.append(kinds(name, kinds.KEYWORD_ONLY, default=default or kinds.empty))
        else:
            given = kinds.empty if default is None else default
            out.append(kinds(name, kinds.POSITIONAL_OR_KEYWORD, default=given))
    return inspect.Signature(out)


def uses():
    for path in module_files():
        for name, call in calls(path):
            last = name.rpartition(".")[2]
            known = name if name.startswith("slicer.util.") else ALIASES.get(last)
            if last == "translate" and path.name != "SPAD.py":
                continue  # the engine has one too
            if known is not None and last not in ("runTest", "__init__"):
                yield f"{path.name}:{call.lineno}", known, name, call


@pytest.mark.parametrize("version", sorted(FACTS))
def test_every_call_fits_the_signature_of_the_version(version):
    found = 0
    for where, known, written, call in uses():
        parameters = FACTS[version]["functions"][known]
        assert parameters is not None, f"{where}: Slicer {version} has no {known}"
        own = (
            bool(parameters)
            and parameters[0][0] == "self"
            and written.split(".")[0] != ("ScriptedLoadableModuleWidget")
        )
        given = [None] * (len(call.args) + own)
        named = {k.arg: None for k in call.keywords if k.arg}
        try:
            signature(parameters).bind(*given, **named)
        except TypeError as error:
            pytest.fail(f"{where}: {known} of Slicer {version}: {error}")
        found += 1
    assert found > 20


@pytest.mark.parametrize("version", sorted(FACTS))
def test_a_keyword_that_does_not_exist_would_be_found(version):
    """As once, at every start of Slicer: `sampleDescription`."""
    parameters = FACTS[version]["functions"]["SampleDataLogic.registerCustomSampleDataSource"]
    with pytest.raises(TypeError, match="sampleDescription"):
        signature(parameters).bind(category="SPAD", sampleDescription="")


@pytest.mark.parametrize("version", sorted(FACTS))
def test_the_editors_members_are_reached_by_python(version):
    widgets = FACTS[version]["widgets"]
    known = {*widgets["qMRMLSegmentEditorWidget"], *widgets["qMRMLWidget"]}
    text = (MODULE / "SPADLib" / "correct" / "segment_editor.py").read_text("utf-8")
    used = {
        node.attr
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute)
        and ast.unparse(node.value) in ("widget", "self.widget", "editor")
    }
    assert len(used) > 10
    assert used <= known, used - known


@pytest.mark.parametrize("version", sorted(FACTS))
def test_the_stand_ins_widgets_offer_no_more_than_slicers(version, app):
    import slicer

    for name in ("qMRMLSegmentEditorWidget", "qMRMLNodeComboBox"):
        known = {*FACTS[version]["widgets"][name], *FACTS[version]["widgets"]["qMRMLWidget"]}
        made = getattr(slicer, name)
        own = {n for n in vars(made) if not n.startswith("_")} - {"staticMetaObject"}
        signals = {n for n in own if type(getattr(made, n)).__name__ == "Signal"}
        assert own - signals <= known, own - signals - known
