# SPDX-License-Identifier: Apache-2.0
"""The catalogue of repairs: one module a repair, found by walking this package. Each holds one ``REPAIR``."""
