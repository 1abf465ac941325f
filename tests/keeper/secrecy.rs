//! No line of the log holds a token.

use std::{
    io,
    sync::{Arc, Mutex},
};

use latchkey::{
    account::{Credential, ProposedTokens, Secret},
    demo::clouds::{Fault, FaultKind, Scope},
};
use tracing_subscriber::fmt::MakeWriter;

use super::bench::{Bench, DAY, FRONT, HOME, MINUTE, both};

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

/// Every token that the clouds hold at the moment, and every one that was held when it was called before.
fn gather(bench: &Bench, tokens: &mut Vec<Secret>) {
    for name in [FRONT, HOME] {
        let ProposedTokens::Both { access, refresh } = bench.pair_of(name) else { unreachable!("it is a pair") };
        tokens.extend([access, refresh]);
    }
}

#[tokio::test]
async fn tokens_do_not_reach_the_log_whatever_happens() {
    let log = Log::default();
    // For the whole process, since store and HTTP client have threads of their own; other tests' lines do no harm.
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone());
    subscriber.try_init().unwrap();
    let bench = Bench::new().await;
    let mut tokens = vec![Secret::new("a-proposed-access-canary"), Secret::new("a-proposed-refresh-canary")];
    gather(&bench, &mut tokens);
    let house = bench.settled(&[FRONT, HOME]).await;
    for kind in [
        FaultKind::Slow,
        FaultKind::Http500,
        FaultKind::Html,
        FaultKind::VendorBusy,
        FaultKind::MissingRefreshToken,
        FaultKind::TruncatedJson,
    ] {
        for name in [FRONT, HOME] {
            let fault = Fault::new(kind).lasting(0.0);
            bench.akuvox.inject(fault.clone());
            bench.aqara.inject(fault);
            gather(&bench, &mut tokens);
            let _ = house.refresh(name).await;
            gather(&bench, &mut tokens);
            bench.akuvox.clear_faults();
            bench.aqara.clear_faults();
        }
        bench.hand.advance(DAY);
    }
    for name in [FRONT, HOME] {
        let _ = house.update(name, both("a-proposed-access-canary", "a-proposed-refresh-canary")).await;
        bench.akuvox.sign_in(0);
        bench.aqara.sign_in(0);
        gather(&bench, &mut tokens);
        let _ = house.update(name, bench.pair_of(name)).await;
    }
    let echoes_the_token = Fault { code: Some(108), ..Fault::new(FaultKind::VendorBusy) };
    bench.aqara.inject(echoes_the_token.on(Scope::Action, 2));
    let _ = house.scene(HOME, "tv_warning").await;
    gather(&bench, &mut tokens);

    // Where a refresh token came from is told, and where none did.
    for (brings, given) in [(true, "none"), (false, "new_pair"), (false, "none")] {
        bench.akuvox.turn_knobs(|it| {
            it.logins_bring_refresh_token = brings;
            it.servers_list_tokens = serde_json::from_value(given.into()).unwrap();
        });
        bench.hand.advance(MINUTE + MINUTE);
        house.request_code(FRONT).await.unwrap();
        let code = bench.akuvox.newest_code(0).unwrap();
        house.login(FRONT, Credential::Code(Secret::new(code))).await.unwrap();
        let password = Secret::new(bench.akuvox.credentials(0).password);
        house.login(FRONT, Credential::Password { password: password.clone(), keep: true }).await.unwrap();
        gather(&bench, &mut tokens);
        tokens.extend([password, Secret::new(bench.akuvox.credentials(0).phone_number)]);
    }
    house.request_code(HOME).await.unwrap();
    let code = bench.aqara.newest_code(0).unwrap();
    house.login(HOME, Credential::Code(Secret::new(code))).await.unwrap();
    gather(&bench, &mut tokens);
    house.stop().await;

    let written = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(written.contains("tokens refreshed"));
    for source in ["update_tokens", "SMS login", "login", "servers_list", "getToken"] {
        assert!(written.contains(&format!("Refresh token captured and stored from {source}")), "{source}");
    }
    for source in ["SMS login", "login"] {
        assert!(written.contains(&format!("No refresh token came from {source}")), "{source}");
    }
    for token in tokens {
        let token = token.expose();
        assert!(!written.contains(&token[..token.len() - 4]) && !written.contains(&token[4..]), "{token}");
    }
}
