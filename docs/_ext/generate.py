# SPDX-License-Identifier: Apache-2.0
"""Pages made of the source: checks, repairs, workflows, commands, exit codes. Markdown out, no Sphinx in here."""

from __future__ import annotations

import argparse
import importlib
import inspect
import io
import json
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import stackmend.causes
import stackmend.checks
import stackmend.repairs
import stackmend.workflows
from stackmend.cli.shell import Shell
from stackmend.config.document import reference
from stackmend.engine.auditing.catalogue import KINDS, areas
from stackmend.model.check import Check, Obstacle
from stackmend.model.diagnosing.cause import Cause
from stackmend.model.errors import Exit
from stackmend.model.repair import Repair
from stackmend.model.sight import Sight
from stackmend.model.workflow import Workflow
from stackmend.report.pages import page

ROOT = Path(__file__).parent.parent.parent


def modules(package: ModuleType, attribute: str) -> Iterator[tuple[ModuleType, object]]:
    """(module, what it declares) for every module below ``package`` that has ``attribute``."""
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        module = importlib.import_module(found.name)
        if hasattr(module, attribute):
            yield module, getattr(module, attribute)


def checks() -> dict[str, tuple[ModuleType, Check]]:
    """Name -> module and check."""
    every = (found for kind in KINDS for found in modules(stackmend.checks, kind))
    return {c.name: (m, c) for m, c in every if isinstance(c, Check)}


def repairs() -> dict[str, tuple[ModuleType, Repair]]:
    """Name -> module and repair."""
    return {r.name: (m, r) for m, r in modules(stackmend.repairs, "REPAIR") if isinstance(r, Repair)}


def workflows() -> dict[str, tuple[ModuleType, Workflow]]:
    """Name -> module and workflow."""
    return {w.name: (m, w) for m, w in modules(stackmend.workflows, "WORKFLOW") if isinstance(w, Workflow)}


def causes() -> dict[str, tuple[ModuleType, Cause]]:
    """Name -> module and cause."""
    return {c.name: (m, c) for m, c in modules(stackmend.causes, "CAUSE") if isinstance(c, Cause)}


def check_page(name: str) -> str:
    """The page of a check."""
    module, check = checks()[name]
    parts = page(module.__doc__)
    mended = [
        f"[`{r.name}`](../repairs/{r.name}.md) ({r.risk.value})" for _, r in repairs().values() if name in r.checks
    ]
    hindered = [f"[`{n}`](../workflows/{n}.md)" for n, (_, w) in sorted(workflows().items()) if w.deed in check.hinders]
    ages = ", ".join(f"`{age}` {seconds} s" for age, seconds in check.ages.items()) or "none"
    counts = ", ".join(f"`{name}` {number}" for name, number in check.counts.items()) or "none"
    rows = (
        ("severity", check.severity.value),
        ("status", check.status.value),
        ("catalogue", check.catalogue),
        ("about", check.resource[0]),
        ("key", ", ".join(f"`{column}`" for column in check.key)),
        ("needs", ", ".join(f"`{source}`" for source in sorted(check.needs)) or "nothing beyond what it reads"),
        ("ages", ages),
        ("counts", counts),
        ("repairs", ", ".join(mended) or "none: it reports only"),
        *((("seen on hypervisors", _sight(check.sight)),) if check.sight else ()),
        *((f"an upgrade {_weight(one)}", _obstacle(one)) for one in check.obstacles),
        ("stays as it is in", ", ".join(hindered) or "no workflow"),
    )
    table = "\n".join(f"| {left} | {right} |" for left, right in rows)
    sections = "".join(f"## {title}\n\n{body}\n\n" for title, body in parts.sections.items())
    explained = "".join(f"* [`{cause}`]({cause}.md)\n" for cause in check.explained_by if cause in checks())
    if explained:
        sections += f"## Root causes that explain it\n\n{explained}\n"
    sql = f"## Its SQL\n\n```sql\n{inspect.cleandoc(check.sql)}\n```\n" if check.sql else ""
    return f"# {name}\n\n{parts.title}\n\n| | |\n|---|---|\n{table}\n\n{sections}{sql}"


def _sight(shown: Sight) -> str:
    what = [word for word, column in (("the volume", shown.volume), ("the port", shown.port)) if column]
    return f"with `--hosts`: whether the guest runs, and where{''.join(f', and whether it has {one}' for one in what)}"


def _weight(shown: Obstacle) -> str:
    return "is blocked by it" if shown.blocks else "is warned of it"


def _obstacle(shown: Obstacle) -> str:
    codes = ", ".join(f"`{code}`" for code in sorted(shown.codes))
    return f"{f'{codes}: ' if codes else ''}{shown.what} ({shown.source})"


