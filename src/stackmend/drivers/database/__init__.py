# SPDX-License-Identifier: Apache-2.0
"""Reading databases: dialects, sessions, live rows, and servers that stop answering."""
