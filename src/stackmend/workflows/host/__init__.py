# SPDX-License-Identifier: Apache-2.0
"""Procedures for a whole host."""
