# SPDX-License-Identifier: Apache-2.0
"""What a diagnosis is made of: log messages, one timeline and causes."""
