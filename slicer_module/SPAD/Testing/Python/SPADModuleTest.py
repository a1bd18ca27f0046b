"""The module's test classes, for `slicer_add_python_unittest`; they stand in SPAD.py."""

from SPAD import SPADTest

__all__ = ["SPADTest"]
