# SPDX-License-Identifier: Apache-2.0
"""Clouds to break: the embedded one, the simulated one, a real control plane; plants, look-alikes and breaks."""

__version__ = "0.1.0"
