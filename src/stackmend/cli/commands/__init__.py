# SPDX-License-Identifier: Apache-2.0
"""One noun per file; each has ``COMMANDS``, a mapping of full command names to classes, found by walking this package.

These modules are imported for ``--help``: what takes time to import is imported where it is used.
"""
