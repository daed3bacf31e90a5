# SPDX-License-Identifier: Apache-2.0
"""Findings, plans and runs in forms for people and machines."""
