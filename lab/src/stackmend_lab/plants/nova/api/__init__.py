# SPDX-License-Identifier: Apache-2.0
"""What can be broken in the rows of Nova's API database."""
