# SPDX-License-Identifier: Apache-2.0
"""Makes the disks of guests readable on their host: offline, in a copy, in a rescue, or in a copy of a volume."""
