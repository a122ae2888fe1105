"""Run by the Pi's own Python on an emulated processor: says as JSON what of the kit works there."""

import importlib
import json
import pkgutil
import platform

import appliance
import firmware
import web_ui
from appliance.age.identities import generate_identity
from appliance.age.sealing import seal
from appliance.age.unsealing import unseal

loaded, missing = 0, []
for package in (appliance, firmware, web_ui):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if module.name.endswith(".__main__"):
            continue
        try:
            importlib.import_module(module.name)
            loaded += 1
        except ImportError as error:
            missing.append(f"{module.name}: {error.name}")

identity = generate_identity()
opened = unseal(seal(b"a film", [identity.recipient]), [identity])
print(
    json.dumps(
        {
            "processor": platform.machine(),
            "loaded": loaded,
            "missing": missing,
            "opened": opened == b"a film",
        }
    )
)
