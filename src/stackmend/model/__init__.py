# SPDX-License-Identifier: Apache-2.0
"""The vocabulary: frozen dataclasses and protocols, standard library only."""
