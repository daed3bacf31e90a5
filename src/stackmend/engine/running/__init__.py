# SPDX-License-Identifier: Apache-2.0
"""Runs plans: lanes, calls and gates; resume, verification and undo."""
