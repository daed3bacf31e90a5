# SPDX-License-Identifier: Apache-2.0
"""Checks of servers, their caches, mappings and hosts."""
