# SPDX-License-Identifier: Apache-2.0
"""Repairs of what Cinder records about its own work: quotas, workers, its image cache."""
