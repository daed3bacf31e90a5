# SPDX-License-Identifier: Apache-2.0
"""Guests' disks, only ever read: exported by their host, replayed in a copy, read in a sandbox."""
