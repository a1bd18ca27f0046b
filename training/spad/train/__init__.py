"""The trainer. Never imported by the rest of `spad` but its commands, nor by a front end."""
