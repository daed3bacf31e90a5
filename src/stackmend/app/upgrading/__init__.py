# SPDX-License-Identifier: Apache-2.0
"""Upgrades: what stands in their way."""
