# SPDX-License-Identifier: Apache-2.0
"""Reads the content of images from Glance nodes: as a stream, at a limited rate, and without reading anything twice."""
