//! A configuration is read whole or refused whole: with everything that is wrong at once, and never with a secret.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use latchkey::{
    account::{AccountId, AmbiguousPolicy, Secret},
    config::{
        AccountType, ApiVersions, ConfigError, ConfigErrors, Lang, LogFormat, Problem, Settings, StoreKey,
        VendorSettings, load,
    },
};
use tempfile::TempDir;

/// The shortest configuration that is right.
const MINIMAL: &str = "[accounts.front_door]\nvendor = 'akuvox'\ncountry = 'SE'\n";

/// Aqara with everything that it must have.
const AQARA: &str = "[accounts.home]\nvendor = 'aqara'\nregion = 'EU'\napp_id = 'app'\nkey_id = 'K.1'\n";

const CANARY: &str = "canary-5f2a";

struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn load(&self, toml: &str, environment: &[(&str, &str)]) -> Result<Settings, ConfigErrors> {
        let environment = environment.iter().map(|it| (it.0.to_owned(), it.1.to_owned()));
        load(Some(&self.file("latchkey.toml", toml)), environment)
    }
}

fn read(toml: &str) -> Settings {
    read_with(toml, &[])
}

fn read_with(toml: &str, environment: &[(&str, &str)]) -> Settings {
    Bench::new().load(toml, environment).unwrap_or_else(|errors| panic!("{errors}"))
}

fn refuse(toml: &str) -> ConfigErrors {
    refuse_with(toml, &[])
}

fn refuse_with(toml: &str, environment: &[(&str, &str)]) -> ConfigErrors {
    Bench::new().load(toml, environment).expect_err(toml)
}

/// The one error there is.
fn only(errors: &ConfigErrors) -> &ConfigError {
    assert_eq!(errors.iter().count(), 1, "{errors}");
    errors.iter().next().unwrap()
}

fn keys(errors: &ConfigErrors) -> Vec<&str> {
    errors.iter().map(|it| it.key.as_str()).collect()
}

fn id(text: &str) -> AccountId {
    text.parse().unwrap()
}

// === What is right ===

#[test]
fn what_is_not_set_has_the_documented_default() {
    let settings = read(MINIMAL);
    assert_eq!(settings.instance.as_str(), "default");

    let mqtt = &settings.mqtt;
    assert_eq!((mqtt.host.as_str(), mqtt.port, mqtt.tls.as_ref()), ("localhost", 1883, None));
    assert_eq!((mqtt.username.as_ref(), mqtt.password.as_ref()), (None, None));
    assert_eq!((mqtt.client_id.as_str(), mqtt.base_topic.as_str()), ("latchkey-default", "latchkey"));
    assert_eq!((mqtt.reply_prefix.as_str(), mqtt.keep_alive), ("latchkey/reply/", Duration::from_secs(30)));

    assert_eq!(settings.store.path, Path::new("./data"));
    assert_eq!(settings.store.key, StoreKey::File("./data/key".into()));

    let home_assistant = &settings.home_assistant;
    assert!(home_assistant.discovery);
    assert_eq!(home_assistant.birth_topic.as_str(), "homeassistant/status");
    assert_eq!((settings.log.filter.as_str(), settings.log.format), ("info", LogFormat::Human));
    let web = &settings.web;
    assert_eq!(web.listen, Some("127.0.0.1:8780".parse().unwrap()));
    assert_eq!((web.public_url.as_ref(), web.key.as_ref(), web.metrics_public), (None, None, false));
    assert!(web.allowed_hosts.is_empty() && web.ingress_from.is_none());

    let account = &settings.accounts[&id("front_door")];
    assert_eq!(account.refresh_every, Some(Duration::from_secs(518_400)));
    assert_eq!((account.safety_margin, account.jitter), (Duration::from_secs(86_400), Duration::from_secs(600)));
    assert_eq!(account.ambiguous, AmbiguousPolicy::RetryOnce);
    assert_eq!(account.min_refresh_gap, Duration::from_secs(60));
    assert!(!account.share_access_token);
    let VendorSettings::Akuvox(akuvox) = &account.vendor else { panic!("{account:?}") };
    assert_eq!(akuvox.gate.as_str(), "https://gate.ecloud.akuvox.com:8600");
    assert!(!akuvox.doors);
    assert_eq!((akuvox.phone.as_ref(), akuvox.user.as_ref(), akuvox.door_names.len()), (None, None, 0));
    assert_eq!(akuvox.user_agent, "VBell/7.20.5 (iPhone; iOS 26.1; Scale/2.00)");
    assert_eq!(akuvox.login_user_agent, "VBell/7.42.2 (iPhone; iOS 26.1; Scale/2.00)");
    assert_eq!(*akuvox.api_versions, ApiVersions::default());
}

