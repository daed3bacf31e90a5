# SPDX-License-Identifier: Apache-2.0
"""Checks of who may share a volume."""
