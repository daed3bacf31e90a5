# SPDX-License-Identifier: Apache-2.0
"""Findings, plans and runs. It knows neither databases nor HTTP."""
