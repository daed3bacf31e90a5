# SPDX-License-Identifier: Apache-2.0
"""The catalogue of repairs, one module per repair, found by walking this package. Each defines one ``REPAIR``."""
