# SPDX-License-Identifier: Apache-2.0
"""Turns findings and requests into plans, and verifies plan files."""
