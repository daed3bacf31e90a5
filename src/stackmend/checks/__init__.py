# SPDX-License-Identifier: Apache-2.0
"""The catalogue of checks, one module per check, found by walking this package. Each defines one ``CHECK``."""
