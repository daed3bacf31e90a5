# SPDX-License-Identifier: Apache-2.0
"""Words that services have for states, grouped by what follows from them. Each group is said here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping

from stackmend.tables.views import TERMINAL

# -- migrations of Nova (nova/objects/migration.py)

#: a migration that is over
OVER = frozenset(TERMINAL)
#: one that ended without saying where the guest is
UNSETTLED = frozenset({"error", "failed"})
#: one that came to nothing: the guest is where it was
CAME_TO_NOTHING = frozenset({"error", "failed", "cancelled"})
#: an evacuation whose destination is at work
EVACUATING = ("accepted", "pre-migrating")
#: an evacuation that nova-compute of the source acts on when it starts (_destroy_evacuated_instances)
EVACUATED = (*EVACUATING, "done")

# -- servers (nova/compute/vm_states.py, task_states.py)

#: vm_state of a server that Nova evacuates as it is (nova/compute/api.py: evacuate)
EVACUABLE = frozenset({"active", "stopped", "error"})
#: vm_state of one that can be made anew from its disks; what was in memory is lost with the host
REMADE = frozenset({"active", "stopped", "error", "paused", "suspended"})
#: vm_state of one whose guest has memory
IN_MEMORY = frozenset({"active", "paused"})
#: vm_state of one whose guest has memory, or a saved image of it
WITH_STATE = IN_MEMORY | {"suspended"}
#: vm_state of one that Nova moves: live while it has memory, cold when it is stopped
MOVED = WITH_STATE | {"stopped"}
#: vm_state of one whose volumes can be detached and attached (nova/compute/api.py: attach_volume, detach_volume)
ATTACHES = IN_MEMORY | {"stopped"}
#: vm_state of one that can be stopped and started
POWERED = frozenset({"active", "stopped"})
#: as IN_MEMORY, from a rescue disk too
RAN = IN_MEMORY | {"rescued"}
#: vm_state in which something is under way without a task, or waits for its owner
UNDECIDED = frozenset({"building", "resized"})
#: task_state of a server that is being deleted
DELETING = frozenset({"deleting", "soft-deleting"})
#: ``power_state`` of a guest -> vm_state of a server that is at rest (nova/compute/power_state.py)
BY_POWER: Mapping[object, str] = {1: "active", 3: "paused", 4: "stopped", 7: "suspended"}
#: ``power_state`` of a guest that runs
RUNNING = 1

# -- ports (neutron_lib/api/definitions/portbindings.py)

#: ``vif_type`` of a port that nobody plugs
UNBOUND = frozenset({"unbound", "binding_failed"})

# -- volumes and what hangs on them (cinder/objects/fields.py)

#: status in which a volume stays until somebody wants something of it
SETTLED = frozenset({"in-use", "available", "error"})
#: status in which a volume may be given up; "deleting" belongs to a service that may live
VOLUME_GIVEN_UP = frozenset({"error_deleting", "error", "available", "error_restoring", "error_extending"})
#: status of a snapshot that is on its way out, or never was one
SNAPSHOT_GIVEN_UP = ("deleting", "error_deleting", "deleted", "error")
#: status of a backup that is being made or read back
COPYING = ("creating", "restoring")
#: (status, attach_status) of a volume that a server has
HELD = ("in-use", "attached")