#[test]
fn an_akuvox_account_may_have_named_doors_a_family_member_and_versions_of_its_own() {
    let toml = format!(
        "{MINIMAL}user = 'me@example.com'\nlogin_user_agent = 'VBell/8'\n\
         [accounts.front_door.door_names]\ngarage = '0C:11:05:AA:BB:CC/0'\n\
         [accounts.front_door.api_versions]\nlogin = '7.11'\nservers_list = '6.9'\n"
    );
    let settings = read(&toml);
    let VendorSettings::Akuvox(akuvox) = &settings.accounts[&id("front_door")].vendor else { panic!("{settings:?}") };
    assert_eq!(akuvox.user, Some(Secret::new("me@example.com")));
    assert_eq!(akuvox.login_user_agent, "VBell/8");
    let doors: Vec<_> = akuvox.door_names.iter().map(|(key, id)| (key.as_str(), id.as_str())).collect();
    assert_eq!(doors, [("garage", "0C1105AABBCC/0")]);
    let servers_list = Some("6.9".to_owned());
    let versions = ApiVersions { login: "7.11".into(), servers_list, ..ApiVersions::default() };
    assert_eq!(*akuvox.api_versions, versions);
}

#[test]
fn doors_and_versions_that_cannot_be_are_told() {
    for (table, key) in [
        ("door_names]\nGarage = '0C1105AABBCC/0'", "door_names.Garage"),
        ("door_names]\ngarage = '0C1105AABBCC'", "door_names.garage"),
        ("door_names]\ngarage = 5", "door_names.garage"),
        ("api_versions]\nlogin = 7.33", "api_versions.login"),
        ("api_versions]\nlogin = 'v7'", "api_versions.login"),
        ("api_versions]\nopen_door = '4.3'", "api_versions.open_door"),
    ] {
        let errors = refuse(&format!("{MINIMAL}[accounts.front_door.{table}\n"));
        assert_eq!(only(&errors).key, format!("accounts.front_door.{key}"));
    }
}

#[test]
fn an_aqara_account_has_its_region_its_key_and_named_scenes() {
    let scenes = "app_key = 'secret'\nrefresh_every = '5days'\n[accounts.home.scenes]\ntv_warning = 'AL.1'\n";
    let settings = read(&format!("{AQARA}{scenes}"));
    let account = &settings.accounts[&id("home")];
    assert_eq!(account.refresh_every, Some(Duration::from_secs(432_000)));
    assert_eq!((account.safety_margin, account.jitter), (Duration::from_secs(300), Duration::from_secs(30)));
    let VendorSettings::Aqara(aqara) = &account.vendor else { panic!("{account:?}") };
    assert_eq!(aqara.base_url.as_str(), "https://open-ger.aqara.com");
    assert_eq!((aqara.app_key.expose(), aqara.lang), ("secret", Lang::English));
    let scenes: Vec<_> = aqara.scenes.iter().map(|(key, id)| (key.as_str(), id.as_str())).collect();
    assert_eq!(scenes, [("tv_warning", "AL.1")]);
}

#[test]
fn an_aqara_account_is_refreshed_by_expiry_alone_unless_told_otherwise() {
    let settings = read(&format!("{AQARA}app_key = 'secret'\n"));
    assert_eq!(settings.accounts[&id("home")].refresh_every, None);
}

#[test]
fn an_aqara_account_says_who_signs_in_and_for_how_long() {
    let aqara_of = |given: &str| {
        let settings = read(&format!("{AQARA}app_key = 'secret'\n{given}"));
        let VendorSettings::Aqara(aqara) = &settings.accounts[&id("home")].vendor else { panic!("{given}") };
        aqara.clone()
    };
    let silent = aqara_of("");
    assert_eq!((&silent.login, silent.account_type), (&None, AccountType::Aqara));
    assert_eq!(silent.access_token_validity.to_string(), "7d");
    let told = aqara_of("login = 'me@example.com'\naccount_type = 1\naccess_token_validity = '1y'\n");
    assert_eq!((&told.login, told.account_type), (&Some(Secret::new("me@example.com")), AccountType::Project));
    assert_eq!(told.access_token_validity.to_string(), "1y");
    for (wrong, key) in [
        ("account_type = 2", "accounts.home.account_type"),
        ("account_type = 'virtual'", "accounts.home.account_type"),
        ("access_token_validity = '31d'", "accounts.home.access_token_validity"),
        ("access_token_validity = '7 days'", "accounts.home.access_token_validity"),
        ("access_token_validity = 7", "accounts.home.access_token_validity"),
    ] {
        assert_eq!(keys(&refuse(&format!("{AQARA}app_key = 'secret'\n{wrong}\n"))), [key], "{wrong}");
    }
}

#[test]
fn the_gate_comes_from_a_country_a_subdomain_or_an_address() {
    for (given, gate) in [
        ("country = 'us'", "https://gate.ucloud.akuvox.com:8600"),
        ("country = 'NZ'", "https://gate.aucloud.akuvox.com:8600"),
        ("country = 'CH'", "https://gate.ecloud.akuvox.com:8600"),
        ("subdomain = 'scloud'", "https://gate.scloud.akuvox.com:8600"),
        ("gate = 'http://127.0.0.1:9000/'", "http://127.0.0.1:9000"),
    ] {
        let settings = read(&format!("[accounts.a]\nvendor = 'akuvox'\n{given}\n"));
        let VendorSettings::Akuvox(akuvox) = &settings.accounts[&id("a")].vendor else { panic!("{given}") };
        assert_eq!(akuvox.gate.as_str(), gate, "{given}");
    }
}

#[test]
fn a_demo_may_refresh_every_second() {
    let settings = read(&format!("{MINIMAL}refresh_every = '1s'\nmin_refresh_gap = '0s'\n"));
    let account = &settings.accounts[&id("front_door")];
    assert_eq!((account.refresh_every, account.jitter), (Some(Duration::from_secs(1)), Duration::from_millis(100)));
}

