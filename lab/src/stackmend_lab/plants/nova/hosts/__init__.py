# SPDX-License-Identifier: Apache-2.0
"""What can be broken in the rows that Nova keeps of compute hosts."""
