# SPDX-License-Identifier: Apache-2.0
"""Checks of images and their content: asked of every node of Glance."""