#[test]
fn a_named_instance_gets_topics_of_its_own() {
    let settings = read(&format!("instance = 'cabin'\n{MINIMAL}"));
    let mqtt = &settings.mqtt;
    assert_eq!((mqtt.client_id.as_str(), mqtt.base_topic.as_str()), ("latchkey-cabin", "latchkey_cabin"));
    assert_eq!(mqtt.reply_prefix.as_str(), "latchkey_cabin/reply/");
}

#[test]
fn tls_moves_the_port_and_takes_certificates() {
    let bench = Bench::new();
    let files = ["ca", "cert", "key"].map(|name| bench.file(name, "-----BEGIN-----"));
    let toml = format!(
        "[mqtt]\ntls = true\nca_file = {:?}\nclient_cert_file = {:?}\nclient_key_file = {:?}\n{MINIMAL}",
        files[0], files[1], files[2]
    );
    let mqtt = bench.load(&toml, &[]).unwrap().mqtt;
    assert_eq!(mqtt.port, 8883);
    let tls = mqtt.tls.unwrap();
    assert_eq!(tls.ca_file.as_ref(), Some(&files[0]));
    let client = tls.client.unwrap();
    assert_eq!([client.cert_file, client.key_file], [files[1].clone(), files[2].clone()]);
}

#[test]
fn the_admin_api_listens_where_it_is_told_under_the_names_that_it_is_told_or_not_at_all() {
    let web = read(&format!(
        "[web]\nlisten = '[::]:8080'\nkey = 'your-api-key'\nallowed_hosts = ['Latchkey.local', '10.0.0.5']\n{MINIMAL}"
    ))
    .web;
    assert_eq!(web.listen, Some("[::]:8080".parse().unwrap()));
    assert_eq!(web.key, Some(Secret::new("your-api-key")));
    assert_eq!(web.allowed_hosts, ["latchkey.local", "10.0.0.5"]);
    assert_eq!(read(&format!("[web]\nenabled = false\n{MINIMAL}")).web.listen, None);
    let in_add_on = read_with(MINIMAL, &[("LATCHKEY__WEB__INGRESS_FROM", "172.30.32.2")]).web;
    assert_eq!(in_add_on.ingress_from, Some("172.30.32.2".parse().unwrap()));
    let from_environment = read_with(MINIMAL, &[("LATCHKEY__WEB__ALLOWED_HOSTS", "a.example, b.example")]).web;
    assert_eq!(from_environment.allowed_hosts, ["a.example", "b.example"]);
    assert!(read(&format!("{MINIMAL}share_access_token = true\n")).accounts[&id("front_door")].share_access_token);
}

// === The layers ===

#[test]
fn the_environment_wins_over_the_file_whatever_the_type() {
    let toml = format!("[mqtt]\nhost = 'file'\nport = 1\n[home_assistant]\ndiscovery = true\n{MINIMAL}");
    let environment = [
        ("LATCHKEY__MQTT__HOST", "environment"),
        ("LATCHKEY__MQTT__PORT", "2"),
        ("LATCHKEY__HOME_ASSISTANT__DISCOVERY", "False"),
        ("LATCHKEY__ACCOUNTS__FRONT_DOOR__REFRESH_EVERY", "2days"),
        ("LATCHKEY__MQTT__USERNAME", "12345"),
        ("LATCHKEY__MQTT__PASSWORD", "67890"),
        ("OTHER__MQTT__HOST", "other"),
    ];
    let settings = read_with(&toml, &environment);
    assert_eq!((settings.mqtt.host.as_str(), settings.mqtt.port), ("environment", 2));
    assert_eq!(settings.mqtt.username.as_deref(), Some("12345"));
    assert_eq!(settings.mqtt.password, Some(Secret::new("67890")));
    assert!(!settings.home_assistant.discovery);
    let account = &settings.accounts[&id("front_door")];
    assert_eq!(account.refresh_every, Some(Duration::from_secs(172_800)));
}

#[test]
fn the_environment_alone_is_enough() {
    let environment = BTreeMap::from([
        ("LATCHKEY__ACCOUNTS__HOME__VENDOR", "aqara"),
        ("LATCHKEY__ACCOUNTS__HOME__REGION", "us"),
        ("LATCHKEY__ACCOUNTS__HOME__APP_ID", "app"),
        ("LATCHKEY__ACCOUNTS__HOME__KEY_ID", "K.1"),
        ("LATCHKEY__ACCOUNTS__HOME__APP_KEY", "secret"),
        ("LATCHKEY__ACCOUNTS__HOME__SCENES__TV_PIN_ENTRY", "AL.7"),
    ]);
    let settings = load(None, environment.into_iter().map(|it| (it.0.to_owned(), it.1.to_owned()))).unwrap();
    let VendorSettings::Aqara(aqara) = &settings.accounts[&id("home")].vendor else { panic!("{settings:?}") };
    assert_eq!(aqara.base_url.as_str(), "https://open-usa.aqara.com");
    assert_eq!(aqara.scenes.keys().next().unwrap().as_str(), "tv_pin_entry");
}

