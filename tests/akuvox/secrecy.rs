//! Neither the log nor an error shows who signs in, by what, or which URL it rode in.

use std::{
    io,
    sync::{Arc, Mutex},
};

use latchkey::{
    account::Secret,
    demo::clouds::{
        Fault, FaultKind, Scope,
        akuvox::{RTSP_PASSWORD, SIP_PASSWORD, veil_login, veil_password, veil_phone},
    },
    vendor::{SignIn, Spend, VendorError},
};
use tracing_subscriber::fmt::MakeWriter;

use super::bench::{Bench, NoToll};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn neither_the_log_nor_an_error_shows_who_signs_in_or_by_what() {
    let log = Log::default();
    // For the whole process, since the HTTP client has threads of its own; other tests' lines hold the same secrets.
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone());
    subscriber.try_init().unwrap();
    let bench = Bench::new().await;
    let known = bench.cloud.credentials(0);
    let vendor = bench.vendor();
    let mut secrets = vec![
        known.phone_number.clone(),
        veil_phone(&known.phone_number),
        known.login.clone(),
        veil_login(&known.login, true),
        known.password.clone(),
        veil_password(&known.password),
        known.auth_token.clone(),
        "canary-code-4711".to_owned(),
        SIP_PASSWORD.to_owned(),
        RTSP_PASSWORD.to_owned(),
        "sms_login?".to_owned(),
        "passwd=".to_owned(),
        "token=".to_owned(),
    ];
    let mut errors: Vec<VendorError> = Vec::new();
    let (password, auth_token) = (Secret::new(known.password), Secret::new(known.auth_token));
    let kept = vendor.kept_form(&password).unwrap();
    let faults = [
        None,
        Some(FaultKind::ResetBefore),
        Some(FaultKind::ReplyLostAfterRotation),
        Some(FaultKind::Http500),
        Some(FaultKind::Html),
        Some(FaultKind::TruncatedJson),
        Some(FaultKind::Throttled429),
        Some(FaultKind::WrongTypes),
    ];
    for fault in faults {
        for call in 0..8 {
            let held = bench.cloud.credentials(0);
            let (token, refresh) = (Secret::new(held.token), Secret::new(held.refresh_token));
            if let Some(kind) = fault {
                bench.cloud.inject(Fault::new(kind).on(Scope::Any, 1));
            }
            let code = Secret::new("canary-code-4711");
            let login = async |with: SignIn<'_>| {
                vendor.login(with).await.and_then(|it| vendor.read_login(&it, with.kind())).map(drop)
            };
            let done = match call {
                0 => vendor.request_code().await,
                1 => login(SignIn::Code(&code)).await,
                2 => login(SignIn::Password(&password)).await,
                3 => login(SignIn::Kept(&kept)).await,
                4 => vendor.inventory(&token, &NoToll).await.map(drop),
                5 => vendor.open_door(&token, "0C1105000001/0").await,
                6 => match vendor.check_in(&token, Some(&auth_token)).await.unwrap() {
                    Ok(answer) => vendor.read_check_in(&answer).map(drop),
                    Err(error) => Err(error),
                },
                _ => vendor.refresh(Spend { refresh: &refresh, access: Some(&token) }).await.map(drop),
            };
            errors.extend(done.err());
            bench.cloud.clear_faults();
            for account in
                [Some(bench.cloud.account(0).owner.access_token), Some(bench.cloud.account(0).owner.refresh_token)]
            {
                secrets.extend(account);
            }
            let family = bench.cloud.account(0).family.into_iter();
            secrets.extend(family.flat_map(|it| [it.access_token, it.refresh_token]));
            secrets.extend(bench.cloud.newest_code(0).map(|it| format!("code={it}")));
        }
    }
    // A host that nobody listens at: the client's own words hold the URL.
    let nowhere = bench.vendor_with(&format!("{}rest = \"http://127.0.0.1:1\"\n", bench.people()));
    errors.extend(nowhere.open_door(&bench.token(), "0C1105000001/0").await.err());
    errors.extend(nowhere.request_code().await.err());

    assert!(30 < errors.len(), "too little went wrong: {}", errors.len());
    let told: String = errors.iter().map(|it| format!("{it} {it:?}\n")).collect();
    let logged = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(logged.contains("TRACE") || logged.contains("DEBUG"), "the log was not as talkative as it can be");
    for secret in secrets {
        for (place, text) in [("an error", &told), ("the log", &logged)] {
            assert!(!text.contains(&secret), "{secret} is in {place}");
        }
    }
}
