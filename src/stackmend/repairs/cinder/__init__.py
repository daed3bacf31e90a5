# SPDX-License-Identifier: Apache-2.0
"""Repairs of volumes, attachments and snapshots."""
