# SPDX-License-Identifier: Apache-2.0
"""Global options, help, suggestions, and errors that no command foresaw."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest

from stackmend import __version__
from stackmend.cli.base import Command
from stackmend.cli.shell import Shell, guard
from stackmend.model.errors import Exit, LockedError, StackmendError

#: what takes long to import, and has no business in a help text
HEAVY = (
    "duckdb",
    "sqlglot",
    "pyarrow",
    "sqlalchemy",
    "numpy",
    "oslo_config",
    "rich",
    "cryptography",
    "yaml",
    "MySQLdb",
    "pymysql",
    "prettytable",
    "cmd2",
    "stackmend.app",
    "stackmend.engine",
)


@pytest.mark.parametrize("argv", [["--help"], ["--version"], ["help", "audit"], ["plan", "apply", "--help"]])
def test_help_loads_nothing_heavy(argv):
    """Help and version import neither drivers nor checks nor anything else that takes long."""
    # the options of a command's table are those of cliff's formatter, which draws with prettytable
    heavy = set(HEAVY) - ({"prettytable"} if argv[0][0] != "-" else set())
    code = (
        "import sys\n"
        "from stackmend.cli.shell import main\n"
        f"code = main({argv!r})\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert sorted(set(done.stderr.split()) & heavy) == []


def test_help_lists_every_command_on_stdout(run):
    """`--help` has a line for each command."""
    done = run("--help")
    assert (done.code, done.err) == (0, "")
    for name in Shell(sys.stdout, sys.stderr).command_manager.get_command_names():
        assert f"\n  {name} " in done.out


def test_version(program):
    """`--version` prints the version and nothing else."""
    done = program("--version")
    assert (done.code, done.out, done.err) == (0, f"stackmend {__version__}\n", "")


@pytest.mark.parametrize(
    ("argv", "suggestion"),
    [
        (["audti"], "audit"),
        (["plan"], "plan apply, plan create, plan show"),
        (["check", "lst"], "check list"),
        (["srver", "purge"], "server purge"),
    ],
)
def test_an_unknown_command_gets_a_suggestion(run, argv, suggestion):
    """A misspelt command is a usage error with the nearest names, on stderr."""
    done = run(*argv)
    assert (done.code, done.out) == (Exit.USAGE, "")
    assert f"error: there is no command '{' '.join(argv)}'" in done.err
    assert suggestion in done.err


@pytest.mark.parametrize("argv", [["server", "--help"], ["server", "-h"], ["help", "server"]])
def test_a_group_lists_its_commands(run, argv):
    """The first word of commands: a line for each, on stdout."""
    done = run(*argv)
    assert (done.code, done.err) == (Exit.CLEAN, "")
    assert done.out.startswith("Commands of 'stackmend server':\n")
    assert "\n  server purge          remove every row" in done.out
    assert "volume" not in [line.split()[0] for line in done.out.splitlines() if line.startswith("  ")]


@pytest.mark.parametrize(
    ("argv", "near"),
    [
        (["help", "orphans"], "host salvage"),
        (["orphans"], "host salvage"),
        (["orphans", "--help"], "host salvage"),
        (["help", "plan", "shwo"], "Did you mean: plan show"),
        (["help", "srver"], "Did you mean: server?"),
        (["help", "audit", "more"], "Did you mean: audit"),
        (["help", "q"], "'stackmend --help' lists the commands."),
    ],
)
def test_help_of_what_is_no_command_names_what_is_near(run, argv, near):
    """By its name, else by what its help speaks of; exit 2, no traceback."""
    done = run(*argv)
    assert (done.code, done.out) == (Exit.USAGE, "")
    assert done.err.startswith("error: there is no command '")
    assert near in done.err


def test_a_misspelt_option_gets_a_suggestion(run):
    """What the command does not know is named, with the option that is nearest."""
    done = run("plan", "show", "--requre-signature", "plan.json")
    assert done.code == Exit.USAGE
    assert "error: unrecognized arguments: --requre-signature\nhint: Did you mean: --require-signature?" in done.err


@pytest.mark.attack("an option is given -- for a value, and means all or nothing")
@pytest.mark.parametrize(
    ("argv", "option"),
    [
        (["plan", "apply", "plan.json", "--yes", "--only=--"], "--only"),
        (["run", "list", "--limit=--"], "--limit"),
        (["audit", "--check=--"], "--check"),
    ],
)
def test_two_dashes_are_no_value(run, argv, option):
    """argparse makes an empty list of them: --only would choose every action."""
    done = run(*argv)
    assert done.code == Exit.USAGE
    assert f"error: {option} has no value" in done.err


def test_an_unknown_global_option_is_named(run):
    """An option that stackmend itself does not have is not taken for a command."""
    done = run("--bogus", "audit")
    assert done.code == Exit.USAGE
    assert "error: '--bogus' is not an option of stackmend itself" in done.err


def test_no_command_is_a_usage_error_not_a_shell(run):
    """Without a command there is a hint, and no interactive mode."""
    done = run()
    assert (done.code, done.out) == (Exit.USAGE, "")
    assert "error: no command was given" in done.err


def test_an_option_of_a_command_may_be_called_like_a_global_one(run):
    """What follows the command belongs to the command."""
    done = run("check", "list", "--version")
    assert done.code == Exit.USAGE
    assert "unrecognized arguments: --version" in done.err


class _Failing(Command):
    """fail as told."""

    problem: BaseException

    def take_action(self, parsed_args):
        """Raise it."""
        raise self.problem


def _fails_with(problem, *options):
    command = type("Failing", (_Failing,), {"problem": problem})
    shell = Shell(sys.stdout, sys.stderr)
    shell.command_manager.add_command("fail", command)
    return shell.run([*options, "fail"])


def test_a_known_error_is_two_lines_and_its_exit_code(capsys):
    """An error of ours is shown with its hint, without a traceback, under its own exit code."""
    code = _fails_with(LockedError("the row has moved on", "Make a new plan."))
    assert code == Exit.STOPPED
    assert capsys.readouterr() == ("", "error: the row has moved on\nhint: Make a new plan.\n")


def test_an_unforeseen_error_says_how_to_report_it(capsys):
    """Any other exception is exit 1, named, without a traceback."""
    code = _fails_with(ZeroDivisionError("division by zero"))
    err = capsys.readouterr().err
    assert code == Exit.ERROR
    assert err.startswith("error: unexpected error: ZeroDivisionError: division by zero\nhint: This is a bug")
    assert "Traceback" not in err


def test_debug_shows_the_traceback(capsys):
    """`--debug` shows where it came from."""
    code = _fails_with(ZeroDivisionError("division by zero"), "--debug")
    assert code == Exit.ERROR
    assert "Traceback" in capsys.readouterr().err


def test_a_password_in_an_error_is_redacted(capsys):
    """Whatever an exception says, no password reaches the terminal, not even in a traceback."""
    code = _fails_with(StackmendError("cannot open mysql://reader:s3cr3t@db/nova"), "--debug")
    err = capsys.readouterr().err
    assert code == Exit.ERROR
    assert "s3cr3t" not in err
    assert "mysql://reader:***@db/nova" in err


def test_control_characters_in_an_error_are_escaped(capsys):
    """A name from the cloud cannot drive the terminal."""
    _fails_with(StackmendError("server \x1b[2Jevil is gone"))
    assert capsys.readouterr().err == "error: server \\x1b[2Jevil is gone\n"


def test_an_interruption_is_130(capsys):
    """Ctrl-C ends with 130 and one clean line."""
    assert guard(lambda: _fails_with(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err.startswith("error: interrupted\n")


def test_a_closed_pipe_is_quiet():
    """When the reader goes away, nothing is complained about."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-c", "import sys; from stackmend.cli.shell import main; sys.exit(main())", "--help"],
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": ""},
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_the_log_file_gets_everything_and_no_password(tmp_path, capsys):
    """`--log-file` has debug records, redacted; the console has warnings only."""

    class Talking(Command):
        """talk."""

        def take_action(self, parsed_args):
            """Log."""
            logging.getLogger("stackmend.test").debug("password=hunter2 at mysql://a:b%40c@host/x")
            return 0

    log = tmp_path / "log"
    shell = Shell(sys.stdout, sys.stderr)
    shell.command_manager.add_command("talk", Talking)
    assert shell.run(["--log-file", str(log), "talk"]) == 0
    assert "password=*** at mysql://a:***@host/x" in log.read_text()
    assert capsys.readouterr().err == ""
    assert logging.getLogger().handlers == [
        h for h in logging.getLogger().handlers if "stackmend" not in type(h).__module__
    ]


def test_a_log_file_that_cannot_be_written_is_a_usage_error(run, tmp_path):
    """The error names the path."""
    done = run("--log-file", tmp_path / "no" / "log", "check", "list")
    assert done.code == Exit.USAGE
    assert done.err.startswith(f"error: the log file {tmp_path}/no/log cannot be written")
