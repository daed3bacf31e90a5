# SPDX-License-Identifier: Apache-2.0
"""The catalogue of causes, one module per cause, found by walking this package. Each defines one ``CAUSE``."""
