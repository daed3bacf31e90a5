# SPDX-License-Identifier: Apache-2.0
"""stackmend: an fsck for OpenStack."""

__version__ = "0.1.0"
