//! The link with a real Mosquitto.
#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use latchkey::{
    account::Secret,
    mqtt::{Backoff, LinkFailure, LinkSettings, Outgoing, Qos, Subscription, TlsSettings, Will},
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use support::{
    link::{connected, disconnected, message, settings, start},
    mosquitto::{Mosquitto, MosquittoOptions},
    scripted_broker::PATIENCE,
};
use tokio::time::timeout;

/// Somebody else who listens to everything below `base/`.
fn listener(port: u16) -> LinkSettings {
    LinkSettings {
        client_id: "listener".to_owned(),
        subscriptions: vec![Subscription::new("base/#", Qos::AtLeastOnce)],
        will: None,
        ..settings(port)
    }
}

fn without_delay(port: u16) -> LinkSettings {
    let settings = settings(port);
    let will = settings.will.map(|it| Will { delay: Duration::ZERO, ..it });
    LinkSettings { will, ..settings }
}

#[tokio::test]
async fn a_request_and_its_reply_go_round() {
    let mosquitto = Mosquitto::start();
    let (link, mut events, _task) = start(settings(mosquitto.port));
    let (other, mut heard, _other_task) = start(listener(mosquitto.port));
    connected(&mut events).await;
    connected(&mut heard).await;

    other.publish(Outgoing::passing("base/commands/refresh", "request"));
    let request = message(&mut events).await;
    assert_eq!((request.topic.as_str(), &request.payload[..]), ("base/commands/refresh", &b"request"[..]));
    link.publish(Outgoing { correlation_data: Some(vec![7].into()), ..Outgoing::passing("base/reply", "reply") });
    link.ack(request.ack.unwrap());

    let reply = message(&mut heard).await;
    assert_eq!((reply.topic.as_str(), &reply.payload[..]), ("base/reply", &b"reply"[..]));
    assert_eq!(reply.correlation_data.as_deref(), Some(&[7][..]));
    timeout(PATIENCE, link.idle()).await.unwrap();
    timeout(PATIENCE, other.idle()).await.unwrap();
}

#[tokio::test]
async fn what_we_retain_is_there_again_after_a_broker_lost_everything() {
    let mut mosquitto = Mosquitto::start();
    let (link, mut events, _task) = start(settings(mosquitto.port));
    connected(&mut events).await;
    link.publish(Outgoing::retained("base/state", "before"));
    timeout(PATIENCE, link.idle()).await.unwrap();

    mosquitto.kill();
    disconnected(&mut events).await;
    link.publish(Outgoing::retained("base/waited", "while it was away"));
    mosquitto.start_again();
    assert!(!connected(&mut events).await);
    link.publish(Outgoing::retained("base/state", "after"));
    timeout(PATIENCE, link.idle()).await.unwrap();

    let (_other, mut heard, _other_task) = start(listener(mosquitto.port));
    let mut retained = [message(&mut heard).await, message(&mut heard).await].map(|it| {
        assert!(it.retain);
        (it.topic, String::from_utf8(it.payload.to_vec()).unwrap())
    });
    retained.sort();
    assert_eq!(retained[0], ("base/state".to_owned(), "after".to_owned()));
    assert_eq!(retained[1], ("base/waited".to_owned(), "while it was away".to_owned()));
}

#[tokio::test]
async fn a_command_sent_during_a_blip_waits_in_the_session() {
    let mosquitto = Mosquitto::start();
    let (_first, mut events, task) = start(settings(mosquitto.port));
    connected(&mut events).await;
    task.abort();
    while events.next().await.is_some() {}

    let (other, _heard, _other_task) = start(listener(mosquitto.port));
    other.publish(Outgoing::passing("base/commands/refresh", "meanwhile"));
    timeout(PATIENCE, other.idle()).await.unwrap();

    let (_second, mut events, _task) = start(settings(mosquitto.port));
    assert_eq!(message(&mut events).await.payload, "meanwhile");
}

#[tokio::test]
async fn the_will_speaks_when_we_are_killed() {
    let mosquitto = Mosquitto::start();
    let (_other, mut heard, _other_task) = start(listener(mosquitto.port));
    connected(&mut heard).await;
    let (_link, mut events, task) = start(without_delay(mosquitto.port));
    connected(&mut events).await;
    task.abort();
    let will = message(&mut heard).await;
    assert_eq!((will.topic.as_str(), &will.payload[..]), ("base/bridge/state", &b"offline"[..]));
}

