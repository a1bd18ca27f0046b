"""The parts of the SPAD module for 3D Slicer; see architecture in docs/slicer.md."""
