# SPDX-License-Identifier: Apache-2.0
"""From a symptom to its cause: gathers a story from logs and rows, orders it, and asks the catalogue of causes."""
