# SPDX-License-Identifier: Apache-2.0
"""Causes in Neutron and its agents."""
