# SPDX-License-Identifier: Apache-2.0
"""The catalogue of workflows, one module per workflow, found by walking this package. Each defines one ``WORKFLOW``."""