def repair_page(name: str) -> str:
    """The page of a repair."""
    module, repair = repairs()[name]
    parts = page(module.__doc__)
    known = checks()
    mends = ", ".join(f"[`{c}`](../checks/{c}.md)" if c in known else f"`{c}`" for c in repair.checks)
    rows = (
        ("risk", repair.risk.value if repair.risk.value == "safe" else f"**{repair.risk.value}**"),
        ("what may be lost", repair.why or "nothing"),
        ("mends", mends or "asked for by an operator"),
        ("strategies", ", ".join(f"`{strategy}`" for strategy in repair.strategies)),
        *([("may remove", "; ".join(f"`{k}`: {v}" for k, v in repair.removes.items()))] if repair.removes else []),
        *([("refused with `--hosts`", repair.unless.__doc__)] if repair.unless.__doc__ else []),
        *([("why not by an API", repair.no_api)] if repair.no_api else []),
        ("about", repair.resource),
    )
    table = "\n".join(f"| {left} | {right} |" for left, right in rows)
    sections = "".join(f"## {title}\n\n{body}\n\n" for title, body in parts.sections.items())
    return f"# {name}\n\n{parts.title}\n\n| | |\n|---|---|\n{table}\n\n{sections}"


def workflow_page(name: str) -> str:
    """The page of a workflow."""
    module, workflow = workflows()[name]
    parts = page(module.__doc__)
    risk = workflow.risk.value if workflow.risk.value == "safe" else f"**{workflow.risk.value}**"
    sections = "".join(f"## {title}\n\n{body}\n\n" for title, body in parts.sections.items())
    return (
        f"# {name}\n\n{parts.title}\n\n| | |\n|---|---|\n| risk | {risk} |\n"
        f"| what may be lost | {workflow.why or 'nothing'} |\n\n{sections}"
    )


def checks_index() -> str:
    """The table of all checks."""
    tables = ""
    for area in sorted(set(areas().values())):
        some = sorted((item for item in checks().items() if areas()[item[0]] == area), key=_entry)
        tables += f"\n## {area.capitalize()}\n\n{_CHECK_COLUMNS}"
        tables += "".join(_check_row(name, module, check) for name, (module, check) in some)
    tree = "\n".join(sorted(checks()))
    return (
        "# Checks\n\nWhat `stackmend audit` asks. In the terminal: `stackmend check list`, `stackmend check show NAME`."
        " `audit --area` and `audit --severity` run some of them.\n"
        f"{tables}\n"
        f"```{{toctree}}\n:hidden:\n\n{tree}\n```\n"
    )


_CHECK_COLUMNS = "| check | what is wrong | severity | repair | by |\n|---|---|---|---|---|\n"


def _entry(item: tuple[str, tuple[ModuleType, Check]]) -> object:
    return _number(item[1][1].catalogue)


def _check_row(name: str, module: ModuleType, check: Check) -> str:
    mending = [(n, r) for n, (_, r) in sorted(repairs().items()) if name in r.checks]
    named = ", ".join(f"[`{n}`](../repairs/{n}.md) ({r.risk.value})" for n, r in mending) or "by hand"
    how = ", ".join(sorted({strategy for _, r in mending for strategy in r.strategies})) or "-"
    return f"| [`{name}`]({name}.md) | {page(module.__doc__).title} | {check.severity.value} | {named} | {how} |\n"


def repairs_index() -> str:
    """The table of all repairs."""
    rows = "".join(
        f"| [`{name}`]({name}.md) | {repair.risk.value} | {page(module.__doc__).title} |\n"
        for name, (module, repair) in sorted(repairs().items())
    )
    tree = "\n".join(sorted(repairs()))
    removed = "".join(
        f"| [`{name}`]({name}.md) | `{what}` | {where} |\n"
        for name, (_, repair) in sorted(repairs().items())
        for what, where in repair.removes.items()
    )
    return (
        "# Repairs\n\nHow findings are mended. `unsafe` wants consent by name: `plan apply --accept NAME`. "
        "`manual` is printed, never run.\n\n"
        f"| repair | risk | what it does |\n|---|---|---|\n{rows}\n"
        "## What safe repairs may remove\n\nA repair is safe only where nothing that a guest may still have loses its"
        " last record. This is all that the safe ones delete or overwrite, and where else it is recorded. Tests compare"
        " it with what they do to every damage of the case book.\n\n"
        f"| repair | row or value | where else |\n|---|---|---|\n{removed}\n"
        f"```{{toctree}}\n:hidden:\n\n{tree}\n```\n"
    )


