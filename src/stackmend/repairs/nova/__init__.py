# SPDX-License-Identifier: Apache-2.0
"""Repairs of servers, their caches, mappings and hosts."""
