# SPDX-License-Identifier: Apache-2.0
"""The documentation is whole: whatever an operator can meet has a page, and every command shown is one that exists."""

from __future__ import annotations

import ast
import json
import re
import shlex
import sys
from functools import cache
from pathlib import Path

import pytest

from stackmend.cli.shell import Shell
from stackmend.config.document import reference
from stackmend.engine.auditing import catalogue
from stackmend.engine.diagnosing import catalogue as diagnosing
from stackmend.model.errors import Exit
from stackmend.report.pages import CHECK_SECTIONS, page

from .support.by_path import loaded

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
ROOMS = ("adr", "tutorial", "how-to", "reference", "explanation")
PAGES = sorted(
    [*ROOT.glob("*.md"), *DOCS.glob("*.md"), *(page for room in ROOMS for page in DOCS.glob(f"{room}/*.md"))]
)
REPAIR_SECTIONS = ("What it does", "Guards", "Undo")

generate = loaded(DOCS / "_ext" / "generate.py")
architecture = loaded(DOCS / "_ext" / "architecture.py")
#: made once: each test looks for its own line
checks_index, repairs_index = cache(generate.checks_index), cache(generate.repairs_index)
SHELL = Shell(sys.stdout, sys.stderr)
COMMANDS = dict(iter(SHELL.command_manager))


def _parser(name: str):
    return COMMANDS[name].load()(SHELL, None, cmd_name=name).get_parser(f"stackmend {name}")


def test_the_rooms_are_those_of_the_source():
    """The table of packages is made of their docstrings, none is missing or silent (docs/_ext/architecture.py)."""
    text = architecture.PAGE.read_text(encoding="utf-8")
    assert architecture.page(text) == text
    assert set(architecture.FLOORS) == {path.parent.name for path in architecture.SOURCE.glob("*/__init__.py")}
    assert not [line for line in architecture.rooms().splitlines() if line.endswith("|  |")]


@pytest.mark.parametrize("name", sorted(catalogue.every_check()))
def test_every_check_has_a_whole_page(name):
    """A check's docstring has a first line and the five sections in order, and its page is made of them."""
    parts = page(catalogue.pages()[name])
    assert parts.title
    assert tuple(parts.sections) == CHECK_SECTIONS
    assert all(parts.sections.values())
    made = generate.check_page(name)
    assert parts.title in made
    assert all(f"## {section}" in made for section in CHECK_SECTIONS)
    assert f"[`{name}`]({name}.md)" in checks_index()


@pytest.mark.parametrize("name", sorted(catalogue.repairs()))
def test_every_repair_has_a_whole_page(name):
    """A repair's docstring says what it does, its guards and its undo; what may be lost is on its page."""
    parts = page(catalogue.pages()[name])
    assert parts.title
    assert tuple(parts.sections) == REPAIR_SECTIONS
    made = generate.repair_page(name)
    assert catalogue.repairs()[name].why in made
    assert f"[`{name}`]({name}.md)" in repairs_index()


def test_pages_of_what_is_gone_are_removed(tmp_path):
    """The folders hold exactly the pages of the catalogue."""
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "no-such-check.md").write_text("old")
    generate.write(tmp_path)
    assert {p.stem for p in (tmp_path / "checks").iterdir()} == {"index", *catalogue.every_check()}
    assert {p.stem for p in (tmp_path / "repairs").iterdir()} == {"index", *catalogue.repairs()}


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"help", "complete"}))
def test_every_command_is_explained(name):
    """A command has a sentence, examples, help for each option, and a place in the reference."""
    parser = _parser(name)
    assert parser.description
    assert "$ stackmend" in parser.epilog
    assert [action.dest for action in parser._actions if not action.help] == []
    reference = generate.commands()
    assert f"\n## {name}\n" in reference
    for action in parser._actions:
        for option in action.option_strings:
            assert option == "--help" or option == "-h" or option in reference


def test_every_exit_code_is_documented():
    """The table of exit codes has every one, with its meaning."""
    table = generate.exit_codes()
    for code in Exit:
        assert re.search(rf"^\| {code.value} \| {code.name} \| .+ \|$", table, re.MULTILINE)
    assert "{stackmend-exit-codes}" in (DOCS / "reference" / "exit-codes.md").read_text()


def test_every_configuration_key_is_documented():
    """The page of the configuration has each section and key."""
    made = generate.settings()
    for section, keys in reference().items():
        assert f"## `[{section}]`" in made
        for name, key in keys.items():
            assert key.meaning
            assert f"| `{'NAME' if name == '*' else name}` | {key.kind} | {key.meaning} |" in made
    assert "{stackmend-settings}" in (DOCS / "reference" / "configuration.md").read_text()


def _shown() -> list[tuple[str, str]]:
    lines = []
    for path in PAGES:
        for line in path.read_text().splitlines():
            if line.startswith("$ stackmend"):
                lines.append((path.name, line[2:]))
            if path.name == "old-recipes.md":
                lines += [(path.name, found) for found in re.findall(r"`(stackmend [^`]+)`", line)]
    for name in sorted(set(COMMANDS) - {"help", "complete"}):
        lines += [
            (name, line.strip()[2:]) for line in _parser(name).epilog.splitlines() if line.strip().startswith("$ ")
        ]
    return lines


