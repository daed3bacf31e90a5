# SPDX-License-Identifier: Apache-2.0
"""Causes in Nova and on hypervisors."""