#[test]
fn an_empty_environment_variable_is_not_set() {
    let toml = format!("[mqtt]\nhost = 'file'\n{MINIMAL}");
    assert_eq!(read_with(&toml, &[("LATCHKEY__MQTT__HOST", "")]).mqtt.host, "file");
}

#[test]
fn rust_log_wins_over_the_log_level() {
    let toml = format!("[log]\nlevel = 'warn'\nformat = 'json'\n{MINIMAL}");
    assert_eq!(read(&toml).log.filter, "warn");
    let log = read_with(&toml, &[("RUST_LOG", "latchkey=trace")]).log;
    assert_eq!((log.filter.as_str(), log.format), ("latchkey=trace", LogFormat::Json));
}

#[test]
fn a_secret_can_stand_in_a_file_with_one_line_break() {
    let bench = Bench::new();
    for content in ["from a file", "from a file\n", "from a file\r\n"] {
        let file = bench.file("secret", content);
        let toml = format!("[mqtt]\nusername = 'me'\npassword_file = {file:?}\n{AQARA}app_key_file = {file:?}\n");
        let settings = bench.load(&toml, &[]).unwrap();
        assert_eq!(settings.mqtt.password, Some(Secret::new("from a file")));
        let VendorSettings::Aqara(aqara) = &settings.accounts[&id("home")].vendor else { panic!() };
        assert_eq!(aqara.app_key, Secret::new("from a file"));
    }
}

#[test]
fn the_store_key_is_given_or_named_or_a_credential_or_beside_the_store() {
    let bench = Bench::new();
    let credentials = bench.folder.path().to_str().unwrap().to_owned();
    let with_credentials = [("CREDENTIALS_DIRECTORY", credentials.as_str())];
    let toml = format!("[store]\npath = '/srv/latchkey'\n{MINIMAL}");
    let beside = StoreKey::File("/srv/latchkey/key".into());
    assert_eq!(bench.load(&toml, &with_credentials).unwrap().store.key, beside);

    let credential = bench.file("latchkey-store-key", "key");
    assert_eq!(bench.load(&toml, &with_credentials).unwrap().store.key, StoreKey::File(credential));

    let named = [with_credentials[0], ("LATCHKEY__STORE__KEY_FILE", "/etc/latchkey/key")];
    assert_eq!(bench.load(&toml, &named).unwrap().store.key, StoreKey::File("/etc/latchkey/key".into()));

    let given = [with_credentials[0], ("LATCHKEY__STORE__KEY", "given")];
    assert_eq!(bench.load(&toml, &given).unwrap().store.key, StoreKey::Given(Secret::new("given")));
}

// === What is wrong ===

#[test]
fn an_unknown_key_is_refused_and_the_key_that_was_meant_is_named() {
    for (toml, key, meant) in [
        (format!("[mqtt]\nhosst = 'a'\n{MINIMAL}"), "mqtt.hosst", "host"),
        (format!("[mqtt]\nKeep-Alive = '30s'\n{MINIMAL}"), "mqtt.Keep-Alive", "keep_alive"),
        (format!("[mqtt]\npasword_file = 'a'\n{MINIMAL}"), "mqtt.pasword_file", "password_file"),
        (format!("{MINIMAL}refesh_every = '6days'\n"), "accounts.front_door.refesh_every", "refresh_every"),
        (format!("[home_asistant]\n{MINIMAL}"), "home_asistant", "home_assistant"),
    ] {
        let errors = refuse(&toml);
        let error = only(&errors);
        assert_eq!((error.key.as_str(), &error.problem), (key, &Problem::UnknownKey));
        assert_eq!(error.mend, format!("did you mean `{meant}`?"));
    }
    let errors = refuse(&format!("[mqtt]\ncolour = 'red'\n{MINIMAL}"));
    assert!(only(&errors).mend.contains("known here: tls, "), "{errors}");
}

#[test]
fn an_unknown_key_of_the_environment_is_refused_by_its_variable() {
    let errors = refuse_with(MINIMAL, &[("LATCHKEY__MQTT__HOSST", "a")]);
    assert_eq!(only(&errors).variable.as_deref(), Some("LATCHKEY__MQTT__HOSST"));
    assert!(errors.to_string().contains("mqtt.hosst (from LATCHKEY__MQTT__HOSST): this key is not known"), "{errors}");
}

#[test]
fn a_key_of_the_other_vendor_is_not_known() {
    assert_eq!(keys(&refuse(&format!("{MINIMAL}app_key = 'a'\n"))), ["accounts.front_door.app_key"]);
}

#[test]
fn a_wrong_kind_is_told_with_both_kinds_and_an_example() {
    for (toml, expected, found, mend) in [
        ("[mqtt]\nhost = 5\n", "a text in quotes", "a whole number", "for example `host = \"localhost\"`"),
        ("[mqtt]\nhost = ['a']\n", "a text in quotes", "a list", "for example `host = \"localhost\"`"),
        ("[mqtt]\nport = '1883'\n", "a whole number from 1 to 65535", "a text", "for example `port = 1883`"),
        ("[mqtt]\nport = 1.5\n", "a whole number from 1 to 65535", "a number with a fraction", "`port = 1883`"),
        ("[mqtt]\ntls = 'yes'\n", "true or false", "a text", "for example `tls = false`"),
        ("[mqtt]\nkeep_alive = 30\n", "a duration from \"5s\" to \"1h\"", "a whole number", "`keep_alive = \"30s\"`"),
        ("mqtt = 'localhost'\n", "a table", "a text", "write `[mqtt]` in a line of its own"),
    ] {
        let errors = refuse(&format!("{toml}{MINIMAL}"));
        let error = only(&errors);
        assert_eq!(error.problem, Problem::WrongKind { expected: expected.to_owned(), found }, "{toml}");
        assert!(error.mend.contains(mend), "{errors}");
    }
}

