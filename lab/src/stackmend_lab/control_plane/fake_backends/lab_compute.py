# SPDX-License-Identifier: Apache-2.0
"""Runs nova-compute with this folder's driver, as Nova only loads drivers from its own package ``nova.virt``.

In this process, this folder is added to the package's path; nothing is written into the environment.
"""

import sys
from pathlib import Path

import nova.virt
from nova.cmd.compute import main

nova.virt.__path__.append(str(Path(__file__).parent))

if __name__ == "__main__":
    sys.argv[0] = "nova-compute"
    sys.exit(main())
