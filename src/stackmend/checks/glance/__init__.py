# SPDX-License-Identifier: Apache-2.0
"""Checks of images and their content, made on every Glance node."""
