"""What is kept as JSON in attributes of nodes; a scene may come from anywhere: no trust."""

from __future__ import annotations

import json
from typing import Any, TypeVar

__all__ = ["kept"]

T = TypeVar("T", dict[str, Any], list[Any])


def kept(node: Any, name: str, otherwise: T) -> T:
    """Read an attribute.

    Parameters
    ----------
    node : vtkMRMLNode
    name : str
    otherwise : dict or list
        What is given where there is none, or another kind of value than this.
    """
    try:
        found = json.loads(node.GetAttribute(name) or "null")
    except ValueError:
        return otherwise
    return found if isinstance(found, type(otherwise)) else otherwise
