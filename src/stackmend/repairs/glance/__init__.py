# SPDX-License-Identifier: Apache-2.0
"""Repairs of the records of images."""
