"""The trainer. Never imported by the rest of `spad`, nor by a front end."""
