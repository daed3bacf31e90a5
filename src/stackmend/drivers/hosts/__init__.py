# SPDX-License-Identifier: Apache-2.0
"""Commands on hosts: over the operator's own ssh or on this machine, optionally inside a container."""
