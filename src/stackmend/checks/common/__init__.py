# SPDX-License-Identifier: Apache-2.0
"""Checks of what any service may have."""
