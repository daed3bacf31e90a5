# SPDX-License-Identifier: Apache-2.0
"""Checks of volumes, attachments and snapshots."""
