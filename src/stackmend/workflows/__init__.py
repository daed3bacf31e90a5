# SPDX-License-Identifier: Apache-2.0
"""The catalogue of workflows: one module a workflow, found by walking this package. Each holds one ``WORKFLOW``."""
