# SPDX-License-Identifier: Apache-2.0
"""Checks of disks and directories on compute hosts, run for each host that an audit visits."""
