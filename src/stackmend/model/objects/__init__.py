# SPDX-License-Identifier: Apache-2.0
"""Records of the objects that people name: addresses, disks, hosts, ports, volumes."""
