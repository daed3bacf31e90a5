# SPDX-License-Identifier: Apache-2.0
"""Repairs of rows that deleted servers leave behind."""
