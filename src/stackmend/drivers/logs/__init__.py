# SPDX-License-Identifier: Apache-2.0
"""Logs of services, read as streams: files, folders, archives and pipes, filtered by identifiers before parsing."""
