# SPDX-License-Identifier: Apache-2.0
"""Checks that apply to any service."""
