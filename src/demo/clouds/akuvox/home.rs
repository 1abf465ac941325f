//! The made-up intercoms of a simulated Akuvox account.

use serde_json::{Value, json};

use super::AkuvoxKnobs;

/// In every answer of `/userconf`, and to be found nowhere else.
pub const SIP_PASSWORD: &str = "simulated-sip-password";

/// Likewise, of every device.
pub const RTSP_PASSWORD: &str = "simulated-rtsp-password";

/// A relay that opens something.
pub struct Relay {
    pub id: &'static str,
    pub door_name: &'static str,
}

/// An intercom.
pub struct Device {
    /// 12 hex digits without colons.
    pub mac: String,
    pub location: &'static str,
    pub relays: Vec<Relay>,
}

/// The devices of an account: names with a trailing space and beyond ASCII, and one device without relays, as users
/// have met them (protocol/akuvox.md §6, 14).
pub fn devices(account: usize) -> Vec<Device> {
    let mac = |number: usize| format!("0C1105{:06X}", account * 16 + number);
    vec![
        Device {
            mac: mac(1),
            location: "Front gate ",
            relays: vec![Relay { id: "0", door_name: "Gate" }, Relay { id: "1", door_name: "Haustür" }],
        },
        Device { mac: mac(2), location: "Garage", relays: vec![Relay { id: "0", door_name: "Garage door" }] },
        Device { mac: mac(3), location: "Hallway monitor", relays: Vec::new() },
    ]
}

/// What `/userconf` answers (protocol/akuvox.md §3.6), the credentials in it included, since clients have to cope.
pub(super) fn user_configuration(knobs: &AkuvoxKnobs, account: usize) -> Value {
    let devices = devices(account);
    let devices = devices.iter().enumerate().map(|(number, it)| device(knobs, account, number, it)).collect::<Value>();
    json!({
        "app_conf": {
            "project_name": "Simulated house",
            "display_name": format!("Resident {account}"),
            "uid": format!("{:09}", 100_000_000 + account),
            "sip": format!("60{account:08}"),
            "sip_passwd": SIP_PASSWORD,
            "sip_server": "127.0.0.1:5060",
            "role": "20",
            "account_expire": "0",
            "surplus_expire_day": "3650",
        },
        "dev_list": devices,
        "third_party_dev_list": { "lock_dev_list": [], "camera_dev_list": [], "bsi_lock_list": [] },
        "unread_msg": { "messages_num": "0", "activities_num": "0" },
    })
}

fn device(knobs: &AkuvoxKnobs, account: usize, number: usize, device: &Device) -> Value {
    let mut shown = json!({
        "mac": device.mac,
        "location": device.location,
        "status": "1",
        "sip": format!("61{account:06}{number:02}"),
        "dev_type": "1",
        "firmware": "320.30.0.0",
        "rtsp_pwd": RTSP_PASSWORD,
        "rtsp_nonce": "",
        "is_public": "0",
        "dtmf": "#",
    });
    if !device.relays.is_empty() {
        let relay_id = |it: &Relay| match it.id.parse::<u64>() {
            Ok(number) if knobs.relay_ids_as_numbers => json!(number),
            _ => json!(it.id),
        };
        let relays = device.relays.iter().map(|it| {
            json!({
                "relay_id": relay_id(it),
                "door_name": it.door_name,
                "dtmf": "#",
                "enable": "1",
                "show_home": "1",
                "show_talking": "1",
                "relay_status": "0",
            })
        });
        shown["relay"] = relays.collect();
    }
    shown
}
