# SPDX-License-Identifier: Apache-2.0
"""Checks of what lies on compute hosts: asked of each host that an audit visits."""
