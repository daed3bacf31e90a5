# SPDX-License-Identifier: Apache-2.0
"""Procedures on hosts: service units, fencing, disks, the instances directory. Pure builders of steps."""
