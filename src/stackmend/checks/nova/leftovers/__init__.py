# SPDX-License-Identifier: Apache-2.0
"""Checks of rows that deleted servers leave behind."""
