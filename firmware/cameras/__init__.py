"""The cameras, one contract: see `firmware.camera`."""
