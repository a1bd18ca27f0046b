"""Why an installation failed, and what helps: read off what pip says.

This file also runs on the Python of old Slicers.
"""

from __future__ import annotations

import re

__all__ = ["InstallError", "in_words"]


class InstallError(Exception):
    """An installation that failed: what is wrong, and what helps."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}. {remedy}.")
        self.problem, self.remedy = problem, remedy


_CAUSES = (
    (
        r"No space left|disk full|not enough space",
        "The disk is full",
        "Free some gigabytes, and try again",
    ),
    (
        r"Permission denied|Access is denied|Read-only file system|EACCES",
        "Slicer's folder cannot be written to",
        "Install Slicer into a folder of your own, or ask whoever administers it",
    ),
    (
        r"being used by another process",
        "A file that must be replaced is in use",
        "Restart Slicer, and install before anything else",
    ),
    (
        r"Requires-Python|requires a different Python",
        "The Python of this Slicer is too old for it",
        "Install a newer Slicer",
    ),
    (
        r"ResolutionImpossible|conflicting dependencies",
        "It would change what Slicer ships, so nothing was changed",
        "Report it, with the lines in the application's error log",
    ),
    (
        r"not a supported wheel|is not a valid wheel",
        "A wheel is not for this Python or this system",
        "Download the files again on a computer like this one",
    ),
    (
        r"NewConnectionError|Temporary failure in name|getaddrinfo|Max retries|ProxyError"
        r"|timed out|SSLError|CERTIFICATE_VERIFY_FAILED|Network is unreachable"
        r"|Name or service not known|nodename nor servname|failed to lookup address"
        r"|Connection ?(reset|refused|aborted)|WinError 100(51|54|60|61|65)",
        "The network cannot be reached",
        "Check the connection and the proxy; or download on another computer, and use “From a "
        "folder…”",
    ),
    (
        r"No matching distribution|Could not find a version",
        "A file that is needed was not found",
        "Look whether the folder is complete, and for this version of Python",
    ),
)


def in_words(output: str) -> InstallError:
    """What pip said, as a problem and its remedy."""
    for pattern, problem, remedy in _CAUSES:
        if re.search(pattern, output, re.IGNORECASE):
            return InstallError(problem, remedy)
    last = next((t.strip() for t in reversed(output.splitlines()) if t.strip()), "no message")
    return InstallError(
        f"The installation failed: {last[:200]}",
        "Look into the application's error log, and try again after a restart",
    )
