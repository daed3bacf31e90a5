# SPDX-License-Identifier: Apache-2.0
"""The entry points of the plugin for the ``openstack`` client, made of the commands that there are.

hatchling calls this while it builds the package (pyproject.toml); as a program it prints the entry points, of which
scripts/setup.sh makes a stamp. Nothing of stackmend is imported: what that needs is not there where packages are built.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

FOLDER = Path("src/stackmend/cli/commands")
PACKAGE = "stackmend.cli.commands"


def entry_points(root: Path) -> dict[str, dict[str, str]]:
    """Group -> name -> object, for the plugin and each of its commands."""
    commands = {
        f"mend_{name.replace(' ', '_')}": f"{PACKAGE}.{_dotted(path.relative_to(root / FOLDER))}:{command}"
        for path in sorted((root / FOLDER).rglob("[!_]*.py"))
        for name, command in _commands(path).items()
    }
    return {"openstack.cli.extension": {"mend": "stackmend.cli.plugin"}, "openstack.mend.v1": commands}


def _dotted(path: Path) -> str:
    return ".".join(path.with_suffix("").parts)


def _commands(path: Path) -> dict[str, str]:
    """What ``COMMANDS = {"name": Class}`` says in a module; ValueError where it cannot be read without running it."""
    for node in ast.parse(path.read_text(encoding="utf-8"), str(path)).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == "COMMANDS" for target in targets):
            value = node.value
            if isinstance(value, ast.Dict) and all(isinstance(v, ast.Name) for v in value.values):
                return {ast.literal_eval(key): name.id for key, name in zip(value.keys, value.values, strict=True)}
            break
    raise ValueError(f'{path}: write COMMANDS = {{"name of the command": Class, ...}}')


def get_metadata_hook() -> type:
    """The class that hatchling asks for."""
    from hatchling.metadata.plugin.interface import MetadataHookInterface

    class EntryPoints(MetadataHookInterface):
        """Adds the entry points to the metadata of the project."""

        def update(self, metadata: dict[str, Any]) -> None:
            metadata["entry-points"] = entry_points(Path(self.root))

    return EntryPoints


if __name__ == "__main__":
    for group, points in entry_points(Path(__file__).parents[1]).items():
        for name, target in points.items():
            print(group, name, target)
