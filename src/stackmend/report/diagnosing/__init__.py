# SPDX-License-Identifier: Apache-2.0
"""Diagnoses and timelines in forms for people and machines."""
