# SPDX-License-Identifier: Apache-2.0
"""A Cinder driver whose volumes are empty files in ``<state>/cinder/volumes``; it obeys the levers of ``cinder``."""

from cinder import exception
from cinder.tests import fake_driver
from lab_levers import STATE, obey

VOLUMES = STATE / "cinder" / "volumes"


def _obey(action):
    obey("cinder", action, exception.VolumeBackendAPIException(data=f"lab: {action} fails, as its lever says"))


class LabVolumeDriver(fake_driver.FakeLoggingVolumeDriver):
    """The driver; method names and arguments are Cinder's."""

    def _path(self, volume):
        VOLUMES.mkdir(parents=True, exist_ok=True)
        return VOLUMES / volume["id"]

    def _update_volume_stats(self):
        # the parent's cannot be used: it reserves all of its space
        pool = {
            "pool_name": "fake1",
            "location_info": "lab",
            "total_capacity_gb": 1000,
            "free_capacity_gb": 900,
            "allocated_capacity_gb": 0,
            "provisioned_capacity_gb": 0,
            "reserved_percentage": 0,
            "max_over_subscription_ratio": 20.0,
            "thin_provisioning_support": True,
            "thick_provisioning_support": False,
            "total_volumes": 1,
            "multiattach": True,
            "QoS_support": False,
        }
        self._stats = {
            "volume_backend_name": self.configuration.volume_backend_name,
            "vendor_name": "lab",
            "driver_version": "1.0",
            "storage_protocol": "iSCSI",
            "multiattach": True,
            "pools": [pool],
        }

    def create_volume(self, volume):
        _obey("create")
        self._path(volume).touch()

    def create_cloned_volume(self, volume, src_vref):
        self.create_volume(volume)

    def create_volume_from_snapshot(self, volume, snapshot):
        self.create_volume(volume)

    def clone_image(self, context, volume, image_location, image_meta, image_service):
        self.create_volume(volume)
        return {}, True

    def delete_volume(self, volume):
        _obey("delete")
        self._path(volume).unlink(missing_ok=True)

    def initialize_connection(self, volume, connector):
        _obey("connect")
        return {
            "driver_volume_type": "iscsi",
            "data": {
                "target_discovered": False,
                "target_lun": 0,
                "target_iqn": "iqn.2010-10.org.openstack:" + volume["name"],
                "target_portal": "127.0.0.1:3260",
                "volume_id": volume["id"],
                "discard": False,
                "qos_specs": None,
                "access_mode": "rw",
                "encrypted": False,
                "cacheable": False,
            },
        }

    def terminate_connection(self, volume, connector, **kwargs):
        _obey("disconnect")
