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
    /// A target that the user has named by its key: people read `Tv pin entry` for `tv_pin_entry`.
    pub fn configured(key: impl Into<String>, id: impl Into<String>) -> Self {
        let key = key.into();
        let text = key.replace('_', " ");
        let mut letters = text.chars();
        let name = letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default();
        Self { key, id: id.into(), name }
    }

    /// A target that the user has not named: its key is a slug of its id. Blanks around its name are dropped.
    pub fn discovered(id: impl Into<String>, name: &str) -> Self {
        let id = id.into();
        Self { key: slug(&id), id, name: name.trim().to_owned() }
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

/// As [`find_target`] in what is shown; where nothing there has this name, by the vendor's own name of a target that the
/// user named otherwise.
pub fn find_shown_or_listed<'a>(shown: &'a [Target], listed: &'a [Target], text: &str) -> Option<&'a Target> {
    let is_shown = shown.iter().any(|it| it.name == text.trim());
    find_target(shown, text).or_else(|| find_target(listed, text).filter(|_| !is_shown))
}

/// Lower-case letters and digits of a text, everything else as `_`.
pub fn slug(text: &str) -> String {
    text.chars().map(|it| if it.is_ascii_alphanumeric() { it.to_ascii_lowercase() } else { '_' }).collect()
}

fn merged(configured: Vec<Target>, discovered: &[Target]) -> Vec<Target> {
    let mut targets = configured;
    for target in discovered {
        if targets.iter().all(|it| it.id != target.id && it.key != target.key) {
            targets.push(target.clone());
        }
    }
    targets
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
    fn the_vendors_own_name_of_a_configured_target_serves_unless_it_is_anothers_too() {
        let listed =
            [Target::discovered("AL.1", "Telly"), Target::discovered("AL.2", "Tv"), Target::discovered("AL.3", "Away")];
        let shown = merged(vec![scene("tv", "AL.1", "Tv")], &listed);
        let id = |text| find_shown_or_listed(&shown, &listed, text).map(|it| it.id.as_str());
        assert_eq!(id("Telly"), Some("AL.1"));
        assert_eq!(id("Away"), Some("AL.3"));
        assert_eq!(id("Tv"), None, "two are shown by this name");
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
