# SPDX-License-Identifier: Apache-2.0
"""Checks of OVN against Neutron: its northbound and southbound databases, and what Neutron records of them."""
