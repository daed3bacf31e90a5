# SPDX-License-Identifier: Apache-2.0
"""Databases read: dialects, sessions, live rows, and servers that stop to answer."""
