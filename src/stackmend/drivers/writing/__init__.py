# SPDX-License-Identifier: Apache-2.0
"""Writes rows: guarded, in transactions; probes them if the outcome is unknown."""
