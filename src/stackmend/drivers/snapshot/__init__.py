# SPDX-License-Identifier: Apache-2.0
"""Whole tables collected into Parquet, and SQL over them."""
