# SPDX-License-Identifier: Apache-2.0
"""Repairs of fixed and floating addresses."""
