# SPDX-License-Identifier: Apache-2.0
"""What only services can break, of Glance."""
