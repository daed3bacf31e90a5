# SPDX-License-Identifier: Apache-2.0
"""Use cases: each opens what it needs, joins drivers and engine, and closes it; the command line calls nothing else."""