#[test]
fn a_value_that_does_not_do_is_told_with_its_path_and_the_mend() {
    for (line, found) in [
        ("refresh_every = 'weekly'", Some("weekly")),
        ("refresh_every = '0s'", Some("0s")),
        ("refresh_every = '500ms'", Some("500ms")),
        ("refresh_every = '1year'", Some("1year")),
        ("refresh_every = '30s'", None),
        ("safety_margin = '8days'", Some("8days")),
        ("jitter = '7days'", Some("7days")),
        ("ambiguous = 'retry'", Some("retry")),
        ("user_agent = 'Bü'", Some("Bü")),
        ("rest = 'http://rest.example.com'", Some("http://rest.example.com")),
    ] {
        let errors = refuse(&format!("{MINIMAL}{line}\n"));
        let error = only(&errors);
        assert_eq!(error.key, format!("accounts.front_door.{}", line.split(' ').next().unwrap()));
        let Problem::Invalid { found: quoted, .. } = &error.problem else { panic!("{errors}") };
        assert_eq!(quoted.as_deref(), found, "{line}");
        assert!(!error.mend.is_empty());
    }
}

#[test]
fn settings_outside_of_accounts_are_held_to_their_ranges() {
    for (toml, key) in [
        ("instance = 'My House'\n", "instance"),
        ("[mqtt]\nhost = 'mqtt://broker'\n", "mqtt.host"),
        ("[mqtt]\nhost = ''\n", "mqtt.host"),
        ("[mqtt]\nport = 0\n", "mqtt.port"),
        ("[mqtt]\nport = 65536\n", "mqtt.port"),
        ("[mqtt]\nport = -1\n", "mqtt.port"),
        ("[mqtt]\nkeep_alive = '4s'\n", "mqtt.keep_alive"),
        ("[mqtt]\nkeep_alive = '5s 1ms'\n", "mqtt.keep_alive"),
        ("[mqtt]\nbase_topic = 'latchkey/#'\n", "mqtt.base_topic"),
        ("[mqtt]\nbase_topic = '/latchkey'\n", "mqtt.base_topic"),
        ("[mqtt]\nreply_prefix = '$SYS/'\n", "mqtt.reply_prefix"),
        ("[mqtt]\nca_file = '/nowhere'\ntls = true\n", "mqtt.ca_file"),
        ("[home_assistant]\nannounce_delay = '1day'\n", "home_assistant.announce_delay"),
        ("[web]\npublic_url = 'latchkey.local'\n", "web.public_url"),
        ("[web]\nlisten = '8780'\n", "web.listen"),
        ("[web]\nlisten = 'localhost:8780'\n", "web.listen"),
        ("[web]\nkey = 'short'\n", "web.key"),
        ("[web]\nkey = 'with a blank'\n", "web.key"),
        ("[web]\nallowed_hosts = 'latchkey.local'\n", "web.allowed_hosts"),
        ("[web]\nallowed_hosts = [5]\n", "web.allowed_hosts"),
        ("[web]\nallowed_hosts = ['http://latchkey.local']\n", "web.allowed_hosts"),
        ("[web]\nmetrics_public = 'yes'\n", "web.metrics_public"),
        ("[web]\ningress_from = 'supervisor'\n", "web.ingress_from"),
        ("[web]\ningress_from = true\n", "web.ingress_from"),
        ("[log]\nlevel = 'wran'\n", "log.level"),
        ("[log]\nlevel = 'latchkey=loud'\n", "log.level"),
        ("[log]\nformat = 'xml'\n", "log.format"),
        ("[keeper]\nrefreshes_per_host = 0\n", "keeper.refreshes_per_host"),
        ("[keeper]\nbackoff_first = '10min'\nbackoff_longest = '5min'\n", "keeper.backoff_longest"),
    ] {
        assert_eq!(keys(&refuse(&format!("{toml}{MINIMAL}"))), [key], "{toml}");
    }
}

#[test]
fn a_cloud_without_tls_is_refused_unless_it_is_on_this_machine() {
    let toml = |gate: &str| format!("[accounts.a]\nvendor = 'akuvox'\ngate = '{gate}'\n");
    for gate in ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "https://gate.example.com"] {
        read(&toml(gate));
    }
    for gate in ["http://gate.example.com", "http://localhost.example.com", "ftp://127.0.0.1", "gate.example.com"] {
        assert_eq!(only(&refuse(&toml(gate))).key, "accounts.a.gate", "{gate}");
    }
}

