# SPDX-License-Identifier: Apache-2.0
"""What databases and logs record about what happened to an object."""
