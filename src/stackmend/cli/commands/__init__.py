# SPDX-License-Identifier: Apache-2.0
"""One noun per file or folder; each module has ``COMMANDS``: full command names and their classes, found by walking.

These modules are imported for ``--help``: what takes time to import is imported where it is used.
"""
