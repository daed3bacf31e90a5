# SPDX-License-Identifier: Apache-2.0
"""Privileges of database accounts: what is needed, as GRANT statements, and what is missing."""
