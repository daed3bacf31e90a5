# SPDX-License-Identifier: Apache-2.0
"""Ratios to named baselines, measured in one run: ``python -m bench --servers N``."""
