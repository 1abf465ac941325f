//! What a login can act on: doors and scenes, as the vendor lists them and the user names them. No secret is in it.

use serde::{Deserialize, Serialize};

/// The doors and scenes of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Inventory {
    pub doors: Vec<Target>,
    pub scenes: Vec<Target>,
}

/// One thing to act on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Target {
    /// What topics and entities call it, `[a-z0-9_]+`: the configured name, else a slug of the vendor's id. It outlives a
    /// change of the display name.
    pub key: String,
    /// The vendor's id: `AL.832619739930738688` for a scene, `0C1105AABBCC/0` (device and relay) for a door.
    pub id: String,
    /// What people read.
    pub name: String,
}

impl Inventory {
    /// What the user configured, then what the vendor lists beside it. A configured target keeps its key.
    pub fn with_discovered(self, discovered: &Inventory) -> Self {
        Self { doors: merged(self.doors, &discovered.doors), scenes: merged(self.scenes, &discovered.scenes) }
    }
}

impl Target {
    /// A target that the user has not named: its key is a slug of its id.
    pub fn discovered(id: impl Into<String>, name: impl Into<String>) -> Self {
        let id = id.into();
        Self { key: slug(&id), id, name: name.into() }
    }
}

/// The target that a user means by a key, by the vendor's id, or by a display name that only one has.
pub fn find_target<'a>(targets: &'a [Target], text: &str) -> Option<&'a Target> {
    let text = text.trim();
    targets.iter().find(|it| it.key == text || it.id == text).or_else(|| {
        let mut named = targets.iter().filter(|it| it.name == text);
        named.next().filter(|_| named.next().is_none())
    })
}

/// Lower-case letters and digits of a text, everything else as `_`.
pub fn slug(text: &str) -> String {
    text.chars().map(|it| if it.is_ascii_alphanumeric() { it.to_ascii_lowercase() } else { '_' }).collect()
}

fn merged(configured: Vec<Target>, discovered: &[Target]) -> Vec<Target> {
    let is_new = |it: &&Target| configured.iter().all(|known| known.id != it.id && known.key != it.key);
    let others: Vec<Target> = discovered.iter().filter(is_new).cloned().collect();
    configured.into_iter().chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene(key: &str, id: &str, name: &str) -> Target {
        Target { key: key.into(), id: id.into(), name: name.into() }
    }

    #[test]
    fn a_target_is_found_by_key_by_id_and_by_a_name_that_only_one_has() {
        let scenes = [
            scene("tv", "AL.1", "Télé"),
            Target::discovered("AL.2", "Good night"),
            Target::discovered("AL.3", "Away"),
            Target::discovered("AL.4", "Away"),
        ];
        let id = |text| find_target(&scenes, text).map(|it| it.id.as_str());
        assert_eq!(id("tv"), Some("AL.1"));
        assert_eq!(id("al_2"), Some("AL.2"));
        assert_eq!(id("AL.3"), Some("AL.3"));
        assert_eq!(id(" Good night "), Some("AL.2"));
        assert_eq!(id("Away"), None);
        assert_eq!(id(""), None);
    }

    #[test]
    fn a_configured_target_keeps_its_key_and_what_the_vendor_lists_stands_beside_it() {
        let configured = Inventory { scenes: vec![scene("tv", "AL.1", "Tv")], doors: Vec::new() };
        let discovered = Inventory {
            scenes: vec![Target::discovered("AL.1", "Telly"), Target::discovered("AL.2", "Away")],
            doors: vec![Target::discovered("0C1105AABBCC/0", "Gate")],
        };
        let merged = configured.with_discovered(&discovered);
        let keys: Vec<&str> = merged.scenes.iter().map(|it| it.key.as_str()).collect();
        assert_eq!(keys, ["tv", "al_2"]);
        assert_eq!(merged.doors[0].key, "0c1105aabbcc_0");
    }
}
