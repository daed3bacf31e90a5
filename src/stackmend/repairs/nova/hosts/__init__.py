# SPDX-License-Identifier: Apache-2.0
"""Repairs of what Nova records of compute hosts: their devices, and moves away from them."""
