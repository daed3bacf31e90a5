# SPDX-License-Identifier: Apache-2.0
"""``config``: what stackmend was told, and what it found."""

from __future__ import annotations

import argparse

from stackmend.cli.base import Printing
from stackmend.model.errors import Exit


class ConfigShow(Printing):
    """Show the configuration: which databases were found in which files, what counts, and where files disagree.

    No database is asked and no password is shown. Exit code 2: it cannot be used as it is; the reasons are on stderr.
    """

    examples = """
  $ stackmend config show
  $ stackmend --root /tmp/copied-from-controller config show     # files copied from elsewhere
  $ stackmend --layout kolla config show
  $ stackmend config show -f json"""

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print it."""
        from stackmend.app.config import survey
        from stackmend.app.described import describe
        from stackmend.report import config as shown

        config, problems = survey(*self.where(), **self.whose())
        self.show(shown.config(describe(config, problems)), parsed_args)
        for problem in problems:
            self.notes.error(problem)
        return int(Exit.USAGE if problems else Exit.CLEAN)


COMMANDS = {"config show": ConfigShow}
