# SPDX-License-Identifier: Apache-2.0
"""Use cases about one object: an address, a disk, a host, a port, a server, a volume."""
