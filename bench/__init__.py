# SPDX-License-Identifier: Apache-2.0
"""Ratios against named baselines, in one run: ``python -m bench --servers N``."""
