# SPDX-License-Identifier: Apache-2.0
"""Clouds that cannot be reached: what somebody sent of them."""
