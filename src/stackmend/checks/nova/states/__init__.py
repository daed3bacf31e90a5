# SPDX-License-Identifier: Apache-2.0
"""Checks of operations on servers that never ended."""
