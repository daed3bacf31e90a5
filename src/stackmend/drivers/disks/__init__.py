# SPDX-License-Identifier: Apache-2.0
"""Guests' disks, never written to: exported by their host, journals replayed in a copy, parsed in a sandbox."""
