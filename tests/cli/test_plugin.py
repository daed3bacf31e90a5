# SPDX-License-Identifier: Apache-2.0
"""The same command classes under another application, as openstackclient loads them."""

from __future__ import annotations

import argparse
import io
import json

from cliff.app import App
from cliff.commandmanager import CommandManager

from stackmend.cli.commands.audit import Audit
from stackmend.cli.commands.check import CheckList


def test_a_command_runs_under_any_cliff_application():
    """Of its application a command needs the streams; every global option has a default."""
    out, err = io.StringIO(), io.StringIO()
    app = App("openstack", "1", CommandManager(), stdout=out, stderr=err)
    app.command_manager.add_command("mend check list", CheckList)
    assert app.run(["mend", "check", "list", "-f", "json"]) == 0
    assert json.loads(out.getvalue())
    assert err.getvalue() == ""


def test_the_next_command_is_one_of_that_application():
    """Hints name the program that the operator uses."""
    app = argparse.Namespace(NAME="openstack", stdout=None, stderr=None)
    command = Audit(app, None, cmd_name="mend audit")
    assert command.typed("plan", "show", "my plan.json") == "openstack mend plan show 'my plan.json'"