def workflows_index() -> str:
    """The table of all workflows."""
    rows = "".join(
        f"| [`{name}`]({name}.md) | {workflow.risk.value} | {page(module.__doc__).title} |\n"
        for name, (module, workflow) in sorted(workflows().items())
    )
    tree = "\n".join(sorted(workflows()))
    return (
        "# Workflows\n\nThe long procedures: plans with a lane for each server, done side by side. Each command shows"
        " its plan and changes nothing; `--out` writes it, `--yes` does it.\n\n"
        f"| workflow | risk | what it does |\n|---|---|---|\n{rows}\n"
        f"```{{toctree}}\n:hidden:\n\n{tree}\n```\n"
    )


def cause_page(name: str) -> str:
    """The page of a cause."""
    module, cause = causes()[name]
    parts = page(module.__doc__)
    explained = ", ".join(f"[`{one}`]({one}.md)" for one in sorted(cause.explains)) or "none"
    by = ", ".join(f"[`{n}`]({n}.md)" for n, (_, c) in sorted(causes().items()) if name in c.explains) or "none"
    sections = "".join(f"## {title}\n\n{body}\n\n" for title, body in parts.sections.items())
    table = f"| | |\n|---|---|\n| consequences of it | {explained} |\n| may be a consequence of | {by} |\n"
    return f"# {name}\n\n{parts.title}\n\n{table}\n{sections}"


def causes_index() -> str:
    """The table of all causes."""
    rows = "".join(
        f"| [`{name}`]({name}.md) | {page(module.__doc__).title} |\n" for name, (module, _) in sorted(causes().items())
    )
    tree = "\n".join(sorted(causes()))
    return (
        "# Causes\n\nWhat `stackmend diagnose` knows. In the terminal: `stackmend cause list`, "
        "`stackmend cause show NAME`."
        " Each has a case in the words of real services, and a look-alike that must not be blamed (tests/causes).\n\n"
        f"| cause | what happens |\n|---|---|\n{rows}\n"
        f"```{{toctree}}\n:hidden:\n\n{tree}\n```\n"
    )


def proofs() -> str:
    """The table of proofs, of what the lab wrote down of them (docs/reference/proved.json)."""
    found = json.loads((ROOT / "docs" / "reference" / "proved.json").read_text())
    releases = ", ".join(f"{service} {version}" for service, version in found["releases"].items())
    undone = {True: "yes", False: "**no**", None: "-"}
    rows = "".join(
        f"| [`{p['repair']}`](repairs/{p['repair']}.md) | {p['strategy']} | {p['found']} | {p['how']}: {p['broken']} |"
        f" {undone[p['undone']]} | {p['used']} |\n"
        for p in sorted(found["proofs"], key=lambda p: (p["repair"], p["strategy"], p["name"]))
    )
    held = {(p["repair"], p["strategy"]) for p in found["proofs"]}
    every = [(name, way) for name, (_, repair) in sorted(repairs().items()) for way in sorted(repair.strategies)]
    lacking = ", ".join(f"`{name}` ({way})" for name, way in every if (name, way) not in held)
    return (
        f"On {releases}.\n\n"
        "| repair | by | found by | broken by | undone and redone | used |\n|---|---|---|---|---|---|\n"
        + rows
        + (f"\nNo run has put these into the table: {lacking}.\n" if lacking else "")
    )


def releases() -> str:
    """The matrix of releases, of what the tests wrote down (docs/reference/releases.json)."""
    found = json.loads((ROOT / "docs" / "reference" / "releases.json").read_text())
    rows, absent = "", dict[str, list[str]]()
    for release, one in found.items():
        cases = f"{one['cases']} cases among {one['look_alikes']} look-alikes" if "cases" in one else "-"
        rows += (
            f"| {release.capitalize()} | {one['answered']} of {one['checks']} | {one['findings']} | {cases} |"
            f" {len(one.get('absent', {}))} |\n"
        )
        for case, why in one.get("absent", {}).items():
            absent.setdefault(f"`{case}`: {why.replace(release, 'this release')}", []).append(release.capitalize())
    lines = "".join(f"* {what} ({', '.join(names)})\n" for what, names in sorted(absent.items()))
    return (
        "| release | checks answered | findings in a healthy cloud | found, mended, taken back | impossible there |\n"
        f"|---|---|---|---|---|\n{rows}\nWhat is impossible, and why:\n\n{lines}"
    )


def _number(catalogue: str) -> tuple[str, int]:
    found = re.fullmatch(r"([A-Z]*)(\d+)", catalogue)
    return (found[1], int(found[2])) if found else (catalogue, 0)


