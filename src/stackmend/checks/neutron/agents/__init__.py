# SPDX-License-Identifier: Apache-2.0
"""Checks of Neutron's agents, and of what is scheduled to them."""
