# SPDX-License-Identifier: Apache-2.0
"""Findings, plans and runs as people and machines read them."""
