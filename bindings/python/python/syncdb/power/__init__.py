"""When work is done on a device with a battery: see `syncdb.power.power_manager`."""
