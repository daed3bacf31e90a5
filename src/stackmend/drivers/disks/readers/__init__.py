# SPDX-License-Identifier: Apache-2.0
"""Readers of file systems: one module per type, found by walking this package. Each defines one ``READER``."""
