# SPDX-License-Identifier: Apache-2.0
"""The command line: thin cliff commands, one noun per file or folder in ``cli/commands``."""
