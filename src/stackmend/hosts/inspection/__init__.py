# SPDX-License-Identifier: Apache-2.0
"""Disks of guests, made ready to be read on their host: by copy, by rescue, by a copy of a volume."""
