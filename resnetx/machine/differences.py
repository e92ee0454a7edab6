"""The differences between two machines that affect speed, for messages."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from resnetx.base.text import shorten

HARDWARE = ("processor", "architecture", "instruction_sets", "cores", "cpus", "cpu_quota", "gpus")


def fact_differences(old: Mapping[str, Any], new: Mapping[str, Any], names: Iterable[str]) -> tuple[str, ...]:
    """Which of these facts differ, and how."""
    found = [name for name in names if _written(old.get(name)) != _written(new.get(name))]
    return tuple(f"{name}: {named(old.get(name))} against {named(new.get(name))}" for name in found)


def version_differences(
    old: Mapping[str, Any], new: Mapping[str, Any], *, without: frozenset[str] = frozenset()
) -> tuple[str, ...]:
    """Which installed packages differ in their version."""
    before, after = (_versions(machine) for machine in (old, new))
    packages = sorted(name for name in {*before, *after} - without if before.get(name) != after.get(name))
    return tuple(f"{name} {before.get(name, 'absent')} against {after.get(name, 'absent')}" for name in packages)


def named(value: object) -> str:
    """A value for a message, which may be a name of any length from a file."""
    return "unknown" if value is None else shorten(str(value), 60)


def _written(fact: object) -> str:
    """As a file stores it, because a list read from a file is a tuple in a run of this process."""
    return json.dumps(fact, sort_keys=True, default=str)


def _versions(machine: Mapping[str, Any]) -> dict[str, str]:
    versions = machine.get("versions")
    return {str(name): named(value) for name, value in versions.items()} if isinstance(versions, dict) else {}
