# SPDX-License-Identifier: Apache-2.0
"""Dumps of databases, as mysqldump and mariadb-dump write them, in place of a server."""
