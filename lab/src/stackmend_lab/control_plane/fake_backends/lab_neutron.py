# SPDX-License-Identifier: Apache-2.0
"""Common start of the fakes of Neutron agents: ``PROGRAM HOST... --config-file neutron.conf``."""

import importlib
import importlib.util
import sys

if importlib.util.find_spec("neutron.cmd.eventlet"):  # RPC of this release works on green threads
    importlib.import_module("neutron.cmd.eventlet")

from neutron.agent import rpc as agent_rpc
from neutron.common import config
from neutron.conf.agent import common as agent_config
from neutron_lib import context as contexts
from neutron_lib.agent import topics
from oslo_config import cfg


def begin():
    """(names of the hosts, the API for state reports, the context for it)."""
    first = sys.argv.index("--config-file")
    hosts, files = sys.argv[1:first], sys.argv[first:]
    config.register_common_config_options()
    agent_config.register_agent_state_opts_helper(cfg.CONF)
    config.init(files)
    config.setup_logging()
    return hosts, agent_rpc.PluginReportStateAPI(topics.REPORTS), contexts.get_admin_context_without_session()
