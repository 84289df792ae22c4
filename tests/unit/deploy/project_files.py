"""Paths and contents of the project's files, and the names that they may use."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
import yaml

from infrastructure.settings import Settings
from worker.cli.app import app

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def documents(path: Path) -> list[dict[str, Any]]:
    """Return the YAML documents of a file. Fails on a duplicate key."""
    return list(yaml.load_all(path.read_text(), Loader=_StrictLoader))


def setting_names() -> set[str]:
    return {name.upper() for name in Settings.model_fields}


def command_names() -> set[str]:
    """Return the subcommands of `vibe8`."""
    return set(getattr(typer.main.get_command(app), "commands"))  # noqa: B009 - mypy does not know that it is a group


def values_of(key: str, value: Any) -> Iterator[Any]:
    """Yield the values of the key at any depth."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key:
                yield inner
            yield from values_of(key, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from values_of(key, inner)


class _StrictLoader(yaml.SafeLoader):
    pass


def _mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
    assert len(keys) == len(set(keys)), f"{node.start_mark}: duplicate key in {keys}"
    loader.flatten_mapping(node)
    return dict(loader.construct_pairs(node))


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
