# SPDX-License-Identifier: Apache-2.0
"""How file systems are read: one module a kind, found by walking this package. Each holds one ``READER``."""
