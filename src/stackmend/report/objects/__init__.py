# SPDX-License-Identifier: Apache-2.0
"""One object, or a list of one kind, in forms for people and machines."""
