# SPDX-License-Identifier: Apache-2.0
"""The record of what was planned and done: the journal, its lease, and signatures of plans."""
