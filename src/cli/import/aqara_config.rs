//! The `aqara` part of the earlier system's `config.json` (protocol/aqara.md §8), told as a table of ours.

use serde_json::Value;

use crate::{
    account::slug,
    config::{AqaraSettings, Settings, VendorSettings},
};

use super::quoted;

/// Where that system looks unless told otherwise.
const DEFAULT_BASE_URL: &str = "https://open-cn.aqara.com";
const KNOWN: [&str; 5] = ["app_id", "app_key", "key_id", "base_url", "scenes"];

/// What is in it and is no secret: the application's key is told of, and not shown.
pub(super) struct AqaraConfig {
    app_id: String,
    key_id: String,
    base_url: String,
    /// Keys and ids.
    scenes: Vec<(String, String)>,
    has_app_key: bool,
    has_access_token: bool,
    /// Names of keys that nobody knows.
    unknown: Vec<String>,
}

impl AqaraConfig {
    pub(super) fn of(aqara: &Value) -> Self {
        let text = |key: &str| aqara[key].as_str().unwrap_or_default().trim().to_owned();
        let base_url = Some(text("base_url")).filter(|it| !it.is_empty());
        let scenes = aqara["scenes"].as_object().into_iter().flatten();
        let keys = aqara.as_object().into_iter().flatten().map(|it| it.0);
        Self {
            app_id: text("app_id"),
            key_id: text("key_id"),
            base_url: base_url.unwrap_or_else(|| DEFAULT_BASE_URL.to_owned()),
            scenes: scenes.filter_map(|(key, id)| Some((slug(key), id.as_str()?.trim().to_owned()))).collect(),
            has_app_key: !text("app_key").is_empty(),
            has_access_token: aqara.get("access_token").is_some(),
            unknown: keys.filter(|it| !KNOWN.contains(&it.as_str()) && *it != "access_token").cloned().collect(),
        }
    }

    /// What was found, and what is to be done about what does not belong there.
    pub(super) fn describe(&self) -> String {
        let mut said = format!("the configuration of an Aqara application with {} scenes.", self.scenes.len());
        if self.has_access_token {
            said.push_str(
                " Its `access_token` is no longer used: remove it. Latchkey gets access tokens by itself, with the refresh \
                 token.",
            );
        }
        for key in &self.unknown {
            said.push_str(&format!(" Its `{}` is not known and is left out: check the spelling.", slug(key)));
        }
        said
    }

    /// What the settings lack of it, as lines of TOML; none where they have it all. `account`: the name that was asked for.
    pub(super) fn missing_in(&self, settings: Option<&Settings>, account: Option<&str>) -> Option<String> {
        let accounts = settings.into_iter().flat_map(|it| it.accounts.values());
        let same = accounts.filter_map(|it| match &it.vendor {
            VendorSettings::Aqara(aqara) if self.is_of(aqara) => Some((it.id.as_str(), aqara)),
            VendorSettings::Aqara(_) | VendorSettings::Akuvox(_) => None,
        });
        let Some((id, configured)) = same.into_iter().next() else {
            let is_free = |it: &&str| settings.is_none_or(|has| has.accounts.keys().all(|id| id.as_str() != *it));
            let names = account.into_iter().chain(["aqara_home", "aqara_imported"]);
            return Some(self.section(names.into_iter().find(is_free).unwrap_or("aqara_other")));
        };
        let has = |id: &str| configured.scenes.values().any(|it| it.as_str() == id);
        let lacking: Vec<_> = self.scenes.iter().filter(|it| !has(&it.1)).collect();
        (!lacking.is_empty()).then(|| format!("[accounts.{id}.scenes]\n{}", lines(lacking.into_iter())))
    }

    fn is_of(&self, settings: &AqaraSettings) -> bool {
        (settings.app_id.as_str(), settings.key_id.as_str()) == (self.app_id.as_str(), self.key_id.as_str())
    }

    fn section(&self, id: &str) -> String {
        let app_key = if self.has_app_key { "<aqara.app_key of that file>" } else { "<app key>" };
        format!(
            "[accounts.{id}]\nvendor = \"aqara\"\nbase_url = {}\napp_id = {}\nkey_id = {}\napp_key = \"{app_key}\"\n\n\
             [accounts.{id}.scenes]\n{}",
            quoted(&self.base_url),
            quoted(&self.app_id),
            quoted(&self.key_id),
            lines(self.scenes.iter()),
        )
    }
}

fn lines<'a>(scenes: impl Iterator<Item = &'a (String, String)>) -> String {
    scenes.map(|(key, id)| format!("{key} = {}\n", quoted(id))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config() -> Value {
        json!({
            "app_id": "4e69", "app_key": "canary-app-key-canary", "key_id": "K.1", "scenes": { "tv_warning": "AL.2" },
        })
    }

    #[test]
    fn it_becomes_a_table_of_ours_without_the_applications_key() {
        let section = AqaraConfig::of(&config()).missing_in(None, None).unwrap();
        for line in ["[accounts.aqara_home]", "base_url = \"https://open-cn.aqara.com\"", "tv_warning = \"AL.2\""] {
            assert!(section.lines().any(|it| it == line), "{line} is not in {section}");
        }
        assert!(!section.contains("canary"));
    }

    #[test]
    fn an_access_token_is_told_apart_from_a_typo() {
        let mut aqara = config();
        aqara["access_token"] = json!("canary");
        let said = AqaraConfig::of(&aqara).describe();
        assert!(said.contains("no longer used: remove it") && !said.contains("canary"), "{said}");
        let mut aqara = config();
        aqara["acces_tokn"] = json!("canary");
        let said = AqaraConfig::of(&aqara).describe();
        assert!(said.contains("`acces_tokn` is not known") && !said.contains("canary"), "{said}");
    }
}
