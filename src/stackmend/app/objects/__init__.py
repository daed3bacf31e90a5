# SPDX-License-Identifier: Apache-2.0
"""What people ask of one object: an address, a disk, a host, a port, a server, a volume."""
