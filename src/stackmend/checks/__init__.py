# SPDX-License-Identifier: Apache-2.0
"""The catalogue of checks: one module a check, found by walking this package. Each holds one ``CHECK``."""
