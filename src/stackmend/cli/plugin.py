# SPDX-License-Identifier: Apache-2.0
"""The plugin of the ``openstack`` client: every command of ``stackmend`` as ``openstack mend ...``.

The client imports this module at every start, so it imports next to nothing. The commands are entry points of
the group ``openstack.mend.v1``, generated when the package is built (scripts/entry_points.py, docs/adr/0009); options
that precede the command in ``stackmend`` have the prefix ``--mend-`` here.
"""

from __future__ import annotations

import argparse
from typing import Any

API_NAME = "mend"
API_VERSION_OPTION = "os_mend_api_version"
DEFAULT_API_VERSION = "1"
API_VERSIONS = ("1",)


def build_option_parser(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the global options; their names begin with ``--mend-``, because all plugins share one parser."""
    parser.add_argument(
        "--mend-config",
        metavar="<file>",
        help="Configuration file of stackmend (TOML); default: $STACKMEND_CONFIG, else the services' own files",
    )
    parser.add_argument(
        "--mend-root",
        metavar="<folder>",
        help="Folder with the services' own files, for stackmend; default: $STACKMEND_ROOT, else /",
    )
    parser.add_argument(
        "--mend-layout",
        metavar="<layout>",
        help="Deployment tool whose files stackmend uses, if there are several: packages, kolla,"
        " openstack-ansible; default: $STACKMEND_LAYOUT",
    )
    parser.add_argument(
        "--mend-database-timeout",
        metavar="<seconds>",
        type=float,
        help="Give up on a database that has not answered for this long; default: [timeouts] database, else 300",
    )
    return parser


def make_client(instance: Any) -> Any:
    """The openstacksdk connection of the client; ``instance`` is its client manager, after authentication."""
    return instance.sdk_connection


def connection(app: Any) -> Any:
    """An openstacksdk Connection to the client's cloud, given by ``--os-cloud`` or similar.

    stackmend's commands do not make the client authenticate: most never use an API. Those that do call this.
    ConfigError if the client's options are not enough.
    """
    from keystoneauth1.exceptions import ClientException
    from openstack.connection import Connection
    from openstack.exceptions import SDKException

    from stackmend.model.errors import ConfigError

    try:
        region = app.cloud_config.get_one(cloud=app.options.cloud, argparse=app.options, validate=True)
        return Connection(config=region)
    except (ClientException, SDKException) as problem:
        raise ConfigError(
            f"the account that the openstack client was given cannot be used: {type(problem).__name__}",
            "Try 'openstack token issue' with the same options.",
        ) from None


def has_account(app: Any) -> bool:
    """Whether the client was given a cloud or an account by options, the environment or clouds.yaml."""
    return hasattr(app, "cloud_config") and bool(app.options.cloud or app.cloud.config.get("auth", {}).get("auth_url"))
