# SPDX-License-Identifier: Apache-2.0
"""Repairs of backups of volumes."""
