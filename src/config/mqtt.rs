//! `[mqtt]`: the broker, and the topics there.

use std::{path::PathBuf, time::Duration};

use super::{
    instance::Instance,
    section::Section,
    topic::{Topic, TopicPrefix},
};
use crate::account::{AccountId, Secret};

/// How the broker is reached, and where in its topics Latchkey lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MqttSettings {
    /// A host name or an IP address; `localhost` by default.
    pub host: String,
    /// 1883 by default, 8883 with TLS.
    pub port: u16,
    pub username: Option<String>,
    /// Only there together with a user name.
    pub password: Option<Secret>,
    /// [`Instance::client_id`].
    pub client_id: String,
    /// [`Instance::base_topic`] by default.
    pub base_topic: Topic,
    /// Where an answer may go that a request asks for by its MQTT 5 response topic; `<base topic>/reply/` by default.
    pub reply_prefix: TopicPrefix,
    /// Whole seconds from 5 s, below which the MQTT client panics, to an hour; 30 s by default.
    pub keep_alive: Duration,
    pub tls: Option<Tls>,
}

/// What TLS to the broker needs beside the certificates that this machine trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The PEM file of the authority that signed the broker's certificate; the machine's own ones where it is absent.
    pub ca_file: Option<PathBuf>,
    pub client: Option<ClientCertificate>,
}

/// How Latchkey shows the broker who it is: two PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
}

impl MqttSettings {
    /// Whether the topics of an account are none that answers may be sent to.
    pub fn has_room_for(&self, account: &AccountId) -> bool {
        !self.base_topic.child(account.as_str()).below().overlaps(&self.reply_prefix)
    }
}

pub(super) fn read(mut section: Section<'_>, instance: &Instance) -> MqttSettings {
    let tls = read_tls(&mut section);
    let default_port = if tls.is_some() { 8883 } else { 1883 };
    let host = section.parsed_by("host", "localhost", |text| {
        let is_host = !text.contains(|it: char| matches!(it, '/' | '@' | '?' | '#') || it.is_whitespace());
        if is_host { Ok(text.to_owned()) } else { Err("expected a host name or an IP address alone".to_owned()) }
    });
    let username = section.text("username", "latchkey");
    let password = section.secret("password");
    if password.is_some() && username.is_none() {
        section.report_missing("username", "the name that the password belongs to", "give `username` too");
    }
    let base_topic = section.parsed("base_topic", "latchkey").unwrap_or_else(|| instance.base_topic());
    let reply_prefix = section.parsed("reply_prefix", "latchkey/reply/");
    let settings = MqttSettings {
        host: host.unwrap_or_else(|| "localhost".to_owned()),
        port: section.whole_number("port", 1..=u16::MAX, default_port),
        username,
        password,
        client_id: instance.client_id(),
        reply_prefix: reply_prefix.unwrap_or_else(|| base_topic.child("reply").below()),
        base_topic,
        keep_alive: read_keep_alive(&mut section),
        tls,
    };
    let commands = settings.base_topic.child("bridge").below();
    if settings.reply_prefix.overlaps(&commands) {
        let mend = format!("for example `reply_prefix = \"{}\"`", settings.base_topic.child("reply").below());
        section.report_invalid("reply_prefix", "answers must not go where commands come from", mend);
    }
    section.finish();
    settings
}

fn read_tls(section: &mut Section<'_>) -> Option<Tls> {
    let is_on = section.boolean("tls", false);
    for key in ["ca_file", "client_cert_file", "client_key_file"] {
        if !is_on && section.has(key) {
            section.report_invalid(key, "this is for TLS, which is off", "set `tls = true`, or remove it");
        }
    }
    let ca_file = section.readable_file("ca_file", "/etc/ssl/broker-ca.pem");
    let has = (section.has("client_cert_file"), section.has("client_key_file"));
    let cert_file = section.readable_file("client_cert_file", "/etc/ssl/latchkey.pem");
    let key_file = section.readable_file("client_key_file", "/etc/ssl/latchkey.key");
    let mend = "a client certificate is two files: give both or none";
    match has {
        (true, false) => section.report_missing("client_key_file", "the key of the client certificate", mend),
        (false, true) => section.report_missing("client_cert_file", "the certificate of the client key", mend),
        (true, true) | (false, false) => {}
    }
    let client = cert_file.zip(key_file).map(|(cert_file, key_file)| ClientCertificate { cert_file, key_file });
    is_on.then_some(Tls { ca_file, client })
}

fn read_keep_alive(section: &mut Section<'_>) -> Duration {
    let range = Duration::from_secs(5)..=Duration::from_secs(3600);
    let keep_alive = section.duration("keep_alive", range, Duration::from_secs(30));
    if keep_alive.subsec_nanos() != 0 {
        section.report_invalid("keep_alive", "expected whole seconds", "for example `keep_alive = \"30s\"`");
    }
    keep_alive
}
