# SPDX-License-Identifier: Apache-2.0
"""From a symptom to its cause: gathers a story from logs and rows, sorts it, and consults the catalogue of causes."""
