# SPDX-License-Identifier: Apache-2.0
"""Rows written: guarded, in transactions, looked at again when an answer is lost."""