def write(into: Path) -> None:
    """Write the pages of all checks, repairs, workflows and causes; pages of those that are gone go too."""
    for folder, index, names, make in (
        ("checks", checks_index, checks(), check_page),
        ("repairs", repairs_index, repairs(), repair_page),
        ("workflows", workflows_index, workflows(), workflow_page),
        ("causes", causes_index, causes(), cause_page),
    ):
        wanted = {"index.md": index()} | {f"{name}.md": make(name) for name in names}
        target = into / folder
        target.mkdir(parents=True, exist_ok=True)
        for old in target.glob("*.md"):
            if old.name not in wanted:
                old.unlink()
        for name, text in wanted.items():
            if not (target / name).exists() or (target / name).read_text() != text:
                (target / name).write_text(text)


def exit_codes() -> str:
    """The table of exit codes."""
    source = inspect.getsource(Exit)
    rows = "".join(
        f"| {code.value} | {code.name} | {meaning} |\n"
        for code in Exit
        for meaning in re.findall(rf"^\s*{code.name} = .*?#: (.*)$", source, re.MULTILINE)
    )
    rows += "| 130 | | interrupted (Ctrl-C) |\n| 141 | | the reader of the output has gone (a closed pipe) |\n"
    return f"| code | name | meaning |\n|---|---|---|\n{rows}"


def settings() -> str:
    """The tables of configuration keys, made of the types that decode them."""
    parts = []
    for section, keys in reference().items():
        rows = "".join(
            f"| `{'NAME' if name == '*' else name}` | {key.kind} | {key.meaning} |\n" for name, key in keys.items()
        )
        parts.append(f"## `[{section}]`\n\n| key | value | meaning |\n|---|---|---|\n{rows}\n")
    return "".join(parts)


def bench() -> str:
    """The tables of the runs of the bench that are kept in bench/results, small clouds first."""
    sys.path.insert(0, str(ROOT))
    from bench.report import aged, each_check, table

    made = []
    for pattern, text in (("[0-9]*.json", table), ("aged-*.json", aged), ("costs-*.json", each_check)):
        kept = [json.loads(file.read_text(encoding="utf-8")) for file in (ROOT / "bench" / "results").glob(pattern)]
        made += [text(results) for results in sorted(kept, key=lambda each: int(each["servers"]))]
    return "\n".join(made)


def shell() -> Shell:
    """The application, to read its parsers."""
    return Shell(io.StringIO(), io.StringIO())


def commands() -> str:
    """The reference of all commands."""
    application = shell()
    parts = [
        "## Global options\n\nThey stand before the command.\n\n",
        _options(application.parser),
        _output(application),
    ]
    for name, entry in application.command_manager:
        if name in ("help", "complete"):
            continue
        command = entry.load()(application, None, cmd_name=name)
        parser = command.get_parser(f"stackmend {name}")
        usage = parser.format_usage().removeprefix("usage: ")
        examples = parser.epilog.partition("\n")[2] if parser.epilog else ""
        parts.append(f"## {name}\n\n{_prose(parser.description)}\n\n```text\n{usage}```\n\n{_options(parser)}")
        if examples:
            parts.append(f"```console\n{inspect.cleandoc(examples)}\n```\n\n")
    parts.append(
        "## help, complete\n\n`stackmend help COMMAND` explains a command, `stackmend help server` lists a group. "
    )
    parts.append(
        "`stackmend complete bash`, `zsh` or `fish` prints completion that knows commands, options, checks, repairs,"
        " hosts and runs: `source <(stackmend complete bash)`, in fish `stackmend complete fish | source`.\n"
    )
    return "".join(parts)


def _output(application: Shell) -> str:
    """The options of cliff's formatters, said once."""
    command = application.command_manager.find_command(["check", "list"])[0](application, None, cmd_name="check list")
    return (
        "## Output options\n\nThose of the `openstack` client, for every command that prints a document. JSON and YAML"
        " have the whole document ([schemas](schemas.md)), or what `-c` chooses. Where people get prose `-f text`"
        " is the default; `-c` and `--sort-column` make a table of it.\n\n"
        + _options(command.get_parser("stackmend check list"), of_output=True)
    )


def _prose(text: str | None) -> str:
    return inspect.cleandoc(text or "").replace("<", "&lt;")


def _options(parser: argparse.ArgumentParser, *, of_output: bool = False) -> str:
    rows = ""
    output = [
        action
        for group in parser._action_groups
        if "ormatter" in (group.title or "")
        for action in group._group_actions
    ]
    for action in parser._actions:
        if action.help == argparse.SUPPRESS or action.dest == "help" or (action in output) is not of_output:
            continue
        value = (
            "" if action.nargs == 0 else f" {action.metavar or ('|'.join(action.choices or ()) or action.dest.upper())}"
        )
        names = ", ".join(action.option_strings) + value if action.option_strings else value.strip()
        meaning = (action.help or "").replace("%(default)s", str(action.default))
        rows += f"| `{names.replace('|', chr(92) + '|')}` | {meaning} |\n"
    return f"| option | meaning |\n|---|---|\n{rows}\n" if rows else ""
