# SPDX-License-Identifier: Apache-2.0
"""``python -m stackmend``: the command, where the script is not on the path."""

import sys

from stackmend.cli.shell import main

sys.exit(main())
