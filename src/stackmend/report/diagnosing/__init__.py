# SPDX-License-Identifier: Apache-2.0
"""Diagnoses and timelines for people and for machines."""
