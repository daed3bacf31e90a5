# SPDX-License-Identifier: Apache-2.0
"""Disks of guests, read and never changed: exported by their host, replayed in a copy, read in a sandbox."""
