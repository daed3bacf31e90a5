# SPDX-License-Identifier: Apache-2.0
"""Where a cloud is and how to reach it: one TOML file, or the services' own files, and what was found in them."""
