"""Names that a room hands on, each loaded when it is first asked for (PEP 562).

A room's ``__init__`` lists them once, as imports that only type checkers run. So importing a room
costs nothing, and a front end's start waits for no torch, SciPy or OpenCV that it does not use.
This file stands in `spad` and, the same, in `SPADLib`, which starts before `spad` is installed.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

__all__ = ["lazily"]


def lazily(package: str) -> tuple[Callable[[str], Any], list[str]]:
    """``__getattr__`` and ``__all__`` of a package, from its imports under ``TYPE_CHECKING``.

    Parameters
    ----------
    package : str
        ``__name__`` of a package whose ``__init__`` is being run.

    Returns
    -------
    getattr, all : function, list of str
    """
    modules = _listed(inspect.getsource(sys.modules[package]))

    def load(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = modules[name]
        value = (
            import_module(f"{package}.{name}")
            if module == package
            else getattr(import_module(module), name)
        )
        setattr(sys.modules[package], name, value)
        return value

    return load, sorted(modules)


def _listed(source: str) -> dict[str, str]:
    """Module of each name that is imported under ``if TYPE_CHECKING:``."""
    guarded = [
        line
        for block in ast.parse(source).body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for line in block.body
    ]
    return {
        alias.name: line.module
        for line in guarded
        if isinstance(line, ast.ImportFrom) and line.module
        for alias in line.names
    }
