# SPDX-License-Identifier: Apache-2.0
"""Repairs of what projects and users own that no longer exist."""
