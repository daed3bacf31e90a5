# SPDX-License-Identifier: Apache-2.0
"""Damage to what Neutron records of OVN."""
