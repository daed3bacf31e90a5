# SPDX-License-Identifier: Apache-2.0
"""What a diagnosis is made of: messages of logs, one timeline, causes."""