#[test]
fn what_must_be_there_is_missed_with_the_way_to_give_it() {
    let errors = refuse("[accounts.a]\nvendor = 'akuvox'\n[accounts.b]\nvendor = 'aqara'\n[accounts.c]\n");
    let missing = ["a.country", "b.region", "b.app_id", "b.key_id", "b.app_key", "c.vendor"];
    assert_eq!(keys(&errors), missing.map(|it| format!("accounts.{it}")));
    assert!(errors.iter().all(|it| matches!(it.problem, Problem::Missing { .. })), "{errors}");
    let text = errors.to_string();
    assert!(text.contains("add `country = \"SE\"` to [accounts.a], or set LATCHKEY__ACCOUNTS__A__COUNTRY"), "{text}");
    assert!(text.contains("or name its file as `app_key_file`"), "{text}");
}

#[test]
fn a_configuration_without_accounts_is_refused() {
    for toml in ["", "[accounts]\n"] {
        let errors = refuse(toml);
        assert_eq!(only(&errors).key, "accounts");
        assert!(only(&errors).mend.contains("[accounts.home]"), "{errors}");
    }
}

#[test]
fn an_account_is_named_so_that_topics_can_hold_the_name() {
    for name in ["Home", "bridge", "'a/b'", "\"ü\""] {
        let errors = refuse(&format!("[accounts.{name}]\nvendor = 'akuvox'\ncountry = 'SE'\n"));
        assert!(only(&errors).mend.contains("rename it"), "{errors}");
    }
    // Answers to requests must not be able to reach an account's commands.
    let errors = refuse("[accounts.reply]\nvendor = 'akuvox'\ncountry = 'SE'\n");
    assert_eq!(only(&errors).key, "accounts.reply");
    let errors = refuse(&format!("[mqtt]\nreply_prefix = 'latchkey'\n{MINIMAL}"));
    assert_eq!(keys(&errors), ["mqtt.reply_prefix", "accounts.front_door"]);
}

/// Very many are read by several at a time.
#[test]
fn of_very_many_accounts_all_are_there_and_what_is_wrong_is_told_in_their_order() {
    const N_ACCOUNTS: usize = 3000;
    let wrong = [7, 8, 999, 1500, N_ACCOUNTS - 1];
    let section = |number: usize, key: &str| format!("[accounts.a{number:04}]\nvendor = 'akuvox'\n{key} = 'SE'\n");
    // The last comes first: the order is not that of the file.
    let all = |wrong: &[usize]| {
        let keys = (0..N_ACCOUNTS).map(|it| (it, if wrong.contains(&it) { "contry" } else { "country" }));
        keys.rev().map(|(number, key)| section(number, key)).collect::<String>()
    };
    let accounts = read(&all(&[])).accounts;
    assert_eq!(accounts.len(), N_ACCOUNTS);
    let clouds = accounts.values().map(|it| match &it.vendor {
        VendorSettings::Akuvox(cloud) => Arc::as_ptr(cloud),
        VendorSettings::Aqara(_) => panic!("{} is at Akuvox", it.id),
    });
    assert_eq!(clouds.collect::<BTreeSet<_>>().len(), 1, "what is alike is there once");

    let errors = refuse(&all(&wrong));
    let expected = wrong.iter().flat_map(|it| ["country", "contry"].map(|key| format!("accounts.a{it:04}.{key}")));
    assert_eq!(keys(&errors), expected.collect::<Vec<_>>());
    assert!(errors.to_string().contains("did you mean `country`?"), "{errors}");
}

#[test]
fn accounts_that_are_no_tables_are_told_with_how_to_write_one() {
    let errors = refuse("accounts = 5\n");
    assert!(errors.iter().any(|it| it.key == "accounts" && it.mend.contains("write `[accounts]`")), "{errors}");
    let errors = refuse(&format!("{MINIMAL}[accounts]\nback_door = 5\n"));
    let told = errors.iter().find(|it| it.key == "accounts.back_door").unwrap();
    assert!(told.variable.is_none() && told.mend.contains("write `[accounts.back_door]`"), "{errors}");
    let errors = refuse_with(MINIMAL, &[("LATCHKEY__ACCOUNTS__BACK_DOOR", "5")]);
    let told = errors.iter().find(|it| it.key == "accounts.back_door").unwrap();
    assert_eq!(told.variable.as_deref(), Some("LATCHKEY__ACCOUNTS__BACK_DOOR"), "{errors}");
}

#[test]
fn an_unknown_vendor_does_not_make_every_key_unknown() {
    let errors = refuse("[accounts.a]\nvendor = 'nuki'\napp_id = 'a'\n");
    assert_eq!(only(&errors).key, "accounts.a.vendor");
    assert!(errors.to_string().contains("expected one of \"akuvox\", \"aqara\", found \"nuki\""), "{errors}");
}

#[test]
fn two_ways_to_say_the_same_are_one_too_many() {
    let bench = Bench::new();
    let file = bench.file("secret", "secret");
    for (toml, key) in [
        (format!("[mqtt]\nusername = 'a'\npassword = 'b'\npassword_file = {file:?}\n{MINIMAL}"), "mqtt.password"),
        (format!("[store]\nkey = 'a'\nkey_file = 'b'\n{MINIMAL}"), "store.key"),
        (format!("{MINIMAL}gate = 'https://gate.example.com'\n"), "accounts.front_door.country"),
        (format!("{MINIMAL}subdomain = 'ucloud'\n"), "accounts.front_door.country"),
        (format!("{AQARA}app_key = 'a'\napp_key_file = {file:?}\n"), "accounts.home.app_key"),
        (format!("{AQARA}app_key = 'a'\nbase_url = 'https://example.com'\n"), "accounts.home.region"),
    ] {
        let errors = bench.load(&toml, &[]).expect_err(&toml);
        assert_eq!(only(&errors).key, key);
        assert!(matches!(only(&errors).problem, Problem::Conflict { .. }), "{errors}");
    }
}

