# SPDX-License-Identifier: Apache-2.0
"""Repairs of operations on servers that never ended."""
