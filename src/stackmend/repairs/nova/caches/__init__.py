# SPDX-License-Identifier: Apache-2.0
"""Repairs of what network caches say of ports that are in them."""
