"""Drives Aqara's own SDK for Python, unmodified, against a simulated cloud. What it saw goes to stdout as JSON.

The SDK knows the addresses and keys of five countries by heart; those of one of them are replaced here.
"""

import json
import sys

from aqara_iot import AqaraHomeManager, AqaraOpenAPI, aqara_enums

cloud = json.load(sys.stdin)
COUNTRY = "Europe"
aqara_enums.APPS[COUNTRY] = aqara_enums.AppInfo(cloud["app_id"], cloud["app_key"], cloud["key_id"])
for country in aqara_enums.AQARA_COUNTRIES:
    if country.country_code == COUNTRY:
        country.endpoint = cloud["url"]


class NoDevices:
    """Stands in for the device manager, which the home manager asks for its devices' rooms."""

    device_map = {}


seen = {}
api = AqaraOpenAPI(COUNTRY)
seen["wrong_password"] = api.get_auth(cloud["account"], "wrong")
seen["signed_in"] = api.get_auth(cloud["account"], cloud["password"])
seen["access_token"] = api.token_info.access_token

home = AqaraHomeManager(api, NoDevices())
home.update_location_info()
seen["positions"] = sorted(home.location_map.values())
scenes = {scene.name: scene for scene in home.query_scenes()}
seen["scenes"] = {name: scene.scene_id for name, scene in scenes.items()}
scene = scenes[cloud["scene"]]
seen["ran"] = home.trigger_scene(scene.position_id, scene.scene_id)

# Its own refresh, which it tries a minute before the end: it signs an empty token, and is refused.
api.token_info.expire_time = 0
seen["after_its_refresh"] = home.trigger_scene(scene.position_id, scene.scene_id)

json.dump(seen, sys.stdout)
