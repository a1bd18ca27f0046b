"""The parts of the SPAD module for 3D Slicer, one idea a file; docs/slicer.md says what it does."""
