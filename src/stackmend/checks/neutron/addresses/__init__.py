# SPDX-License-Identifier: Apache-2.0
"""Checks of fixed and floating addresses."""
