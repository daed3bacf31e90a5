# SPDX-License-Identifier: Apache-2.0
"""What was planned and done, written down: the journal, its lease, and signatures of plans."""
