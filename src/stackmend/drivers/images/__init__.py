# SPDX-License-Identifier: Apache-2.0
"""The content of images, read from one node of Glance at a time: streamed, at a pace, and never read twice."""