#[test]
fn what_goes_together_is_not_given_alone() {
    let bench = Bench::new();
    let file = bench.file("cert", "-----BEGIN-----");
    for (toml, key) in [
        (format!("[mqtt]\npassword = 'a'\n{MINIMAL}"), "mqtt.username"),
        (format!("[mqtt]\nca_file = {file:?}\n{MINIMAL}"), "mqtt.ca_file"),
        (format!("[mqtt]\ntls = true\nclient_cert_file = {file:?}\n{MINIMAL}"), "mqtt.client_key_file"),
        (format!("{MINIMAL}phone = '0701234567'\n"), "accounts.front_door.dial_code"),
        (format!("{MINIMAL}dial_code = '46'\n"), "accounts.front_door.phone"),
    ] {
        assert_eq!(only(&bench.load(&toml, &[]).expect_err(&toml)).key, key);
    }
}

#[test]
fn a_phone_number_is_read_with_its_blanks_and_keeps_its_zero() {
    let toml = format!("{MINIMAL}dial_code = '+46'\nphone = '070-123 45 67'\n");
    let settings = read(&toml);
    let VendorSettings::Akuvox(akuvox) = &settings.accounts[&id("front_door")].vendor else { panic!() };
    let phone = akuvox.phone.as_ref().unwrap();
    assert_eq!((phone.dial_code.as_str(), phone.number.expose()), ("46", "0701234567"));
}

#[test]
fn a_file_of_a_secret_must_hold_one_line_of_text() {
    let bench = Bench::new();
    let invalid_text = bench.folder.path().join("binary");
    fs::write(&invalid_text, [0xff, 0xfe]).unwrap();
    let absent = bench.folder.path().join("absent");
    for (file, told) in [
        (bench.file("empty", "\n"), "the file is empty"),
        (bench.file("lines", "a\nb\n"), "the file has more than one line"),
        (bench.file("huge", &"a".repeat(70_000)), "file too large"),
        (invalid_text, "it is not text"),
        (absent, "there is no such file"),
        (bench.folder.path().to_owned(), "it is a folder"),
    ] {
        let toml = format!("[mqtt]\nusername = 'a'\npassword_file = {file:?}\n{MINIMAL}");
        let errors = bench.load(&toml, &[]).expect_err(told);
        assert_eq!(only(&errors).key, "mqtt.password_file");
        assert!(errors.to_string().contains(told), "{errors}");
    }
}

#[test]
fn a_configuration_file_that_cannot_be_read_is_the_only_thing_told() {
    let errors = load(Some(Path::new("/nowhere/latchkey.toml")), std::iter::empty()).unwrap_err();
    assert_eq!(only(&errors).key, "/nowhere/latchkey.toml");
    assert!(errors.to_string().contains("there is no such file"), "{errors}");
}

#[test]
fn a_syntax_error_is_told_with_its_line() {
    let errors = refuse("[mqtt]\nhost = localhost\n");
    assert!(errors.to_string().contains("this is not valid TOML: at line 2, column 8 ("), "{errors}");
}

#[test]
fn everything_wrong_is_told_at_once() {
    let toml = "
        instance = 'A'
        surprise = 1
        [mqtt]
        port = 'x'
        hosst = 'a'
        [log]
        format = 'xml'
        [accounts.front_door]
        vendor = 'akuvox'
        country = 'Sweden'
        refresh_every = 'often'
        [accounts.home]
        vendor = 'aqara'
        [accounts.home.scenes]
        'TV' = 'AL.1'
        tv = 'A L'
    ";
    let errors = refuse_with(toml, &[("LATCHKEY__KEEPER__CALL_TIMEOUT", "soon")]);
    assert_eq!(
        keys(&errors),
        [
            "instance",
            "mqtt.port",
            "mqtt.hosst",
            "keeper.call_timeout",
            "log.format",
            "accounts.front_door.country",
            "accounts.front_door.refresh_every",
            "accounts.home.region",
            "accounts.home.app_id",
            "accounts.home.key_id",
            "accounts.home.app_key",
            "accounts.home.scenes.TV",
            "accounts.home.scenes.tv",
            "surprise",
        ]
    );
    let text = errors.to_string();
    assert!(text.starts_with("The configuration has 14 problems:\n  instance: "), "{text}");
    assert!(text.contains("for example `LATCHKEY__KEEPER__CALL_TIMEOUT=15s`"), "{text}");
    assert!(errors.iter().all(|it| !it.mend.is_empty() && text.contains(&it.to_string())), "{text}");
}

