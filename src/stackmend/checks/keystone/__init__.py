# SPDX-License-Identifier: Apache-2.0
"""Checks of projects and what they own."""
