# SPDX-License-Identifier: Apache-2.0
"""Rows that deleted servers leave behind."""