#[test]
fn no_error_shows_a_secret() {
    let bench = Bench::new();
    let lines = bench.file("lines", &format!("{CANARY}\n{CANARY}"));
    for toml in [
        format!("[mqtt]\npassword = '{CANARY}'\n{MINIMAL}"),
        format!("[web]\nkey = '{CANARY} '\n{MINIMAL}"),
        format!("[web]\nkey = ['{CANARY}']\n{MINIMAL}"),
        format!("[web]\nkey = '{CANARY} blank'\n{MINIMAL}"),
        format!("[mqtt]\nusername = 'a'\npassword = ['{CANARY}']\n{MINIMAL}"),
        format!("[mqtt]\nusername = 'a'\npassword = ' {CANARY}'\n{MINIMAL}"),
        format!("[mqtt]\nusername = 'a'\npassword = \"{CANARY}\\n\"\n{MINIMAL}"),
        format!("[mqtt]\nusername = 'a'\npassword_file = '{CANARY}'\n{MINIMAL}"),
        format!("[mqtt]\nusername = 'a'\npassword_file = {lines:?}\n{MINIMAL}"),
        format!("[mqtt]\nusername = 'a'\npassword = '{CANARY}'\npassword_file = {lines:?}\n{MINIMAL}"),
        format!("[mqtt]\npasword = '{CANARY}'\n{MINIMAL}"),
        format!("[mqtt]\nhost = 'mqtt://me:{CANARY}@broker'\n{MINIMAL}"),
        format!("[mqtt]\nusername = 'a'\npassword = {CANARY}\n{MINIMAL}"),
        format!("[mqtt]\nusername = 'a'\npassword = '{CANARY}\n{MINIMAL}"),
        format!("[mqtt]\nusername = 'a'\npassword = '{CANARY}'x\n{MINIMAL}"),
        format!("mqtt = '{CANARY}'\n{MINIMAL}"),
        format!("[store]\nkey = '{CANARY}'\nkey_file = 'a'\n{MINIMAL}"),
        format!("[accounts.a]\nvendor = 'akuvox'\ngate = 'https://me:{CANARY}@gate.example.com'\n"),
        format!("[web]\npublic_url = 'https://me:{CANARY}@example.com'\n{MINIMAL}"),
        format!("{MINIMAL}dial_code = '46'\nphone = '{CANARY}'\n"),
        format!("{AQARA}app_key = '<{CANARY}>'\n"),
        format!("{AQARA}app_key_file = '{CANARY}'\n"),
        format!("{AQARA}app_key = '{CANARY}'\nlogin = ['{CANARY}']\n"),
    ] {
        let errors = bench.load(&toml, &[]).expect_err(&toml);
        assert!(!errors.to_string().contains(CANARY), "{errors}");
        assert!(!format!("{errors:?}").contains(CANARY), "{errors:?}");
    }
    let environment = [("LATCHKEY__MQTT__PASSWORD", CANARY), ("LATCHKEY__ACCOUNTS__FRONT_DOOR", CANARY)];
    let errors = refuse_with(MINIMAL, &environment);
    assert!(!format!("{errors}{errors:?}").contains(CANARY), "{errors}");
}

#[test]
fn settings_do_not_show_their_secrets() {
    let toml = format!(
        "[mqtt]\nusername = 'a'\npassword = '{CANARY}'\n[store]\nkey = '{CANARY}'\n{AQARA}app_key = '{CANARY}'\nlogin = '{CANARY}'\n\
         {MINIMAL}user = '{CANARY}'\n"
    );
    assert!(!format!("{:?}", read(&toml)).contains(CANARY));
}

// === The files that are shipped ===

fn shipped_file() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/latchkey.toml");
    fs::read_to_string(path).unwrap()
}

/// The shipped file as a user fills it in.
fn filled_in() -> String {
    let placeholders = [
        ("<two-letter country code>", "SE"),
        ("<app id>", "app"),
        ("<key id, with its K.>", "K.1"),
        ("<app key>", "s"),
    ];
    let with_keys = placeholders.iter().fold(shipped_file(), |text, it| text.replace(it.0, it.1));
    with_keys.replace("<scene id>", "AL.1")
}

#[test]
fn the_shipped_file_is_refused_for_its_placeholders_and_nothing_else() {
    let errors = refuse(&shipped_file());
    assert_eq!(errors.iter().count(), 7, "{errors}");
    assert!(errors.iter().all(|it| it.problem.to_string().contains("placeholder")), "{errors}");
}

#[test]
fn the_shipped_file_filled_in_has_the_scenes_people_start_with() {
    let settings = read(&filled_in());
    let VendorSettings::Aqara(aqara) = &settings.accounts[&id("home")].vendor else { panic!("{settings:?}") };
    let scenes: Vec<&str> = aqara.scenes.keys().map(|it| it.as_str()).collect();
    assert_eq!(scenes, ["tv_pin_entry", "tv_power_off", "tv_warning"]);
    assert!(matches!(settings.accounts[&id("front_door")].vendor, VendorSettings::Akuvox(_)));
}

#[test]
fn every_default_that_the_shipped_file_names_is_the_default() {
    let is_default = |line: &str| line.starts_with('#') && line.contains(" = ") && !line.starts_with("# ");
    let text = filled_in();
    let n_defaults = text.lines().filter(|it| is_default(it)).count();
    assert!(25 < n_defaults, "only {n_defaults} defaults were found");
    let told: Vec<&str> =
        text.lines().map(|it| if is_default(it) { it.strip_prefix('#').unwrap() } else { it }).collect();
    assert_eq!(read(&told.join("\n")), read(&text));
}
