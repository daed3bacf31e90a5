# SPDX-License-Identifier: Apache-2.0
"""Operations on servers that never end."""
