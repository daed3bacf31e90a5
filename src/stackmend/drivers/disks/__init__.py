# SPDX-License-Identifier: Apache-2.0
"""Reads guests' disks, and never writes to them: the host exports a disk, its journal is replayed in a copy, and it is
parsed in a sandbox.
"""
