# SPDX-License-Identifier: Apache-2.0
"""Plans carried out: lanes, calls, gates; resumed, verified, taken back."""