@pytest.mark.parametrize(("place", "line"), _shown())
def test_every_command_shown_is_one_that_parses(place, line, capsys):
    """What a page or an example tells the reader to type is accepted by the program."""
    words = shlex.split(line, comments=True)
    stop = next((i for i, word in enumerate(words) if word in (">", "||", "|") or word.endswith(";")), len(words))
    argv = words[1:stop]
    while argv and argv[0].startswith("-"):
        argv = argv[2:] if argv[0] in ("--config", "--root", "--layout") else argv[1:]
    if argv[0] in ("help", "complete"):
        return
    factory, name, rest = SHELL.command_manager.find_command(argv)
    try:
        factory(SHELL, None, cmd_name=name).get_parser(name).parse_args(rest)
    except SystemExit:
        pytest.fail(f"{place}: {line}: {capsys.readouterr().err}")


def _hints() -> list[tuple[str, str]]:
    """(file, command line) of every command that a text of the program names; values that it fills in are X."""
    found = []
    for path in sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "lab").rglob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                text = "".join(str(v.value) if isinstance(v, ast.Constant) else "X" for v in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value
            else:
                continue
            found += [(path.name, line) for line in re.findall(r"['`](stackmend [a-z][^'`\n]*)['`]", text)]
    return sorted(set(found))


def test_every_command_in_a_hint_exists(capsys):
    """What an error or a plan tells the reader to type is a command, and its options are options of it."""
    hints = _hints()
    assert len(hints) > 40
    nouns = {name.split()[0] for name in COMMANDS}
    wrong = []
    for place, line in hints:
        argv = shlex.split(line.replace("...", ""))[1:]
        if argv[0] == "help" or (len(argv) == 1 and argv[0] in nouns):
            continue
        try:
            factory, name, rest = SHELL.command_manager.find_command(argv)
            factory(SHELL, None, cmd_name=name).get_parser(name).parse_args(rest)
        except ValueError:
            wrong.append(f"{place}: {line}: no such command")
        except SystemExit:
            said = capsys.readouterr().err.strip().splitlines()[-1]
            # a hint may leave out what the reader knows best
            if "required" not in said and "X" not in said:
                wrong.append(f"{place}: {line}: {said}")
    assert wrong == []


def test_the_old_recipes_name_checks_that_exist():
    """Checks that a page names are in the catalogue."""
    named = re.findall(r"--check ([a-z-]+)", "".join(path.read_text() for path in PAGES))
    assert sorted(set(named) - set(catalogue.every_check())) == []


def _looked_for() -> list[tuple[str, str, str]]:
    """(code, what finds it, to whom it is left) of each row of the page that compares."""
    lines = (DOCS / "explanation" / "coverage.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.split("|")] for line in lines if line.startswith("| ")]
    return [(code, here, others) for _, code, what, here, others, _ in rows if what != "what is looked for"]


def test_what_operators_look_for_has_an_answer_each() -> None:
    """Every code once and in order; each is found by a check or a command, or left to somebody by name."""
    rows = _looked_for()
    known = {"N": 20, "P": 6, "E": 13, "C": 10, "G": 10}
    assert [code for code, _, _ in rows if code] == [
        f"{area}-{n + 1}" for area, many in known.items() for n in range(many)
    ]
    assert [code for code, here, others in rows if not here and not others] == []


def test_what_operators_look_for_is_found_by_what_exists() -> None:
    """The page names only checks of the catalogue, nearly all of them, and commands that exist."""
    named = {name for _, here, _ in _looked_for() for name in re.findall("`([^`]+)`", here)}
    commands = {name.removeprefix("stackmend ") for name in named if name.startswith("stackmend ")}
    assert sorted(commands - set(COMMANDS)) == []
    checks = {name for name in named if not name.startswith("stackmend ")}
    assert sorted(checks - set(catalogue.every_check())) == []
    assert len(checks) > 100


@pytest.mark.parametrize("path", sorted((DOCS / "schemas").glob("*.json")), ids=lambda p: p.stem)
def test_every_schema_is_valid_and_listed(path):
    """Each schema is one by its own standard, and the page of schemas has it."""
    import jsonschema

    jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text()))
    assert f"schemas/{path.name}>" in (DOCS / "reference" / "schemas.md").read_text()


def test_links_between_files_lead_somewhere():
    """No link to a file that is not there; pages that the build makes are known by name."""
    made = {
        DOCS / "reference" / kind / f"{name}.md"
        for kind, names in (
            ("checks", catalogue.every_check()),
            ("repairs", catalogue.repairs()),
            ("workflows", ()),
            ("causes", diagnosing.causes()),
        )
        for name in ("index", *names)
    }
    broken = []
    for path in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            found = (path.parent / target).resolve()
            if not found.exists() and found not in made:
                broken.append(f"{path.name}: {target}")
    assert broken == []