#[tokio::test]
async fn the_will_is_silent_after_a_farewell() {
    let mosquitto = Mosquitto::start();
    let (other, mut heard, _other_task) = start(listener(mosquitto.port));
    connected(&mut heard).await;
    let (link, mut events, _task) = start(without_delay(mosquitto.port));
    connected(&mut events).await;
    timeout(PATIENCE, link.stop(vec![Outgoing::retained("base/bridge/state", "farewell")])).await.unwrap();
    assert_eq!(message(&mut heard).await.payload, "farewell");

    // A will would have come before this, which takes a round of its own after the link has ended.
    let (second, mut events, _task) =
        start(LinkSettings { client_id: "marker".to_owned(), ..settings(mosquitto.port) });
    connected(&mut events).await;
    second.publish(Outgoing::passing("base/marker", "marker"));
    assert_eq!(message(&mut heard).await.payload, "marker");
    drop(other);
}

#[tokio::test]
async fn a_wrong_password_is_told_as_a_refused_login() {
    let users = vec![("latchkey".to_owned(), "right".to_owned())];
    let mosquitto = Mosquitto::start_with(&MosquittoOptions { users, ..MosquittoOptions::default() });
    let with_password = |password| LinkSettings {
        credentials: Some(("latchkey".to_owned(), Secret::new(password))),
        ..settings(mosquitto.port)
    };
    let (_link, mut events, _task) = start(with_password("wrong"));
    let (reason, _) = disconnected(&mut events).await;
    assert!(matches!(reason, LinkFailure::LoginRefused(_)), "{reason}");
    let (_link, mut events, _task) = start(with_password("right"));
    connected(&mut events).await;
}

#[tokio::test]
async fn a_second_link_with_our_client_id_is_told() {
    let mosquitto = Mosquitto::start();
    // No connection counts as a good one here, however slow this machine is.
    let fighter = || {
        let settings = settings(mosquitto.port);
        LinkSettings { backoff: Backoff { max: Duration::from_secs(3600), ..settings.backoff }, ..settings }
    };
    let (_first, mut events, _task) = start(fighter());
    connected(&mut events).await;
    let (_second, _second_events, _second_task) = start(fighter());
    loop {
        match disconnected(&mut events).await.0 {
            // Mosquitto before 2.0.15 only hangs up, so it takes a few rounds to notice.
            LinkFailure::HungUp | LinkFailure::Closed(_) => {}
            LinkFailure::TakenOver | LinkFailure::HungUpAgain => break,
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn tls_trusts_the_given_authority_only_and_shows_our_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let files = Certificates::write(folder.path());
    let mosquitto = Mosquitto::start_with(&MosquittoOptions {
        more: vec![
            format!("cafile {}", files.ca.display()),
            format!("certfile {}", files.certificate.display()),
            format!("keyfile {}", files.key.display()),
            "require_certificate true".to_owned(),
        ],
        ..MosquittoOptions::default()
    });
    let with_tls = |tls| LinkSettings { tls: Some(tls), ..settings(mosquitto.port) };
    let good = TlsSettings {
        ca_file: Some(files.ca.clone()),
        client_cert_file: Some(files.certificate.clone()),
        client_key_file: Some(files.key.clone()),
    };
    let (_link, mut events, _task) = start(with_tls(good.clone()));
    connected(&mut events).await;

    let stranger = tempfile::tempdir().unwrap();
    let strange = Certificates::write(stranger.path());
    let (_link, mut events, _task) = start(with_tls(TlsSettings { ca_file: Some(strange.ca), ..good.clone() }));
    let (reason, _) = disconnected(&mut events).await;
    assert!(matches!(&reason, LinkFailure::Tls(text) if text.contains("certificate")), "{reason}");

    let (_link, mut events, _task) = start(with_tls(TlsSettings { ca_file: None, ..good }));
    let (reason, _) = disconnected(&mut events).await;
    assert!(matches!(reason, LinkFailure::Tls(_)), "{reason}");

    let nameless = TlsSettings { ca_file: Some(files.ca), ..TlsSettings::default() };
    let (_link, mut events, _task) = start(with_tls(nameless));
    let (reason, _) = disconnected(&mut events).await;
    assert!(matches!(&reason, LinkFailure::Tls(text) if text.contains("ertificate")), "{reason}");
}

/// An authority, and one certificate of it that serves both sides.
struct Certificates {
    ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Certificates {
    fn write(folder: &Path) -> Self {
        let ca_key = KeyPair::generate().unwrap();
        let mut ca_params = CertificateParams::new(Vec::new()).unwrap();
        ca_params.distinguished_name.push(DnType::CommonName, "Latchkey's test authority");
        ca_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = ca_params.self_signed(&ca_key).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()])
            .unwrap()
            .signed_by(&key, &Issuer::from_params(&ca_params, &ca_key))
            .unwrap();
        let write = |name: &str, text: String| {
            let path = folder.join(name);
            fs::write(&path, text).unwrap();
            path
        };
        Self {
            ca: write("ca.pem", ca.pem()),
            certificate: write("certificate.pem", certificate.pem()),
            key: write("key.pem", key.serialize_pem()),
        }
    }
}
